/**
 * The MTU of pods: the smallest of the node's real interfaces, less what the dearest tunnel in use adds.
 *
 * Source: Calico felix/dataplane/linux/int_dataplane.go (ConfigureDefaultMTUs); facts 5.10.7.
 */
export const VXLAN_OVERHEAD = 50;
export const IPIP_OVERHEAD = 20;

/** Calico's default MTUIfacePattern. */
const REAL_INTERFACE = /^((en|wl|ww|sl|ib)[Pcopsvx].*|(eth|wlan|wwan).*)/;

/** Undefined when no interface looks like a real one: better no file than a guess. */
export function podMtu(
  links: readonly { readonly name: string; readonly mtu: number; readonly up: boolean }[],
  tunnels: { readonly vxlan: boolean; readonly ipip: boolean },
): number | undefined {
  const mtus = links.filter((link) => link.up && REAL_INTERFACE.test(link.name)).map((link) => link.mtu);
  if (mtus.length === 0) return undefined;
  return Math.min(...mtus) - Math.max(tunnels.vxlan ? VXLAN_OVERHEAD : 0, tunnels.ipip ? IPIP_OVERHEAD : 0);
}
