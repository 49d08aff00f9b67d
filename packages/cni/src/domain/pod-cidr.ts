/**
 * `usePodCidr` and `usePodCidrIPv6` in host-local's configuration stand for what Kubernetes gave the node.
 *
 * Source: calico cni-plugin/internal/pkg/utils (ReplaceHostLocalIPAMPodCIDRs); facts §3.6.6, §3.8.1.
 */
import { CniFault } from "./fault.ts";
import type { Netconf } from "./netconf.ts";
import { isV6 } from "./result.ts";

const PLACEHOLDERS: Readonly<Record<string, { readonly family: string; readonly v6: boolean; readonly dummy: string }>> = {
  usePodCidr: { family: "IPv4", v6: false, dummy: "0.0.0.0/0" },
  usePodCidrIPv6: { family: "IPv6", v6: true, dummy: "::/0" },
};

type Range = Readonly<Record<string, unknown>>;
type Ipam = Readonly<Record<string, unknown>> & { readonly subnet?: unknown; readonly ranges?: unknown };

export function usesPodCidr(conf: Netconf): boolean {
  const named = [conf.ipam?.subnet, ...(conf.ipam?.ranges ?? []).flat().map((r) => r.subnet)];
  return conf.ipam?.type === "host-local" && named.some((s) => s !== undefined && s in PLACEHOLDERS);
}

/** The `ipam` object with placeholders filled in; with `undefined` for the CIDRs, by what DEL gets along with. */
export function withPodCidrs(ipam: Ipam, podCidrs: readonly string[] | undefined): Ipam {
  const fill = (subnet: unknown): unknown => {
    const placeholder = typeof subnet === "string" ? PLACEHOLDERS[subnet] : undefined;
    if (placeholder === undefined) return subnet;
    if (podCidrs === undefined) return placeholder.dummy;
    const cidr = podCidrs.find((c) => isV6(c) === placeholder.v6);
    if (cidr !== undefined) return cidr;
    throw new CniFault(
      "tryAgain",
      `no podCidr for node: Kubernetes gave it no ${placeholder.family} range`,
      "see kubectl get node -o yaml, spec.podCIDRs",
    );
  };
  const rangeOf = (range: Range): Range => ("subnet" in range ? { ...range, subnet: fill(range["subnet"]) } : range);
  return {
    ...ipam,
    ...(ipam.subnet === undefined ? {} : { subnet: fill(ipam.subnet) }),
    ...(Array.isArray(ipam.ranges) ? { ranges: (ipam.ranges as Range[][]).map((set) => set.map(rangeOf)) } : {}),
  };
}
