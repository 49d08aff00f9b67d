import { daemonCommand } from "@calico/daemon";
import type { DaemonOptions } from "@calico/daemon";
import { InvalidArgumentError, Option } from "commander";

export type FelixFlags = DaemonOptions & {
  readonly iptablesBackend: "auto" | "nft" | "legacy";
  readonly endpointStatusDir: string;
  readonly refresh: number;
};

/** The command line of felix. */
export function parseFlags(): FelixFlags {
  const flags = daemonCommand("felix", "Policy, IP sets, workload routes and tunnels of one node.", { healthPort: 9099 })
    .addOption(
      new Option("--iptables-backend <name>", "which iptables")
        .env("FELIX_IPTABLESBACKEND")
        .choices(["auto", "nft", "legacy"])
        .default("auto"),
    )
    .addOption(
      new Option("--endpoint-status-dir <folder>", "files that tell CNI which pods are ready (default: <run-dir>/endpoint-status)").env(
        "FELIX_ENDPOINTSTATUSDIR",
      ),
    )
    .addOption(
      new Option("--refresh <seconds>", "how often the kernel is compared; rules half as often")
        .env("FELIX_REFRESH")
        .default(90)
        .argParser(parseSeconds),
    )
    .parse()
    .opts<Omit<FelixFlags, "endpointStatusDir"> & { readonly endpointStatusDir?: string }>();
  return { ...flags, endpointStatusDir: flags.endpointStatusDir ?? `${flags.runDir}/endpoint-status` };
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0)) throw new InvalidArgumentError("expected a number of seconds above 0");
  return seconds;
}
