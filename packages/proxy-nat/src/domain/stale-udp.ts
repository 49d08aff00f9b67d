import { formatIp } from "@calico/model";
import type { UdpPort } from "./program.ts";

/** A UDP flow that conntrack must forget: to `vip:port`, and by way of `target` if given, else one that was never translated. */
export interface StaleFlow {
  readonly vip: string;
  readonly port: number;
  readonly target?: string;
}

/**
 * Flows that would go on to where nobody listens: to endpoints that are gone, and, once a port has its first endpoint, flows from before.
 * TCP notices by itself; UDP clients that keep their socket never would. Source: kube-proxy pkg/proxy/conntrack.
 */
export function staleFlows(before: readonly UdpPort[], after: readonly UdpPort[]): readonly StaleFlow[] {
  const keyOf = (p: UdpPort) => `${p.vip.family}|${p.vip.value}|${p.port}`;
  const now = new Map(after.map((p) => [keyOf(p), p]));
  const then = new Map(before.map((p) => [keyOf(p), p]));
  const removed = before.flatMap((p) => {
    const still = new Set(now.get(keyOf(p))?.targets.map((t) => t.ip));
    const gone = new Set(p.targets.map((t) => t.ip).filter((ip) => !still.has(ip)));
    return [...gone].map((target) => ({ vip: formatIp(p.vip), port: p.port, target }));
  });
  const served = after.filter((p) => p.targets.length > 0 && (then.get(keyOf(p))?.targets.length ?? 0) === 0);
  return [...removed, ...served.map((p) => ({ vip: formatIp(p.vip), port: p.port }))];
}
