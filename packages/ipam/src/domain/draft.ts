/**
 * Calls decided one after another on records in memory, before any of them is written: each sees what those before it
 * drafted, and all go out in one transaction or none does. A call that cannot be decided from memory says nothing.
 */
import { formatCidr, formatIp, nthIp, parseCidr } from "@calico/model";
import type { Cidr, Family } from "@calico/model";
import { assignFree, isEmpty, isFull } from "./block.ts";
import type { Block, Owner } from "./block.ts";
import { adjusted, heldBy } from "./handle.ts";
import type { Handle } from "./handle.ts";
import { collect, releaseHandle } from "./release.ts";
import type { Cooldown } from "./release.ts";

/** Records as they are known, with what was drafted. Undefined: not known; of a handle, maybe not there. */
export type View = {
  block(cidr: Cidr): Block | undefined;
  handle(id: string): Handle | undefined;
};

/** An outcome that holds once these records are written. */
export type Edit<T> = {
  readonly value: T;
  readonly blocks: readonly Block[];
  readonly handles: ReadonlyMap<string, Handle>;
};

export type FamilyWanted = {
  readonly family: Family;
  readonly count: number;
  /** The blocks to take from, in order, and the affinity that they must have. */
  readonly blocks: readonly Cidr[];
  readonly affinity: string;
  /** Blocks that are given back by a call of their own, should they be empty. */
  readonly unselected: readonly Cidr[];
};

export type AssignWanted = {
  readonly families: readonly FamilyWanted[];
  readonly owner: Owner;
  /** 0: no limit. */
  readonly maxPerHandle: number;
  readonly reservedIn: (block: Cidr) => (ordinal: number) => boolean;
  readonly time: Cooldown;
};

/** Addresses of own blocks, in the order of `families`, each with the mask of its block; all of them or undefined. */
export function draftAssign(view: View, wanted: AssignWanted): Edit<readonly (readonly string[])[]> | undefined {
  const id = wanted.owner.handleId;
  let handle: Handle = (id === undefined ? undefined : view.handle(id)) ?? new Map();
  const blocks = new Map<string, Block>();
  const value: string[][] = [];
  for (const family of wanted.families) {
    if (wanted.maxPerHandle > 0 && heldBy(handle, family.family) + family.count > wanted.maxPerHandle) return undefined;
    if (family.unselected.some((cidr) => mayBeEmpty(view.block(cidr), wanted.time))) return undefined;
    const ips: string[] = [];
    for (const cidr of family.blocks) {
      if (ips.length === family.count) break;
      const stored = view.block(cidr);
      if (stored === undefined || stored.affinity !== family.affinity || isFull(stored)) continue;
      const count = family.count - ips.length;
      const { block, ordinals } = assignFree(collect(stored, wanted.time), wanted.owner, { count, reserved: wanted.reservedIn(cidr) });
      if (ordinals.length === 0) continue;
      const name = formatCidr(cidr);
      blocks.set(name, block);
      handle = adjusted(handle, name, ordinals.length);
      ips.push(...ordinals.map((ordinal) => `${formatIp(nthIp(cidr, ordinal))}/${cidr.len}`));
    }
    if (ips.length < family.count) return undefined;
    value.push(ips);
  }
  return { value, blocks: [...blocks.values()], handles: id === undefined ? new Map() : new Map([[id, handle]]) };
}

function mayBeEmpty(block: Block | undefined, time: Cooldown): boolean {
  return block === undefined || isEmpty(collect(block, time));
}

/** Everything that a handle holds, given back; undefined unless its record and its blocks are known and agree. */
export function draftRelease(view: View, id: string, time: Cooldown): Edit<readonly string[]> | undefined {
  const handle = view.handle(id);
  if (handle === undefined || handle.size === 0) return undefined;
  const value: string[] = [];
  const blocks: Block[] = [];
  for (const [name, count] of handle) {
    const cidr = parseCidr(name);
    const stored = cidr.ok ? view.block(cidr.value) : undefined;
    if (stored === undefined) return undefined;
    const { block, released } = releaseHandle(stored, id, time);
    if (released.length !== count) return undefined;
    blocks.push(block);
    value.push(...released.map((ordinal) => formatIp(nthIp(stored.cidr, ordinal))));
  }
  return { value, blocks, handles: new Map([[id, new Map()]]) };
}
