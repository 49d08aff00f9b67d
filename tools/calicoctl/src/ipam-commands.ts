/** `calicoctl ipam …`. Source: calico calicoctl/commands/ipam. */
import { natsAccessOptions } from "@calico/daemon";
import { Option } from "commander";
import type { Command } from "commander";
import type { Context, NatsFlags } from "./ports.ts";

type Options = { readonly [flag: string]: unknown };
type Run = (context: Context, options: Options, args: readonly (string | readonly string[])[]) => Promise<void>;
type Add = (parent: Command, usage: string, description: string, run: Run) => Command;

const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

export function addIpamCommands(program: Command, add: Add): void {
  const ipam = program.command("ipam").description("Addresses.");
  addShow(ipam, add);
  addCheck(ipam, add);
  addChange(ipam, add);
  addExplain(ipam, add);
}

function addShow(ipam: Command, add: Add): void {
  add(ipam, "show", "Show how full the IP pools are, or who holds an address.", async (context, options) => {
    const { ipamShow } = await import("./service/ipam-show.ts");
    const ip = text(options["ip"]);
    const on = (flag: string) => options[flag] === true;
    const flags = { showBlocks: on("showBlocks"), showBorrowed: on("showBorrowed"), showConfiguration: on("showConfiguration") };
    await ipamShow(context, { ...flags, ...(ip === undefined ? {} : { ip }) });
  })
    .option("--ip <address>", "who holds this address")
    .option("--show-blocks", "the pools' blocks too")
    .option("--show-borrowed", "the addresses that nodes have from blocks of others")
    .option("--show-configuration", "the configuration of IPAM");
}

function addCheck(ipam: Command, add: Add): void {
  add(ipam, "check", "Compare allocations with who uses addresses.", async (context, options) => {
    const { ipamCheck } = await import("./service/ipam-check.ts");
    const output = text(options["output"]);
    const kubeconfig = text(options["kubeconfig"]);
    await ipamCheck(context, {
      showAllIps: options["showAllIps"] === true,
      showProblemIps: options["showProblemIps"] === true || options["showAllIps"] === true,
      ...(output === undefined ? {} : { output }),
      ...(kubeconfig === undefined ? {} : { kubeconfig }),
    });
  })
    .option("--show-all-ips", "every address, with what uses it")
    .option("--show-problem-ips", "the addresses with a problem")
    .option("-o, --output <file>", "write a report, for release --from-report")
    .option("--kubeconfig <file>", "count the addresses of the Kubernetes API's pods as used");
  add(ipam, "release", "Release an address, or all that reports of check agree on.", async (context, options) => {
    const { ipamRelease } = await import("./service/ipam-release.ts");
    const ip = text(options["ip"]);
    const reports = options["fromReport"];
    await ipamRelease(context, {
      ...(ip === undefined ? {} : { ip }),
      reports: Array.isArray(reports) ? (reports as readonly string[]) : [],
      force: options["force"] === true,
    });
  })
    .option("--ip <address>", "the address")
    .option("--from-report <file>", "report of check; several times: what is leaked in each", (value: string, before: string[] = []) => [
      ...before,
      value,
    ])
    .option("--force", "although a report is of another version, or the datastore was not locked");
}

function addChange(ipam: Command, add: Add): void {
  add(ipam, "split <number>", "Split an IP pool into equal parts. Its blocks and addresses stay.", async (context, options, [number]) => {
    const { ipamSplit } = await import("./service/ipam-split.ts");
    const [cidr, name] = [text(options["cidr"]), text(options["name"])];
    await ipamSplit(context, { number: String(number), ...(cidr === undefined ? {} : { cidr }), ...(name === undefined ? {} : { name }) });
  })
    .option("--cidr <cidr>", "the pool's network")
    .option("--name <name>", "the pool's name");
  add(ipam, "configure", "Change the configuration of IPAM.", async (context, options) => {
    const { ipamConfigure } = await import("./service/ipam-configure.ts");
    await ipamConfigure(context, {
      strictAffinity: text(options["strictaffinity"]),
      maxBlocksPerHost: text(options["maxBlocksPerHost"]),
      kubeVirtPersistence: text(options["kubevirtIpPersistence"]),
      cooldownSec: text(options["ipCooldownSeconds"]),
    });
  })
    .option("--strictaffinity <bool>", "true: nodes take addresses from their own blocks only")
    .option("--max-blocks-per-host <n>", "how many blocks a node may have; 0: 20")
    .addOption(
      new Option("--kubevirt-ip-persistence <mode>", "whether a virtual machine keeps its address").choices(["Enabled", "Disabled"]),
    )
    .option("--ip-cooldown-seconds <n>", "how long a released address is not given again, 0 to 1200");
}

function addExplain(ipam: Command, add: Add): void {
  const explain = add(
    ipam,
    "explain <ip>",
    "The whole life of an address: who had it when, who released it why, whose it is now.",
    async (context, options, [ip]) => {
      const { ipamExplain } = await import("./service/ipam-explain.ts");
      const nats = text(options["nats"]);
      await ipamExplain(context, { ip: String(ip), servers: nats === undefined ? [] : nats.split(","), flags: options as NatsFlags });
    },
  ).addOption(new Option("--nats <urls>", "the event log's servers, comma separated; without them only what is now").env("NATS_URL"));
  explain.addOption(new Option("--nats-name <name>", "the name that the NATS credentials were made for").default("calicoctl"));
  for (const option of natsAccessOptions()) explain.addOption(option);
}
