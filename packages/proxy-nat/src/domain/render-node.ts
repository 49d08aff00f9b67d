import type { FeedEvent } from "@calico/bus";
import { makeNatCore, type NatConfig } from "./core.ts";
import { HOOKS } from "./statics.ts";
import { printRestore } from "./restore.ts";

/**
 * The whole program of one node as `iptables-restore` text, one per family, from events alone: what a node that starts with an empty kernel
 * would be given. Chains are sorted, so that the same state gives the same text whatever its history.
 */
export function renderNode(
  events: Iterable<FeedEvent>,
  node: string,
  config: Partial<Omit<NatConfig, "node">> = {},
): ReadonlyMap<4 | 6, string> {
  const families = config.families ?? [4];
  const core = makeNatCore({ node, families, clusterCidrs: config.clusterCidrs ?? [] });
  for (const event of events) core.update(event);
  core.flush();
  const set = [...core.chains().values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const hooks = HOOKS.map((h) => ({ table: h.table, line: `-I ${h.chain} ${h.rule}` }));
  return new Map(families.map((family) => [family, printRestore(family, { set, remove: [], hooks })]));
}
