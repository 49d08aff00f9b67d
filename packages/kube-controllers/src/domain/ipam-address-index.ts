/** Allocations by what may change their owner: their block, address, pods, node and virtual machine. */
import { type Allocation, ownersOf } from "./ipam-gc.ts";

export interface AddressIndex {
  readonly size: number;
  /** Replace what a block holds; the answer is what it held and does not any more. */
  setBlock(key: string, allocations: readonly Allocation[]): readonly Allocation[];
  ofIp(ip: string): readonly Allocation[];
  /** `namespace/name`. */
  ofPod(pod: string): Iterable<Allocation>;
  ofNode(node: string): Iterable<Allocation>;
  /** `namespace/name`, and those of which only a handle is known; without a name those of all machines. */
  ofMachine(name?: string): readonly Allocation[];
}

/** No machine's name: it has no slash. */
const UNNAMED = "";

/** Most addresses and pods have one allocation: a list each costs less than a set. */
type Lists = Map<string, readonly Allocation[]>;

export function makeAddressIndex(): AddressIndex {
  const byBlock: Lists = new Map();
  const byIp: Lists = new Map();
  const byPod: Lists = new Map();
  const byNode = new Map<string, Set<Allocation>>();
  const byMachine: Lists = new Map();
  let size = 0;
  const podsOf = (a: Allocation) => new Set(ownersOf(a).flatMap((o) => (o.pod === undefined ? [] : [`${o.namespace ?? ""}/${o.pod}`])));
  const machineOf = ({ machine }: Allocation) => (machine === undefined ? undefined : (machine.name ?? UNNAMED));

  function remove(allocation: Allocation): void {
    size--;
    takeOut(byIp, allocation.ip, allocation);
    for (const pod of podsOf(allocation)) takeOut(byPod, pod, allocation);
    takeOut(byMachine, machineOf(allocation), allocation);
    const held = byNode.get(allocation.node ?? "");
    held?.delete(allocation);
    if (held?.size === 0) byNode.delete(allocation.node ?? "");
  }

  function add(allocation: Allocation): void {
    size++;
    putIn(byIp, allocation.ip, allocation);
    for (const pod of podsOf(allocation)) putIn(byPod, pod, allocation);
    putIn(byMachine, machineOf(allocation), allocation);
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
    ofMachine: (name) =>
      name === undefined ? [...byMachine.values()].flat() : [...(byMachine.get(name) ?? []), ...(byMachine.get(UNNAMED) ?? [])],
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
