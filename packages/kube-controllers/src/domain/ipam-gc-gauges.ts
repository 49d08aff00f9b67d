/** The collector's metrics, with Calico's names. Source: facts §4.8.7. */
import type { MetricSpec } from "@calico/daemon";
import type { Census } from "./ipam-gc-census.ts";

const byPoolAndNode = ["ippool", "node"];

export const IPAM_GC_METRICS: readonly MetricSpec[] = [
  { name: "ipam_allocations_in_use", type: "gauge", help: "Addresses in use.", labels: byPoolAndNode },
  { name: "ipam_allocations_borrowed", type: "gauge", help: "Addresses in use from a block of another host.", labels: byPoolAndNode },
  { name: "ipam_blocks", type: "gauge", help: "Blocks by the host that has them.", labels: byPoolAndNode },
  {
    name: "ipam_allocations_gc_candidates",
    type: "gauge",
    help: "Addresses without a living owner, not yet released.",
    labels: byPoolAndNode,
  },
  { name: "ipam_allocations_gc_reclamations", type: "counter", help: "Addresses released on evidence.", labels: byPoolAndNode },
  { name: "ipam_ippool_size", type: "gauge", help: "Addresses of a pool.", labels: ["ippool"] },
  { name: "ipam_ippool_reserved", type: "gauge", help: "Addresses of a pool's blocks that are reserved.", labels: ["ippool"] },
  { name: "ipam_allocations_per_node", type: "gauge", help: "Addresses in use.", labels: ["node"] },
  { name: "ipam_allocations_borrowed_per_node", type: "gauge", help: "Addresses in use from a block of another host.", labels: ["node"] },
  { name: "ipam_blocks_per_node", type: "gauge", help: "Blocks by the host that has them.", labels: ["node"] },
  {
    name: "ipam_audit_addresses",
    type: "gauge",
    help: "Allocated addresses: with a living owner, without one and since when is known, or not the collector's to judge.",
    labels: ["state"],
  },
  {
    name: "ipam_addresses_without_owner",
    type: "gauge",
    help: "Addresses that have had no living owner for longer than their release may take. 0, or something holds the release up.",
  },
  { name: "ipam_contradictions", type: "gauge", help: "Addresses whose records contradict each other." },
  { name: "ipam_gc_scans_total", type: "counter", help: "Looks at everything.", labels: ["outcome"] },
];

/** Blocks outside of every pool. */
export const NO_POOL = "no_ippool";

export interface Gauge {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** All gauges of one look; what was there before and is not now must be set to 0 by the caller. */
export function gaugesOf(
  census: Census,
  o: {
    readonly candidates: ReadonlySet<string>;
    readonly pools: readonly { readonly pool: string | undefined; readonly capacity: number; readonly reserved: number }[];
  },
): readonly Gauge[] {
  const counts = new Map<string, Gauge>();
  const add = (name: string, labels: Record<string, string>) => {
    const key = `${name} ${JSON.stringify(labels)}`;
    counts.set(key, { name, labels, value: (counts.get(key)?.value ?? 0) + 1 });
  };
  for (const a of census.allocations) {
    const labels = { ippool: a.pool ?? NO_POOL, node: a.node ?? "" };
    add("ipam_allocations_in_use", labels);
    add("ipam_allocations_per_node", { node: labels.node });
    if (a.borrowed) add("ipam_allocations_borrowed", labels);
    if (a.borrowed) add("ipam_allocations_borrowed_per_node", { node: labels.node });
    if (o.candidates.has(a.id)) add("ipam_allocations_gc_candidates", labels);
  }
  for (const b of census.blocks) {
    add("ipam_blocks", { ippool: b.pool ?? NO_POOL, node: b.host ?? "" });
    add("ipam_blocks_per_node", { node: b.host ?? "" });
  }
  for (const { pool, capacity, reserved } of o.pools) {
    if (pool === undefined) continue;
    counts.set(`size ${pool}`, { name: "ipam_ippool_size", labels: { ippool: pool }, value: capacity });
    counts.set(`reserved ${pool}`, { name: "ipam_ippool_reserved", labels: { ippool: pool }, value: reserved });
  }
  return [...counts.values()];
}
