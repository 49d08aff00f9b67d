/**
 * Releasing addresses of a block, and the cooldown after it. A released address first points at an attribute that says
 * when; only the garbage collector puts it back on the free list.
 *
 * Source: calico libcalico-go/lib/ipam/ipam_block.go (release, garbageCollect).
 */
import { err, ok } from "@calico/model";
import type { Result } from "@calico/model";
import { bumped, ordinalsOfHandle, ownerOf, rfc3339 } from "./block.ts";
import type { Block, BlockAttribute } from "./block.ts";

/** `handle` and `sequence`, when given, must be those of the allocation, or the address is somebody else's by now. */
export type ReleaseRequest = { readonly ordinal: number; readonly handle?: string; readonly sequence?: bigint };

export type ReleaseError =
  | { readonly kind: "badHandle"; readonly ordinal: number; readonly wanted: string; readonly found: string | undefined }
  | { readonly kind: "badSequence"; readonly ordinal: number; readonly wanted: bigint; readonly found: bigint | undefined };

export type Released = {
  readonly block: Block;
  readonly released: readonly number[];
  readonly notAllocated: readonly number[];
  /** Addresses given back per handle. */
  readonly handles: ReadonlyMap<string, number>;
};

export type Cooldown = { readonly nowMs: number; readonly cooldownSec: number };

/** Release all of `requests`, or none if one of them names an allocation that is not there any more. */
export function release(block: Block, requests: readonly ReleaseRequest[], time: Cooldown): Result<Released, ReleaseError> {
  const unique = [...new Map(requests.map((r) => [r.ordinal, r])).values()];
  const live = unique.filter((r) => ownerOf(block, r.ordinal) !== undefined);
  for (const r of live) {
    const problem = mismatch(block, r);
    if (problem !== undefined) return err(problem);
  }
  const released = live.map((r) => r.ordinal);
  const notAllocated = unique.filter((r) => !released.includes(r.ordinal)).map((r) => r.ordinal);
  if (released.length === 0) return ok({ block, released, notAllocated, handles: new Map() });
  return ok({ block: collect(cool(block, released, time.nowMs), time), released, notAllocated, handles: handleCounts(block, released) });
}

/** Release everything that a handle holds in this block. */
export function releaseHandle(block: Block, handle: string, time: Cooldown): Released {
  const outcome = release(
    block,
    ordinalsOfHandle(block, handle).map((ordinal) => ({ ordinal })),
    time,
  );
  if (!outcome.ok) throw new Error(`release without conditions cannot fail, but said ${outcome.error.kind}`);
  return outcome.value;
}

function mismatch(block: Block, r: ReleaseRequest): ReleaseError | undefined {
  const found = ownerOf(block, r.ordinal)?.handleId;
  if (r.handle !== undefined && r.handle !== found) return { kind: "badHandle", ordinal: r.ordinal, wanted: r.handle, found };
  const sequence = block.sequenceNumberForAllocation.get(r.ordinal);
  if (r.sequence !== undefined && r.sequence !== sequence)
    return { kind: "badSequence", ordinal: r.ordinal, wanted: r.sequence, found: sequence };
  return undefined;
}

function handleCounts(block: Block, ordinals: readonly number[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const ordinal of ordinals) {
    const handle = ownerOf(block, ordinal)?.handleId;
    if (handle !== undefined) counts.set(handle, (counts.get(handle) ?? 0) + 1);
  }
  return counts;
}

function cool(block: Block, ordinals: readonly number[], nowMs: number): Block {
  const chosen = new Set(ordinals);
  const index = block.attributes.length;
  const sequences = new Map(block.sequenceNumberForAllocation);
  for (const ordinal of ordinals) sequences.set(ordinal, block.sequenceNumber);
  return bumped({
    ...block,
    attributes: [...block.attributes, { releasedAt: rfc3339(nowMs) }],
    allocations: block.allocations.map((a, ordinal) => (chosen.has(ordinal) ? index : a)),
    sequenceNumberForAllocation: sequences,
  });
}

/**
 * Put what has cooled down back at the tail of the free list, in ordinal order, and drop attributes that nothing uses.
 * Does not count as a write: it runs on every load and goes out with the next write.
 */
export function collect(block: Block, time: Cooldown): Block {
  const cold = coldOrdinals(block, time);
  const chosen = new Set(cold);
  const allocations = cold.length === 0 ? block.allocations : block.allocations.map((a, ordinal) => (chosen.has(ordinal) ? null : a));
  const inUse = new Set(allocations);
  const renumbered: (number | null)[] = [];
  let kept = 0;
  for (const index of block.attributes.keys()) renumbered.push(inUse.has(index) ? kept++ : null);
  if (cold.length === 0 && kept === block.attributes.length) return block;
  return {
    ...block,
    allocations: allocations.map((a) => (a === null ? null : (renumbered[a] ?? null))),
    unallocated: [...block.unallocated, ...cold],
    attributes: block.attributes.filter((_, i) => renumbered[i] !== null),
    sequenceNumberForAllocation: new Map([...block.sequenceNumberForAllocation].filter(([ordinal]) => !chosen.has(ordinal))),
  };
}

function coldOrdinals(block: Block, time: Cooldown): readonly number[] {
  const cold = new Set(block.attributes.flatMap((a, index) => (isCold(a, time) ? [index] : [])));
  if (cold.size === 0) return [];
  return block.allocations.flatMap((a, ordinal) => (a !== null && cold.has(a) ? [ordinal] : []));
}

function isCold(attribute: BlockAttribute, { nowMs, cooldownSec }: Cooldown): boolean {
  if (attribute.releasedAt === undefined) return false;
  return Date.parse(attribute.releasedAt) <= nowMs - cooldownSec * 1000;
}
