/** Allocations by what may change their owner: their block, address, pod and node. */
import type { Allocation } from "./ipam-gc.ts";

export interface AddressIndex {
  readonly size: number;
  /** Replace what a block holds; the answer is what it held and does not any more. */
  setBlock(key: string, allocations: readonly Allocation[]): readonly Allocation[];
  ofIp(ip: string): readonly Allocation[];
  /** `namespace/name`. */
  ofPod(pod: string): Iterable<Allocation>;
  ofNode(node: string): Iterable<Allocation>;
}

/** Most addresses and pods have one allocation: a list each costs less than a set. */
type Lists = Map<string, readonly Allocation[]>;

export function makeAddressIndex(): AddressIndex {
  const byBlock: Lists = new Map();
  const byIp: Lists = new Map();
  const byPod: Lists = new Map();
  const byNode = new Map<string, Set<Allocation>>();
  let size = 0;
  const podOf = (a: Allocation) => (a.pod === undefined ? undefined : `${a.namespace ?? ""}/${a.pod}`);

  function remove(allocation: Allocation): void {
    size--;
    takeOut(byIp, allocation.ip, allocation);
    takeOut(byPod, podOf(allocation), allocation);
    const held = byNode.get(allocation.node ?? "");
    held?.delete(allocation);
    if (held?.size === 0) byNode.delete(allocation.node ?? "");
  }

  function add(allocation: Allocation): void {
    size++;
    putIn(byIp, allocation.ip, allocation);
    putIn(byPod, podOf(allocation), allocation);
    if (allocation.node === undefined) return;
    const held = byNode.get(allocation.node) ?? new Set<Allocation>();
    byNode.set(allocation.node, held.add(allocation));
  }

  return {
    get size() {
      return size;
    },
    setBlock(key, allocations) {
      const before = byBlock.get(key) ?? [];
      for (const allocation of before) remove(allocation);
      for (const allocation of allocations) add(allocation);
      if (allocations.length === 0) byBlock.delete(key);
      else byBlock.set(key, allocations);
      const ids = new Set(allocations.map((a) => a.id));
      return before.filter((a) => !ids.has(a.id));
    },
    ofIp: (ip) => byIp.get(ip) ?? [],
    ofPod: (pod) => byPod.get(pod) ?? [],
    ofNode: (node) => byNode.get(node) ?? [],
  };
}

function putIn(lists: Lists, key: string | undefined, allocation: Allocation): void {
  if (key !== undefined) lists.set(key, [...(lists.get(key) ?? []), allocation]);
}

function takeOut(lists: Lists, key: string | undefined, allocation: Allocation): void {
  if (key === undefined) return;
  const left = (lists.get(key) ?? []).filter((a) => a !== allocation);
  if (left.length === 0) lists.delete(key);
  else lists.set(key, left);
}
