/**
 * An IPAM block: which address of a CIDR is whose. Everything here is a function from block to block; who writes the
 * outcome, and against which revision, is the service's business.
 *
 * Source: calico libcalico-go/lib/ipam/ipam_block.go; design/ipam/ipam-core-library.md.
 */
import { cidrSize } from "@calico/model";
import type { Cidr } from "@calico/model";

/** Who holds an address, and why. `releasedAt` marks an address that cools down and belongs to nobody. */
export type BlockAttribute = {
  readonly handleId?: string;
  readonly secondary?: Readonly<Record<string, string>>;
  readonly alternate?: Readonly<Record<string, string>>;
  /** RFC 3339, whole seconds, UTC. */
  readonly releasedAt?: string;
};

export type Block = {
  readonly cidr: Cidr;
  /** `host:<node>` or `virtual:load-balancer`; undefined when nobody's. */
  readonly affinity: string | undefined;
  readonly affinityClaimTime: string | undefined;
  /** Per ordinal the index into `attributes`, or null when free. */
  readonly allocations: readonly (number | null)[];
  /** Free ordinals; taken from the head, returned at the tail. */
  readonly unallocated: readonly number[];
  readonly attributes: readonly BlockAttribute[];
  readonly sequenceNumber: bigint;
  readonly sequenceNumberForAllocation: ReadonlyMap<number, bigint>;
};

/** The handle of addresses that no workload of a Windows node can have. There is no record of such a handle. Source: calico libcalico-go/lib/ipam/ipam_block.go. */
export const WINDOWS_RESERVED_HANDLE = "windows-reserved-ipam-handle";

/** So many addresses at both ends of each block of a host are its own networking's. Source: calico libcalico-go/lib/ipam/ipam_types.go (HostReservedAttr). */
export type HostReserve = {
  readonly startOfBlock: number;
  readonly endOfBlock: number;
  readonly handle: string;
  readonly note: string;
};

/** A block without owners but for what the host reserves. Its sequence starts at the time in nanoseconds, so that a block made anew never repeats a number. */
export function newBlock(
  cidr: Cidr,
  o: { readonly affinity: string | undefined; readonly nowMs: number; readonly reserve?: HostReserve | undefined },
): Block {
  const block = emptyBlock(cidr, o);
  if (o.reserve === undefined) return block;
  const { startOfBlock, endOfBlock, handle, note } = o.reserve;
  const isFree = (ordinal: number) => ordinal >= startOfBlock && ordinal < block.allocations.length - endOfBlock;
  return {
    ...block,
    allocations: block.allocations.map((_, ordinal) => (isFree(ordinal) ? null : 0)),
    unallocated: block.unallocated.filter(isFree),
    attributes: [{ handleId: handle, secondary: { note } }],
  };
}

function emptyBlock(cidr: Cidr, o: { readonly affinity: string | undefined; readonly nowMs: number }): Block {
  const size = Number(cidrSize(cidr));
  return {
    cidr,
    affinity: o.affinity,
    affinityClaimTime: o.affinity === undefined ? undefined : rfc3339(o.nowMs),
    allocations: Array<null>(size).fill(null),
    unallocated: Array.from({ length: size }, (_, i) => i),
    attributes: [],
    sequenceNumber: BigInt(o.nowMs) * 1_000_000n,
    sequenceNumberForAllocation: new Map(),
  };
}

export function rfc3339(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}

/** The block as the next write of it must be: each write has a number of its own. */
export function bumped(block: Block): Block {
  return { ...block, sequenceNumber: block.sequenceNumber + 1n };
}

export type Owner = { readonly handleId: string | undefined; readonly attrs: Readonly<Record<string, string>> };

/**
 * Give `count` addresses, or as many as there are, from the head of the free list, passing over what `reserved` names.
 *
 * The number kept per allocation is the block's before this write, so it differs for each time an address is given.
 */
export function assignFree(
  block: Block,
  owner: Owner,
  o: { readonly count: number; readonly reserved: (ordinal: number) => boolean },
): { readonly block: Block; readonly ordinals: readonly number[] } {
  const ordinals = freeOrdinals(block, o.reserved).slice(0, o.count);
  return { block: ordinals.length === 0 ? block : take(block, ordinals, owner), ordinals };
}

/** Give one address by its ordinal; undefined if it is not free. Reservations do not count here. */
export function assignOrdinal(block: Block, ordinal: number, owner: Owner): Block | undefined {
  return block.allocations[ordinal] === null ? take(block, [ordinal], owner) : undefined;
}

export function freeOrdinals(block: Block, reserved: (ordinal: number) => boolean): readonly number[] {
  return block.unallocated.filter((ordinal) => !reserved(ordinal));
}

function take(block: Block, ordinals: readonly number[], owner: Owner): Block {
  const attribute: BlockAttribute = { ...(owner.handleId === undefined ? {} : { handleId: owner.handleId }), secondary: owner.attrs };
  const { attributes, index } = internAttribute(block.attributes, attribute);
  const taken = new Set(ordinals);
  const sequences = new Map(block.sequenceNumberForAllocation);
  for (const ordinal of ordinals) sequences.set(ordinal, block.sequenceNumber);
  return bumped({
    ...block,
    attributes,
    allocations: block.allocations.map((a, ordinal) => (taken.has(ordinal) ? index : a)),
    unallocated: block.unallocated.filter((ordinal) => !taken.has(ordinal)),
    sequenceNumberForAllocation: sequences,
  });
}

/** Attributes are kept once per (handle, owner attributes). */
function internAttribute(
  attributes: readonly BlockAttribute[],
  wanted: BlockAttribute,
): { attributes: readonly BlockAttribute[]; index: number } {
  const key = attributeKey(wanted);
  const at = attributes.findIndex((a) => a.releasedAt === undefined && a.handleId === wanted.handleId && attributeKey(a) === key);
  return at >= 0 ? { attributes, index: at } : { attributes: [...attributes, wanted], index: attributes.length };
}

/** Equal for attributes that Calico treats as one: same handle, same owner attributes in any order. */
export function attributeKey(a: BlockAttribute): string {
  const entries = (map: Readonly<Record<string, string>> | undefined) => Object.entries(map ?? {}).sort(([x], [y]) => (x < y ? -1 : 1));
  return JSON.stringify([a.handleId ?? null, entries(a.secondary), entries(a.alternate), a.releasedAt ?? null]);
}

/** The attribute of an address in use; undefined when free or cooling down. */
export function ownerOf(block: Block, ordinal: number): BlockAttribute | undefined {
  const index = block.allocations[ordinal];
  const attribute = index === null || index === undefined ? undefined : block.attributes[index];
  return attribute?.releasedAt === undefined ? attribute : undefined;
}

/** True if the address was released and may not be given yet. */
export function isCooling(block: Block, ordinal: number): boolean {
  const index = block.allocations[ordinal];
  return index !== null && index !== undefined && block.attributes[index]?.releasedAt !== undefined;
}

/** The ordinals that a handle holds. */
export function ordinalsOfHandle(block: Block, handleId: string): readonly number[] {
  return block.allocations.flatMap((_, ordinal) => (ownerOf(block, ordinal)?.handleId === handleId ? [ordinal] : []));
}

/** True if nothing in it is in use or cooling down. What a Windows node reserved goes with its block. */
export function isEmpty(block: Block): boolean {
  if (block.unallocated.length === block.allocations.length) return true;
  const isReserved = (index: number) => block.attributes[index]?.handleId?.toLowerCase() === WINDOWS_RESERVED_HANDLE;
  return block.attributes.length > 0 && block.allocations.every((index) => index === null || isReserved(index));
}

/** True if it has no address to give, now or by waiting. */
export function isFull(block: Block): boolean {
  return block.unallocated.length === 0 && block.attributes.every((a) => a.releasedAt === undefined);
}
