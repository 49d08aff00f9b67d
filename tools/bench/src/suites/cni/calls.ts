/** Timed calls of plugins of several makes on one node. */
import type { Call, Outcome, TestNode } from "@calico/cni/testing";
import type { SuiteOptions } from "../../row.ts";

export type Variant = {
  readonly name: "calico" | "ptp+host-local" | "bridge+host-local";
  readonly call: (node: TestNode, o: Call) => Promise<Outcome>;
  readonly conf: Readonly<Record<string, unknown>>;
};

/** The reference plugins keep their addresses in files; ours writes an endpoint and an address to etcd besides. */
export function variantsOf(dir: string, o: { readonly policyWaitSec: number }): Readonly<Record<"calico" | "ptp" | "bridge", Variant>> {
  const hostLocal = (name: string, subnet: string) => ({ ipam: { type: "host-local", subnet, dataDir: `${dir}/${name}` } });
  return {
    calico: { name: "calico", call: (node, c) => node.cni(c), conf: { policy_setup_timeout_seconds: o.policyWaitSec } },
    ptp: {
      name: "ptp+host-local",
      call: (node, c) => node.plugin("ptp", c),
      conf: { type: "ptp", name: "ptp", ...hostLocal("ptp", "10.61.0.0/16") },
    },
    bridge: {
      name: "bridge+host-local",
      call: (node, c) => node.plugin("bridge", c),
      conf: { type: "bridge", name: "bridge", bridge: "bench0", isGateway: true, ...hostLocal("bridge", "10.62.0.0/16") },
    },
  };
}

/** Milliseconds by variant and command, from starting the executable until it has ended. */
export type Times = Map<string, number[]>;

export function timesOf(times: Times, key: string): number[] {
  return times.get(key) ?? times.set(key, []).get(key)!;
}

export type Plan = { readonly variants: readonly Variant[]; readonly options: SuiteOptions };

export async function timed(node: TestNode, v: Variant, o: { command: string; pod: string; times: Times; life?: number }): Promise<void> {
  const container = `${o.pod}-${v.name.slice(0, 3)}-${o.life ?? 0}`;
  const done = await v.call(node, { command: o.command, pod: o.pod, container, conf: v.conf });
  if (done.exit !== 0) throw new Error(`Cannot measure: ${o.command} by ${v.name} failed for ${o.pod}: ${done.stdout}`);
  timesOf(o.times, `${v.name} ${o.command}`).push(done.ms);
}
