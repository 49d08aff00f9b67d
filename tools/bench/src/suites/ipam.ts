/**
 * Addresses per second, and what each costs in etcd. The peer, at the same concurrency and on the same etcd in turns, is the
 * least that any allocator on etcd does: one transaction an address that compares and writes two keys of the same sizes, no
 * two workers on one key. All nodes and peers are in this one process, so that at many nodes it is as much the bound as etcd.
 */
import type { Row, Suite } from "../row.ts";
import { crowded } from "./ipam/crowded.ts";
import { throughput, type Load } from "./ipam/throughput.ts";

const LOADS: readonly Load[] = [
  { nodes: 1, atOnce: 1 },
  { nodes: 1, atOnce: 30 },
  { nodes: 16, atOnce: 1 },
  { nodes: 16, atOnce: 10 },
  { nodes: 100, atOnce: 1 },
];

export const ipam: Suite = {
  description:
    "addresses per second of 1, 16 and 100 nodes, one pod or many at once, etcd transactions per address, conflicts; one address among 100 pools and 10,000 blocks",
  async run(options) {
    const rows: Row[] = [];
    for (const load of LOADS) rows.push(...(await throughput(load, options)));
    rows.push(...(await crowded(options)));
    return rows;
  },
};
