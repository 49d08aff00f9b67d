/** The command tree: flags and arguments, each command's code loaded when it runs. Source: calico calicoctl/commands. */
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { addIpamCommands } from "./ipam-commands.ts";
import type { Context } from "./ports.ts";
import type { NatsFormat } from "./service/nats-permissions.ts";

/** Makes the context of the command that runs; the program ends it. */
export type OpenContext = (flags: {
  readonly config?: string;
  readonly etcd?: string;
  readonly allowVersionMismatch?: boolean;
}) => Context & AsyncDisposable;

type Options = Readonly<Record<string, never>> & { readonly [flag: string]: unknown };
type Run = (context: Context, options: Options, args: readonly (string | readonly string[])[]) => Promise<void>;

/** A program to `parseAsync`; it throws a CommanderError or a CliError and never exits by itself. */
export function makeProgram(open: OpenContext, write: { out(text: string): void; err(text: string): void }): Command {
  const program = new Command("calicoctl")
    .description("Read and write the resources of a Calico cluster, and look at its nodes and addresses.")
    .exitOverride()
    .configureOutput({ writeOut: write.out, writeErr: write.err });
  const add = (parent: Command, usage: string, description: string, run: Run): Command => {
    const command = parent
      .command(usage)
      .description(description)
      .option("-c, --config <file>", "configuration file; without it /etc/calico/calicoctl.cfg if that exists, else the environment")
      .option("--etcd <urls>", "etcd endpoints, comma separated (env ETCD_ENDPOINTS)")
      .addOption(
        new Option("-l, --log-level <level>", "how much to log")
          .choices(["panic", "fatal", "error", "warn", "info", "debug"])
          .default("panic"),
      )
      .option("--context <name>", "Kubernetes context; of no effect on an etcd datastore")
      .option("--allow-version-mismatch", "work with a cluster of another version");
    return command.action(async () => {
      const options = command.opts<Options>();
      await using context = open(options);
      await run(context, options, command.processedArgs as readonly (string | readonly string[])[]);
    });
  };
  addResourceCommands(program, add);
  addNodeCommands(program, add);
  addOtherCommands(program, add);
  return program;
}

type Add = (parent: Command, usage: string, description: string, run: Run) => Command;

const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

function fileOptions(options: Options) {
  const namespace = text(options["namespace"]);
  return {
    filename: text(options["filename"]) ?? "",
    recursive: options["recursive"] === true,
    skipEmpty: options["skipEmpty"] === true,
    ...(namespace === undefined ? {} : { namespace }),
  };
}

function withFile(command: Command, required: boolean): Command {
  const flags = "-f, --filename <file>";
  const about = "file or folder of resources in YAML or JSON; - is standard input";
  return (required ? command.requiredOption(flags, about) : command.option(flags, about))
    .option("-R, --recursive", "look into sub-folders too")
    .option("--skip-empty", "pass over files without resources");
}

function withNamespace(command: Command): Command {
  return command.option("-n, --namespace <name>", "namespace of the resources");
}

function addResourceCommands(program: Command, add: Add): void {
  const summary = {
    create: "Create resources that do not exist.",
    apply: "Create resources, or update those that exist.",
    replace: "Replace resources that exist.",
  };
  for (const verb of ["create", "apply", "replace"] as const) {
    const command = add(program, verb, summary[verb], async (context, options) => {
      const { writeFile } = await import("./service/write.ts");
      await writeFile(verb, context, { ...fileOptions(options), skipExists: options["skipExists"] === true });
    });
    withNamespace(withFile(command, true));
    if (verb === "create") command.option("--skip-exists", "pass over resources that exist");
  }
  const remove = add(
    program,
    "delete [kind] [names...]",
    "Delete resources, by name or by file.",
    async (context, options, [kind, names]) => {
      const { deleteObjects } = await import("./service/write.ts");
      await deleteObjects(context, { ...selection(options, kind, names), skipNotExists: options["skipNotExists"] === true });
    },
  );
  withNamespace(withFile(remove, false)).option("-s, --skip-not-exists", "pass over resources that do not exist");
  const get = add(program, "get [kind] [names...]", "Show resources.", async (context, options, [kind, names]) => {
    const { get: run } = await import("./service/get.ts");
    const allNamespaces = options["allNamespaces"] === true || options["a"] === true;
    await run(context, {
      ...selection(options, kind, names),
      output: text(options["output"]),
      allNamespaces,
      export: options["export"] === true,
    });
  });
  withNamespace(withFile(get, false))
    .option("-o, --output <format>", "ps, wide, yaml, json, or custom-columns=HEADING,…")
    .option("-A, --all-namespaces", "resources of every namespace")
    .addOption(new Option("-a", "the same").hideHelp())
    .option("--export", "without what the datastore adds: uid, revision, time");
  withFile(
    add(program, "validate", "Check resources without a datastore.", async ({ io }, options) => {
      const { validate } = await import("./service/validate.ts");
      await validate(io, fileOptions(options));
    }),
    true,
  );
  addModifyCommands(program, add);
}

function selection(options: Options, kind: unknown, names: unknown) {
  const namespace = text(options["namespace"]);
  return {
    ...(text(kind) === undefined ? {} : { kind: text(kind) }),
    names: Array.isArray(names) ? (names as readonly string[]) : [],
    ...(options["filename"] === undefined ? {} : { file: fileOptions(options) }),
    ...(namespace === undefined ? {} : { namespace }),
  };
}

function addModifyCommands(program: Command, add: Add): void {
  const patch = add(program, "patch <kind> <name>", "Change a part of a resource.", async (context, options, [kind, name]) => {
    const { patch: run } = await import("./service/modify.ts");
    await run(context, {
      kind: String(kind),
      name: String(name),
      patch: text(options["patch"]) ?? "",
      type: text(options["type"]),
      namespace: text(options["namespace"]),
    });
  });
  withNamespace(patch)
    .requiredOption("-p, --patch <json>", "the change, as JSON")
    .option("-t, --type <type>", "strategic, json or merge", "strategic");
  const label = add(
    program,
    "label <kind> <name> <label>",
    "Set a label (key=value) of a resource, or remove one (key --remove).",
    async (context, options, [kind, name, about]) => {
      const { label: run } = await import("./service/modify.ts");
      const flags = { remove: options["remove"] === true, overwrite: options["overwrite"] === true, namespace: text(options["namespace"]) };
      await run(context, { kind: String(kind), name: String(name), label: String(about), ...flags });
    },
  );
  withNamespace(label).option("--remove", "remove the label").option("--overwrite", "change the label if it exists");
}

function addNodeCommands(program: Command, add: Add): void {
  const node = program.command("node").description("This node: first start, BGP sessions.");
  add(node, "status", "Show the BGP sessions of the node whose run folder this is.", async ({ io }, options) => {
    const { nodeStatus } = await import("./service/node-status.ts");
    await nodeStatus(io, { runDir: text(options["runDir"]) ?? "" });
  }).addOption(new Option("--run-dir <folder>", "where the daemons' sockets are").env("CALICO_RUN_DIR").default("/var/run/calico"));
  const init = add(node, "init", "Write what a node needs before its daemons run. Can be run again.", async (context, options) => {
    const { nodeInit } = await import("./service/node-init.ts");
    await nodeInit(context, options as unknown as Parameters<typeof nodeInit>[1]);
  });
  const mode = (flag: string, what: string) => new Option(flag, what).choices(["Never", "Always", "CrossSubnet"]);
  init
    .addOption(new Option("--name <name>", "the node's name, as in Kubernetes").env("NODENAME").makeOptionMandatory())
    .addOption(new Option("--ip <address>", "the node's BGP address and subnet, such as 192.168.81.101/24").env("IP").makeOptionMandatory())
    .addOption(new Option("--as <number>", "the node's AS number, if it is not the cluster's").env("AS"))
    .addOption(new Option("--pool <cidr>", "make an IP pool of this network, if there is no pool").env("CALICO_IPV4POOL_CIDR"))
    .addOption(new Option("--block-size <bits>", "its blocks' prefix length").env("CALICO_IPV4POOL_BLOCK_SIZE").argParser(parseInteger))
    .addOption(mode("--ipip <mode>", "its IPIP encapsulation").env("CALICO_IPV4POOL_IPIP"))
    .addOption(mode("--vxlan <mode>", "its VXLAN encapsulation").env("CALICO_IPV4POOL_VXLAN"))
    .option("--nat-outgoing", "masquerade traffic that leaves the pools")
    .addOption(new Option("--var-dir <folder>", "where to write nodename").env("CALICO_VAR_DIR").default("/var/lib/calico"));
}

function parseInteger(value: string): number {
  if (!/^\d+$/.test(value)) throw new InvalidArgumentError("expected a number");
  return Number(value);
}

function addOtherCommands(program: Command, add: Add): void {
  addIpamCommands(program, add);
  add(program, "version", "Show the versions of this program and of the cluster.", async (context, options) => {
    const { version } = await import("./service/cluster.ts");
    await version(context, { client: options["client"] === true });
  }).option("--client", "this program's only");
  const nats = program.command("nats").description("The event log's servers.");
  add(
    nats,
    "permissions <role/name...>",
    "Print what a NATS server must let these bearers of credentials do.",
    async ({ io }, options, [bearers]) => {
      const { natsPermissions } = await import("./service/nats-permissions.ts");
      const format = options["output"] as unknown as NatsFormat;
      await natsPermissions(io, { bearers: Array.isArray(bearers) ? (bearers as readonly string[]) : [], format });
    },
  )
    .addOption(
      new Option("-o, --output <format>", "the server's configuration, commands of nsc, or data")
        .choices(["conf", "nsc", "json", "yaml"])
        .default("conf"),
    )
    .addHelpText(
      "after",
      "\nROLE is node, syncer, controller or reader; NAME is the --node of the process (replay: calico-replay, calicoctl: calicoctl).",
    );
  const datastore = program.command("datastore").description("The datastore as a whole.");
  const migrate = datastore.command("migrate").description("Lock the datastore while it is migrated.");
  for (const lock of [true, false]) {
    const about = lock ? "Stop the cluster from using the datastore." : "Let the cluster use the datastore again.";
    for (const parent of [datastore, migrate]) {
      add(parent, lock ? "lock" : "unlock", about, async (context) => {
        const { lockDatastore } = await import("./service/cluster.ts");
        await lockDatastore(context, lock);
      });
    }
  }
}

/** The exit code of what a program threw: 0 for help that was asked for. */
export function exitCodeOf(error: unknown): number {
  return error instanceof CommanderError ? error.exitCode : 1;
}
