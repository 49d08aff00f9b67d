/**
 * How to get to a next hop: on a connected network at once, else as the kernel's own routes go there.
 *
 * Source: RFC 4271 §5.1.3 and §9.1.2.1; facts §6.1.5 (gateway recursive).
 */
import { cidrContains, cidrOf, parseCidr, parseInterfaceAddress, parseIp } from "@calico/model";
import type { Cidr, Ip } from "@calico/model";

export type Connected = { readonly network: Cidr; readonly dev: string };
/** Routes of others in the main table that have an output device. */
export type Onward = { readonly network: Cidr; readonly via?: string; readonly dev: string };

export type Reachability = {
  readonly connected: readonly Connected[];
  readonly onward: readonly Onward[];
  readonly ownAddresses: readonly string[];
};

export const NO_REACHABILITY: Reachability = { connected: [], onward: [], ownAddresses: [] };

type KernelAddress = { readonly link: string; readonly cidr: string };
type KernelRoute = { readonly dst: string; readonly type: string; readonly via?: string; readonly dev?: string; readonly protocol: number };

/** What the kernel's addresses and routes say, our own protocol's routes left out. */
export function deriveReachability(
  addresses: readonly KernelAddress[],
  routes: readonly KernelRoute[],
  usableLinks: ReadonlySet<string>,
  ownProtocol: number,
): Reachability {
  const connected: Connected[] = [];
  const ownAddresses = new Set<string>();
  for (const { link, cidr } of addresses) {
    const parsed = parseInterfaceAddress(cidr);
    if (!parsed.ok) continue;
    ownAddresses.add(cidr.split("/")[0] ?? cidr);
    if (usableLinks.has(link)) connected.push({ network: cidrOf(parsed.value.ip, parsed.value.len), dev: link });
  }
  const onward = routes.flatMap((route) => {
    const network = parseCidr(route.dst);
    if (!network.ok || route.type !== "unicast" || route.dev === undefined || route.protocol === ownProtocol) return [];
    return [{ network: network.value, dev: route.dev, ...(route.via === undefined ? {} : { via: route.via }) }];
  });
  return { connected: connected.toSorted(longestFirst), onward: onward.toSorted(longestFirst), ownAddresses: [...ownAddresses].toSorted() };
}

function longestFirst(a: { network: Cidr }, b: { network: Cidr }): number {
  return b.network.len - a.network.len;
}

/** Gateway and device for a next hop, or undefined while there is no way to it. */
export function resolveNextHop(nextHop: string, reach: Reachability): { readonly via: string; readonly dev: string } | undefined {
  const ip = parseIp(nextHop);
  if (!ip.ok) return undefined;
  const on = (network: Cidr, address: Ip) => network.family === address.family && cidrContains(network, address);
  const direct = reach.connected.find(({ network }) => on(network, ip.value));
  if (direct !== undefined) return { via: nextHop, dev: direct.dev };
  const onward = reach.onward.find(({ network }) => on(network, ip.value));
  return onward === undefined ? undefined : { via: onward.via ?? nextHop, dev: onward.dev };
}
