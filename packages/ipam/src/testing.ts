/** For other packages' tests: a pool in a fake store, and the check that all records agree with each other. */
import { affinityKey, cidrOverlaps, compareCidr, formatCidr, keyOf, parseKey } from "@calico/model";
import type { KeyValue, Store } from "@calico/datastore";
import { parseAffinity, parseClaimant } from "./domain/affinity.ts";
import { parseBlock } from "./domain/block-json.ts";
import { ownerOf, WINDOWS_RESERVED_HANDLE } from "./domain/block.ts";
import type { Block } from "./domain/block.ts";
import { parseHandle } from "./domain/handle.ts";

/** Write a pool as the datastore has it. */
export async function putPool(store: Pick<Store, "put">, name: string, spec: Readonly<Record<string, unknown>>): Promise<void> {
  const pool = { kind: "IPPool", apiVersion: "projectcalico.org/v3", metadata: { name }, spec };
  await store.put(keyOf({ kind: "IPPool", name }), JSON.stringify(pool));
}

/** Write a node as the datastore has it. */
export async function putNode(
  store: Pick<Store, "put">,
  name: string,
  o: { labels?: Record<string, string>; spec?: object } = {},
): Promise<void> {
  const node = { kind: "Node", apiVersion: "projectcalico.org/v3", metadata: { name, labels: o.labels ?? {} }, spec: o.spec ?? {} };
  await store.put(keyOf({ kind: "Node", name }), JSON.stringify(node));
}

/** What is wrong with the IPAM records of a store, in words; empty when they agree. */
export function disagreements(dump: ReadonlyMap<string, KeyValue>): readonly string[] {
  const problems: string[] = [];
  const blocks: Block[] = [];
  const counted = new Map<string, Map<string, number>>();
  for (const { key, value } of dump.values()) {
    if (!key.startsWith("/calico/ipam/v2/assignment/")) continue;
    const block = parseBlock(value);
    if (!block.ok) problems.push(`${key}: ${block.error}`);
    else blocks.push(block.value);
  }
  for (const block of blocks) {
    count(block, counted);
    const claimant = parseClaimant(block.affinity);
    const key = claimant && affinityKey(claimant.name, block.cidr, claimant.type);
    if (key !== undefined && !dump.has(key))
      problems.push(`block ${formatCidr(block.cidr)} is ${block.affinity}'s, but there is no ${key}`);
  }
  return [...problems, ...overlaps(blocks), ...affinityProblems(dump, blocks), ...handleProblems(dump, counted)];
}

function overlaps(blocks: readonly Block[]): readonly string[] {
  const ordered = blocks.map((b) => b.cidr).sort(compareCidr);
  return ordered.flatMap((cidr, i) => {
    const before = ordered[i - 1];
    return before !== undefined && cidrOverlaps(before, cidr) ? [`blocks ${formatCidr(before)} and ${formatCidr(cidr)} overlap`] : [];
  });
}

function count(block: Block, counted: Map<string, Map<string, number>>): void {
  for (const ordinal of block.allocations.keys()) {
    const handle = ownerOf(block, ordinal)?.handleId;
    if (handle === undefined || handle === WINDOWS_RESERVED_HANDLE) continue;
    const blocks = counted.get(handle) ?? new Map<string, number>();
    counted.set(handle, blocks.set(formatCidr(block.cidr), (blocks.get(formatCidr(block.cidr)) ?? 0) + 1));
  }
}

function affinityProblems(dump: ReadonlyMap<string, KeyValue>, blocks: readonly Block[]): readonly string[] {
  return [...dump.values()].flatMap(({ key, value }) => {
    const { cidr, host, affinityType } = parseKey(key) ?? {};
    if (cidr === undefined || host === undefined || parseAffinity(value) !== "confirmed") return [];
    const affinity = blocks.find((b) => formatCidr(b.cidr) === cidr)?.affinity;
    return affinity === `${affinityType}:${host}` ? [] : [`${key} is confirmed, but the block's affinity is ${affinity ?? "none"}`];
  });
}

function handleProblems(dump: ReadonlyMap<string, KeyValue>, counted: ReadonlyMap<string, ReadonlyMap<string, number>>): readonly string[] {
  const problems: string[] = [];
  const prefix = "/calico/ipam/v2/handle/";
  const stored = new Map([...dump.values()].filter((kv) => kv.key.startsWith(prefix)).map((kv) => [kv.key.slice(prefix.length), kv.value]));
  for (const id of new Set([...stored.keys(), ...counted.keys()])) {
    const text = stored.get(id);
    const handle = text === undefined ? undefined : parseHandle(text);
    const have = JSON.stringify(handle?.ok ? [...handle.value].sort() : []);
    const want = JSON.stringify([...(counted.get(id) ?? [])].sort());
    if (have !== want) problems.push(`handle ${id} says ${have}, the blocks say ${want}`);
  }
  return problems;
}
