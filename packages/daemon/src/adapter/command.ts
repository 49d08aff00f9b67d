import { hostname } from "node:os";
import { Command, InvalidArgumentError, Option } from "commander";
import type { LogLevel } from "./logger.ts";

/**
 * The flags that every daemon shares. Lists are split at commas; ports are numbers.
 * Secrets are files (or the environment), never arguments: a command line is for all to read.
 */
export interface DaemonOptions {
  readonly node: string;
  readonly nats: readonly string[];
  readonly etcd: readonly string[];
  readonly kubeconfig: string | undefined;
  readonly runDir: string;
  readonly varDir: string;
  readonly logLevel: LogLevel;
  readonly healthPort: number;
  readonly etcdCa?: string;
  readonly etcdCert?: string;
  readonly etcdKey?: string;
  readonly etcdUser?: string;
  readonly etcdPasswordFile?: string;
  readonly natsCa?: string;
  readonly natsCert?: string;
  readonly natsKey?: string;
  readonly natsCreds?: string;
  readonly natsUser?: string;
  readonly natsPasswordFile?: string;
}

const DEFAULT_ETCD: readonly string[] = ["http://127.0.0.1:2379"];

/** Somebody said where etcd is, be it the same as the default: agents that need it only in distress then know that it is there. */
export function etcdWasGiven({ etcd }: Pick<DaemonOptions, "etcd">): boolean {
  return etcd !== DEFAULT_ETCD;
}

/**
 * A commander program with the common flags; a daemon adds its own, then calls `parse()` and `opts()`.
 * Each flag has an environment variable, named in `--help`; the flag wins.
 */
export function daemonCommand(
  name: string,
  description: string,
  defaults: { readonly healthPort: number; /** Has `--kubeconfig`. */ readonly kubeconfig?: boolean },
): Command {
  const program = new Command(name);
  const refuse = (message: string): never => program.error(message);
  program
    .description(description)
    .showHelpAfterError("(--help lists the flags)")
    .addOption(new Option("--node <name>", "this node's name, as in Kubernetes").env("NODENAME").default(hostname().toLowerCase()))
    .addOption(listOption("--nats <urls>", "NATS servers, comma separated", refuse).env("NATS_URL").default(["nats://127.0.0.1:4222"]))
    .addOption(listOption("--etcd <urls>", "etcd endpoints, comma separated", refuse).env("ETCD_ENDPOINTS").default(DEFAULT_ETCD))
    .addOption(new Option("--run-dir <folder>", "sockets and endpoint status files").env("CALICO_RUN_DIR").default("/var/run/calico"))
    .addOption(new Option("--var-dir <folder>", "nodename and mtu files").env("CALICO_VAR_DIR").default("/var/lib/calico"))
    .addOption(
      new Option("--log-level <level>", "least severe level that is logged")
        .env("LOG_LEVEL")
        .choices(["error", "warn", "info", "debug"])
        .default("info"),
    )
    .addOption(
      numberOption("--health-port <port>", "loopback port of /liveness, /readiness and /metrics; -1 for none", {
        ...{ env: "HEALTH_PORT", default: defaults.healthPort, least: -1, most: 65_535 },
      }),
    );
  if (defaults.kubeconfig) program.addOption(new Option("--kubeconfig <file>", "how to reach the Kubernetes API").env("KUBECONFIG"));
  for (const [flags, env, about] of ETCD_ACCESS_FLAGS) program.addOption(new Option(flags, about).env(env));
  for (const option of natsAccessOptions()) program.addOption(option);
  return program;
}

/** How to be let in by etcd. Names as calico libcalico-go/lib/apiconfig. */
const ETCD_ACCESS_FLAGS: readonly (readonly [flags: string, env: string, about: string])[] = [
  ["--etcd-ca <file>", "ETCD_CA_CERT_FILE", "certificates that etcd's own must chain to (PEM)"],
  ["--etcd-cert <file>", "ETCD_CERT_FILE", "this daemon's certificate for etcd (PEM); read again when it changes"],
  ["--etcd-key <file>", "ETCD_KEY_FILE", "key of --etcd-cert (PEM)"],
  ["--etcd-user <name>", "ETCD_USERNAME", "etcd user"],
  ["--etcd-password-file <file>", "ETCD_PASSWORD_FILE", "password of --etcd-user; or in the environment as ETCD_PASSWORD"],
];

const NATS_ACCESS_FLAGS: typeof ETCD_ACCESS_FLAGS = [
  ["--nats-ca <file>", "NATS_CA_FILE", "certificates that the NATS servers' own must chain to (PEM)"],
  ["--nats-cert <file>", "NATS_CERT_FILE", "certificate to show NATS (PEM); read again at each connection"],
  ["--nats-key <file>", "NATS_KEY_FILE", "key of --nats-cert (PEM)"],
  ["--nats-creds <file>", "NATS_CREDS_FILE", "NATS credentials (JWT and seed); read again at each connection"],
  ["--nats-user <name>", "NATS_USER", "NATS user"],
  ["--nats-password-file <file>", "NATS_PASSWORD_FILE", "password of --nats-user; or in the environment as NATS_PASSWORD"],
];

/** How to be let in by NATS: of daemons and tools alike. */
export function natsAccessOptions(): readonly Option[] {
  return NATS_ACCESS_FLAGS.map(([flags, env, about]) => new Option(flags, about).env(env));
}

/** A flag that is a whole number, with its environment variable: every flag has one. */
export function numberOption(
  flags: string,
  about: string,
  o: { readonly env: string; readonly default: number; readonly least?: number; readonly most?: number },
): Option {
  const { least = 0, most = Number.MAX_SAFE_INTEGER } = o;
  const parse = (text: string) => {
    const number = /^-?\d+$/.test(text.trim()) ? Number(text) : Number.NaN;
    if (!(number >= least && number <= most))
      throw new InvalidArgumentError(`expected a whole number from ${least}${most === Number.MAX_SAFE_INTEGER ? "" : ` to ${most}`}`);
    return number;
  };
  return new Option(flags, about).env(o.env).default(o.default).argParser(parse);
}

function listOption(flags: string, description: string, refuse: (message: string) => never): Option {
  return new Option(flags, description).argParser((text: string) => {
    const items = text
      .split(",")
      .map((s) => s.trim())
      .filter((s) => s !== "");
    if (items.length === 0) throw new InvalidArgumentError("expected at least one URL");
    const bad = items.find((s) => !URL.canParse(s));
    if (bad !== undefined) throw new InvalidArgumentError(`"${bad}" is not a URL; expected for example http://10.0.0.1:2379`);
    // Not an InvalidArgumentError: commander would repeat the text, password and all.
    if (items.some(hasPassword)) refuse(`error: a URL of ${flags} must not hold a password; use the password file`);
    return items;
  });
}

function hasPassword(text: string): boolean {
  const { username, password } = new URL(text);
  return username !== "" || password !== "";
}
