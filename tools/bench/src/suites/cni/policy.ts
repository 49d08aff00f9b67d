/** ADD with the wait for the pod's policy: etcd, syncer, NATS, felix and iptables are all there. */
import { setTimeout as pause } from "node:timers/promises";
import type { TestNode } from "@calico/cni/testing";
import { timed, type Plan, type Times } from "./calls.ts";

const PODS = 20;
/** What felix still does after a round of DELs must not be measured as the next ADD's. */
const SETTLE_MS = 1500;

/** Pods start one after another, as many as a node gets at a roll-out; then all end. */
export async function withPolicy(node: TestNode, { variants, rounds, options }: Plan & { rounds: number }): Promise<Times> {
  const times: Times = new Map();
  for (const v of variants) for (let i = 0; i < PODS; i++) await node.podNetns(`policy-${v.name[0]}-${i}`);
  for (let round = -1; round < rounds; round++) {
    options.signal.throwIfAborted();
    options.progress(`with the policy wait: round ${Math.max(0, round + 1)} of ${rounds}`);
    const into: Times = round < 0 ? new Map() : times;
    for (const command of ["ADD", "DEL"])
      for (let i = 0; i < PODS; i++)
        for (const v of i % 2 === 0 ? variants : variants.toReversed())
          await timed(node, v, { command, pod: `policy-${v.name[0]}-${i}`, times: into, life: round });
    await pause(SETTLE_MS);
  }
  return times;
}
