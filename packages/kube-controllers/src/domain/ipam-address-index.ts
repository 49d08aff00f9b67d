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

export function makeAddressIndex(): AddressIndex {
  const byBlock = new Map<string, ReadonlyMap<string, Allocation>>();
  const byIp = new Map<string, Map<string, Allocation>>();
  const byPod = new Map<string, Map<string, Allocation>>();
  const byNode = new Map<string, Map<string, Allocation>>();
  let size = 0;
  const places = (a: Allocation): readonly (readonly [Map<string, Map<string, Allocation>>, string])[] => [
    [byIp, a.ip],
    ...(a.pod === undefined ? [] : [[byPod, `${a.namespace ?? ""}/${a.pod}`] as const]),
    ...(a.node === undefined ? [] : [[byNode, a.node] as const]),
  ];
  const idOf = (a: Allocation) => `${a.block} ${a.id}`;

  function remove(allocation: Allocation): void {
    size--;
    for (const [map, key] of places(allocation)) {
      const held = map.get(key);
      held?.delete(idOf(allocation));
      if (held?.size === 0) map.delete(key);
    }
  }

  function add(allocation: Allocation): void {
    size++;
    for (const [map, key] of places(allocation)) {
      const held = map.get(key) ?? new Map<string, Allocation>();
      map.set(key, held.set(idOf(allocation), allocation));
    }
  }

  return {
    get size() {
      return size;
    },
    setBlock(key, allocations) {
      const before = byBlock.get(key);
      const next = new Map(allocations.map((a) => [idOf(a), a]));
      for (const allocation of before?.values() ?? []) remove(allocation);
      for (const allocation of next.values()) add(allocation);
      if (next.size === 0) byBlock.delete(key);
      else byBlock.set(key, next);
      return [...(before ?? [])].flatMap(([id, allocation]) => (next.has(id) ? [] : [allocation]));
    },
    ofIp: (ip) => [...(byIp.get(ip)?.values() ?? [])],
    ofPod: (pod) => byPod.get(pod)?.values() ?? [],
    ofNode: (node) => byNode.get(node)?.values() ?? [],
  };
}
