import { hostname } from "node:os";
import { Command, InvalidArgumentError, Option } from "commander";
import type { LogLevel } from "./logger.ts";

/** The flags that every daemon shares. Lists are split at commas; ports are numbers. */
export interface DaemonOptions {
  readonly node: string;
  readonly nats: readonly string[];
  readonly etcd: readonly string[];
  readonly kubeconfig: string | undefined;
  readonly runDir: string;
  readonly varDir: string;
  readonly logLevel: LogLevel;
  readonly healthPort: number;
}

/**
 * A commander program with the common flags; a daemon adds its own, then calls `parse()` and `opts()`.
 * Each flag has an environment variable, named in `--help`; the flag wins.
 */
export function daemonCommand(name: string, description: string, defaults: { readonly healthPort: number }): Command {
  return new Command(name)
    .description(description)
    .addOption(new Option("--node <name>", "this node's name, as in Kubernetes").env("NODENAME").default(hostname().toLowerCase()))
    .addOption(listOption("--nats <urls>", "NATS servers, comma separated").env("NATS_URL").default(["nats://127.0.0.1:4222"]))
    .addOption(listOption("--etcd <urls>", "etcd endpoints, comma separated").env("ETCD_ENDPOINTS").default(["http://127.0.0.1:2379"]))
    .addOption(new Option("--kubeconfig <file>", "how to reach the Kubernetes API, where this daemon needs it").env("KUBECONFIG"))
    .addOption(new Option("--run-dir <folder>", "sockets and endpoint status files").env("CALICO_RUN_DIR").default("/var/run/calico"))
    .addOption(new Option("--var-dir <folder>", "nodename and mtu files").env("CALICO_VAR_DIR").default("/var/lib/calico"))
    .addOption(
      new Option("--log-level <level>", "least severe level that is logged")
        .env("LOG_LEVEL")
        .choices(["error", "warn", "info", "debug"])
        .default("info"),
    )
    .addOption(
      new Option("--health-port <port>", "loopback port of /liveness, /readiness and /metrics; -1 for none")
        .env("HEALTH_PORT")
        .default(defaults.healthPort)
        .argParser(parsePort),
    );
}

function listOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser((text: string) => {
    const items = text
      .split(",")
      .map((s) => s.trim())
      .filter((s) => s !== "");
    if (items.length === 0) throw new InvalidArgumentError("expected at least one URL");
    const bad = items.find((s) => !URL.canParse(s));
    if (bad !== undefined) throw new InvalidArgumentError(`"${bad}" is not a URL; expected for example http://10.0.0.1:2379`);
    return items;
  });
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < -1 || port > 65535) throw new InvalidArgumentError("expected -1 to 65535");
  return port;
}
