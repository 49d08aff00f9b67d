/**
 * The invariant of addresses, kept up as records change: each allocated address has exactly one living owner, or a reason with a date
 * why it has none. What a change may have touched is judged again, nothing else.
 *
 * It only watches. Whatever is released is looked at anew by the collector, which does not rely on this memory.
 */
import type { KeyValue } from "@calico/datastore";
import { type Pool, poolOfIp } from "@calico/ipam";
import { parseIp } from "@calico/model";
import { type AddressIndex, makeAddressIndex } from "./ipam-address-index.ts";
import { makeMachineIndex } from "./ipam-machine-index.ts";
import { makeEndpointIndex } from "./ipam-endpoint-index.ts";
import { censusOf } from "./ipam-gc-census.ts";
import { type AuditCounts, makeOpinion, type Opinion } from "./ipam-opinion.ts";
import type { Allocation, PodLook, World } from "./ipam-gc.ts";

type Stored = Pick<KeyValue, "key" | "value" | "modRevision" | "createRevision">;

export interface Audit {
  setPools(pools: readonly Pool[]): void;
  setBlock(key: string, record: Stored | undefined): void;
  setEndpoint(key: string, record: Stored | undefined): void;
  /** `undefined` for a node that is not Kubernetes'. */
  setCalicoNode(host: string, node: { readonly kubeNode: string | undefined } | undefined): void;
  setPod(key: string, pod: PodLook | undefined, revision: string): void;
  setKubeNode(name: string, isThere: boolean, revision: string): void;
  /** Whether there is something to look up among virtual machines. */
  hasMachines(): boolean;
  setMachine(name: string, o: { readonly kind: string; readonly isThere: boolean; readonly revision: string }): void;
  /** Whether all machines of both kinds were told; until then, and from when they are not followed any more, none is judged. */
  setMachinesKnown(areKnown: boolean): void;
  /** Judge what was touched since the last time. */
  settle(nowMs: number): void;
  counts(): AuditCounts;
  findings: Opinion["findings"];
}

export function makeAudit(): Audit {
  const index = makeAddressIndex();
  const endpoints = makeEndpointIndex();
  const { byIp } = endpoints;
  const broken = new Map<string, string>();
  const touchedIps = new Set<string>();
  const pods = new Map<string, PodLook>();
  const kubeNodes = new Set<string>();
  const calicoNodes = new Map<string, string | undefined>();
  const world = {
    ...{ pods, kubeNodes, calicoNodes, endpoints: byIp, podsRevision: "", nodesRevision: "", etcdRevision: 0 },
    machines: undefined as World["machines"],
  };
  const opinion = makeOpinion({ world, broken, isInPool, ofIp: (ip) => index.ofIp(ip) });
  let pools: readonly Pool[] = [];

  const touch = (allocations: Iterable<Allocation>) => {
    for (const { ip } of allocations) touchedIps.add(ip);
  };
  const touchHost = (host: string) => {
    touch(index.ofNode(host));
    for (const [name, kubeNode] of calicoNodes) if (kubeNode === host) touch(index.ofNode(name));
  };

  function setBlock(key: string, record: Stored | undefined): void {
    const census = record === undefined ? undefined : censusOf([record], pools);
    const [problem] = census?.broken ?? [];
    broken.delete(key);
    if (problem !== undefined) broken.set(key, problem);
    for (const gone of index.setBlock(key, census?.allocations ?? [])) {
      opinion.forget(gone.id);
      touchedIps.add(gone.ip);
    }
    touch(census?.allocations ?? []);
    touchedIps.add(key);
  }

  function isInPool(text: string): boolean {
    const ip = parseIp(text);
    return ip.ok && poolOfIp(pools, ip.value) !== undefined;
  }

  return {
    setPools(next) {
      pools = next;
      for (const ip of byIp.keys()) if (index.ofIp(ip).length === 0) touchedIps.add(ip);
    },
    setBlock,
    setEndpoint(key, record) {
      for (const ip of endpoints.set(key, record)) touchedIps.add(ip);
      world.etcdRevision = Math.max(world.etcdRevision, record?.modRevision ?? 0);
    },
    setCalicoNode(host, node) {
      if (node === undefined) calicoNodes.delete(host);
      else calicoNodes.set(host, node.kubeNode);
      touchHost(host);
    },
    setPod(key, pod, revision) {
      if (pod === undefined) pods.delete(key);
      else pods.set(key, pod);
      world.podsRevision = revision;
      touch(index.ofPod(key));
    },
    setKubeNode(name, isThere, revision) {
      world.nodesRevision = revision;
      if (kubeNodes.has(name) === isThere) return;
      if (isThere) kubeNodes.add(name);
      else kubeNodes.delete(name);
      touchHost(name);
    },
    ...machinesOf({ world, index, touch }),
    settle(nowMs) {
      for (const ip of touchedIps) opinion.form(ip, nowMs);
      touchedIps.clear();
    },
    counts: () => opinion.counts(index.size),
    findings: opinion.findings,
  };
}

type Machines = Pick<Audit, "hasMachines" | "setMachine" | "setMachinesKnown">;

function machinesOf(o: {
  readonly world: { machines: World["machines"] };
  readonly index: AddressIndex;
  readonly touch: (allocations: Iterable<Allocation>) => void;
}): Machines {
  const { world, index, touch } = o;
  const machines = makeMachineIndex();
  return {
    hasMachines: () => index.ofMachine().length > 0,
    setMachine(name, change) {
      const isNews = machines.set(name, change);
      if (isNews && world.machines !== undefined) touch(index.ofMachine(name));
    },
    setMachinesKnown(areKnown) {
      if (areKnown === (world.machines !== undefined)) return;
      world.machines = areKnown ? machines : undefined;
      touch(index.ofMachine());
    },
  };
}
