/**
 * Hosts whose Kubernetes node is gone: since when, and which are due. First a host's addresses go, then its claims, its Calico
 * node last: as long as that is there, the others know whose the host's routes were.
 *
 * Source: facts §4.8.5, §7.6.1.
 */
import { isNodeGone, type World } from "./ipam-gc.ts";

export interface HostsLook {
  /** Hosts that have blocks. */
  readonly claimants: Iterable<string>;
  /** Hosts that still have addresses. */
  readonly inUse: ReadonlySet<string>;
  readonly goneSince: ReadonlyMap<string, number>;
  /** Nodes that this process saw in Kubernetes: their absence is a deletion, not a late registration. */
  readonly sawNode: (host: string) => boolean;
  readonly nowMs: number;
  /** For hosts that were never seen. */
  readonly graceMs: number;
}

export interface HostsDue {
  readonly goneSince: ReadonlyMap<string, number>;
  readonly due: readonly string[];
}

/** When every host is gone, none is due: that is what an API server says that was emptied, or is another cluster's. */
export function hostsDue(world: World, o: HostsLook): HostsDue {
  const hosts = new Set([...world.calicoNodes.keys(), ...o.claimants]);
  const goneSince = new Map<string, number>();
  for (const host of hosts) if (isNodeGone(host, world)) goneSince.set(host, o.goneSince.get(host) ?? o.nowMs);
  if (goneSince.size === hosts.size) return { goneSince, due: [] };
  const isDue = ([host, since]: readonly [string, number]): boolean =>
    !o.inUse.has(host) && (o.sawNode(host) || !world.calicoNodes.has(host) || o.nowMs - since >= o.graceMs);
  return { goneSince, due: [...goneSince].filter(isDue).map(([host]) => host) };
}

/** A host's pods leave the API server some time after its node did. */
const SOON_MS = 10_000;

/** Until the next look: soon after a host has gone, less and less soon while it stays in this state, the period at last. */
export function restMs(goneSince: ReadonlyMap<string, number>, o: { readonly nowMs: number; readonly periodMs: number }): number {
  if (goneSince.size === 0) return o.periodMs;
  return Math.min(o.periodMs, Math.max(SOON_MS, (o.nowMs - Math.max(...goneSince.values())) / 4));
}
