import { daemonCommand, type DaemonOptions } from "@calico/daemon";
import { parseCidr, type Cidr } from "@calico/model";
import { InvalidArgumentError, Option } from "commander";

export interface ProxyNatOptions extends DaemonOptions {
  readonly iptablesBackend: "auto" | "nft" | "legacy";
  readonly clusterCidr: readonly Cidr[];
  readonly ipFamilies: readonly (4 | 6)[];
  readonly resyncSeconds: number;
}

/** The command line of proxy-nat. */
export function proxyNatCommand() {
  return daemonCommand("proxy-nat", "Translates service addresses to pod addresses on this node, in kube-proxy's place.", {
    healthPort: 9101,
  })
    .addOption(
      new Option("--iptables-backend <name>", "which iptables writes the rules")
        .env("IPTABLES_BACKEND")
        .choices(["auto", "nft", "legacy"])
        .default("auto"),
    )
    .addOption(
      new Option(
        "--cluster-cidr <cidrs>",
        "where pods live, comma separated; service clients from elsewhere are masqueraded (none: only this node's own processes)",
      )
        .env("CLUSTER_CIDR")
        .argParser(cidrs)
        .default([], "none"),
    )
    .addOption(new Option("--ip-families <families>", "4, 6, or 4,6").env("IP_FAMILIES").argParser(families).default([4], "4"))
    .addOption(
      new Option("--resync-seconds <n>", "how often the kernel is read back and repaired")
        .env("RESYNC_SECONDS")
        .argParser(seconds)
        .default(60),
    );
}

function cidrs(text: string): readonly Cidr[] {
  return text.split(",").map((part) => {
    const cidr = parseCidr(part.trim());
    if (!cidr.ok) throw new InvalidArgumentError(cidr.error);
    return cidr.value;
  });
}

function families(text: string): readonly (4 | 6)[] {
  const known: Readonly<Record<string, readonly (4 | 6)[]>> = { "4": [4], "6": [6], "4,6": [4, 6], "6,4": [4, 6] };
  const found = known[text.replaceAll(" ", "")];
  if (found === undefined) throw new InvalidArgumentError("expected 4, 6, or 4,6");
  return found;
}

function seconds(text: string): number {
  const n = Number(text);
  if (!(n >= 0.1 && n <= 86_400)) throw new InvalidArgumentError("expected 0.1 to 86400");
  return n;
}
