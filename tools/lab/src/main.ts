/** The lab: a cluster of nodes on one machine, in network namespaces. Composes; each subcommand names where its work is. */
import { readFileSync } from "node:fs";
import process from "node:process";
import { untilSignal } from "@calico/daemon";
import { Command, Option } from "commander";
import { exec } from "./adapter/exec.ts";
import { runCluster } from "./cluster/command.ts";
import { runDemo } from "./demo/demo.ts";
import { showProcesses } from "./demo/processes.ts";
import { planTopology } from "./domain/topology.ts";
import { podRecords } from "./kubelet/records.ts";
import { endLab } from "./service/teardown.ts";

const program = new Command("lab")
  .enablePositionalOptions()
  .description("a cluster on one machine: nodes are network namespaces, daemons are processes, pods are wired by CNI");
const id = () => new Option("--id <id>", "the lab's name; two of different names can run side by side").default("calico");

program
  .command("demo")
  .description("bring two nodes up, show them at work, stay up for playing")
  .addOption(id())
  .option("--check", "run everything once, tear down, exit 0 only if every line holds", false)
  .option("--kubeconfig <file>", "use this existing Kubernetes API server in place of the lab's own")
  .option("--controllers", "with --kubeconfig: also run the lab's scheduler and EndpointSlice controller")
  .option("--secure", "TLS and logins for etcd and NATS, each daemon with its own credentials", false)
  .addOption(
    new Option("--encap <mode>", "the pool's mode; auto is IPIP where the kernel has it")
      .choices(["auto", "ipip", "vxlan", "none"])
      .default("auto"),
  )
  .action(async (o) => {
    const signal = untilSignal("SIGINT", "SIGTERM", "SIGHUP");
    const good = await runDemo({ ...o, signal }).catch((error: unknown) => {
      console.error(`demo: ${error instanceof Error ? error.message : String(error)}`);
      console.log("\n0 passed, 1 failed");
      return false;
    });
    process.exit(good ? 0 : 1);
  });

program
  .command("cluster")
  .description("a 3-member etcd and a 3-member NATS cluster, until interrupted")
  .addOption(id())
  .option("--namespaces", "each member in a network namespace of its own, where it can be cut off", false)
  .option("--base-port <port>", "first of thirty ports on loopback, without --namespaces", Number, 23_790)
  .action(async (o) => await runCluster({ ...o, signal: untilSignal("SIGINT", "SIGTERM", "SIGHUP") }));

program
  .command("down")
  .description("end a lab and remove what it made")
  .addOption(id())
  .action(async (o) => await endLab(planTopology(o.id)));

program
  .command("ps")
  .description("the lab's processes: pid, restarts, resident memory")
  .addOption(id())
  .addOption(new Option("-o, --output <format>").choices(["table", "json"]).default("table"))
  .action((o) => console.log(showProcesses(planTopology(o.id), o.output)));

program
  .command("pod")
  .description("run a command in a pod, with its network and its DNS")
  .addOption(id())
  .argument("<namespace/name>")
  .argument("<command...>")
  .passThroughOptions()
  .action(async (key: string, argv: string[], o) => {
    const pods = planTopology(o.id, 2).nodes.flatMap((n) => podRecords(`${n.runDir}/pods`));
    const pid = pods.find((p) => `${p.namespace}/${p.name}` === key)?.processes[0]?.pid;
    if (pid === undefined)
      throw new Error(
        `Cannot find a running pod "${key}" in lab ${o.id}; those are: ${pods.map((p) => `${p.namespace}/${p.name}`).join(", ")}`,
      );
    const ran = await exec(["nsenter", "--target", String(pid), "--net", "--mount", "--", ...argv], {
      input: process.stdin.isTTY ? "" : readFileSync(0, "utf8"),
    });
    process.stdout.write(ran.stdout);
    process.stderr.write(ran.stderr);
    process.exit(ran.code);
  });

await program.parseAsync().catch((error: unknown) => {
  console.error(`lab: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
});
