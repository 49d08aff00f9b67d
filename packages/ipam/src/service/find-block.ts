/** Finding a block to claim or to borrow from. Source: calico libcalico-go/lib/ipam/ipam_block_reader_writer.go (findUsableBlock, findReclaimableBlock). */
import type { KeyValue } from "@calico/datastore";
import { blockKey, parseCidr, parseKey } from "@calico/model";
import type { Cidr } from "@calico/model";
import { claimantText, parseClaimant } from "../domain/affinity.ts";
import type { Claimant } from "../domain/affinity.ts";
import { parseBlock } from "../domain/block-json.ts";
import { isEmpty } from "../domain/block.ts";
import type { Block } from "../domain/block.ts";
import { blockOrder, placeInOrder } from "../domain/block-order.ts";
import { makeOccupied } from "../domain/block-space.ts";
import type { IpamConfig } from "../domain/config.ts";
import { poolOfBlock } from "../domain/pools.ts";
import type { Pool } from "../domain/pools.ts";
import { collect } from "../domain/release.ts";
import { isWhollyReserved } from "../domain/reservations.ts";
import { aroundOf } from "./records.ts";
import type { Around, Records } from "./records.ts";

/** How many places are looked at one by one before all blocks are listed: in a pool with room the first is free. */
const PROBES = 4;

/** A block that was claimed less than this ago may be about to be used. */
const RECLAIM_AGE_MS = 60_000;

/** All blocks, as they were at one revision. */
export type Listing = { readonly items: readonly KeyValue[]; readonly revision: number };

export type FreeBlock = { readonly cidr: Cidr; readonly around: Around };

/**
 * Blocks that do not exist yet, pool by pool, in the host's order, which begins with those it claimed before: `own`, by key.
 * One of another size that shares addresses with a block is there in its place.
 */
export async function* findFreeBlocks(o: {
  readonly records: Pick<Records, "around">;
  /** All blocks: asked for when the first places are taken. */
  readonly list: () => Promise<Listing>;
  readonly pools: readonly Pool[];
  readonly reserved: readonly Cidr[];
  readonly seed: string;
  readonly own: ReadonlySet<string>;
}): AsyncGenerator<FreeBlock, void, undefined> {
  let isOccupied: ((block: Cidr) => boolean) | undefined;
  for (const pool of o.pools) {
    let probes = 0;
    for (const cidr of blockOrder(pool.cidr, pool.blockLen, o)) {
      if (o.own.has(blockKey(cidr))) continue;
      if (isOccupied === undefined && probes++ < PROBES) {
        const around = await o.records.around(cidr, { thorough: false });
        if (!around.isThere && around.overlap === undefined) yield { cidr, around };
        continue;
      }
      const { items, revision } = await o.list();
      isOccupied ??= makeOccupied(items.flatMap(cidrAt), [...new Set(o.pools.map((p) => p.blockLen))]);
      if (!isOccupied(cidr)) yield { cidr, around: aroundOf(cidr, { keys: [], revision }) };
    }
  }
}

function cidrAt({ key }: KeyValue): readonly Cidr[] {
  const cidr = parseCidr(parseKey(key)?.cidr ?? "");
  return cidr.ok ? [cidr.value] : [];
}

/** The blocks of the pools, in the order in which the host would try them. What does not parse is left out. */
export function blocksIn(listing: Listing, o: { readonly pools: readonly Pool[]; readonly claimant: Claimant }): readonly Block[] {
  const placed = listing.items.flatMap(({ value }) => {
    const block = parseBlock(value);
    const pool = block.ok ? poolOfBlock(o.pools, block.value.cidr) : undefined;
    if (!block.ok || pool === undefined) return [];
    return [{ block: block.value, pool: o.pools.indexOf(pool), place: placeInOrder(pool.cidr, block.value.cidr, o.claimant.name) }];
  });
  placed.sort((a, b) => a.pool - b.pool || (a.place < b.place ? -1 : 1));
  return placed.map((p) => p.block);
}

/** Empty blocks of other hosts, claimed long enough ago to be idle rather than new. */
export function reclaimable(
  blocks: readonly Block[],
  o: { readonly own: Claimant; readonly nowMs: number; readonly config: IpamConfig; readonly reserved: readonly Cidr[] },
): readonly { readonly cidr: Cidr; readonly claimant: Claimant }[] {
  return blocks.flatMap((block) => {
    const claimant = parseClaimant(block.affinity);
    const foreign = claimant !== undefined && claimantText(claimant) !== claimantText(o.own) && claimant.type === "host";
    const idle = block.affinityClaimTime === undefined || o.nowMs - Date.parse(block.affinityClaimTime) >= RECLAIM_AGE_MS;
    const empty = isEmpty(collect(block, { nowMs: o.nowMs, cooldownSec: o.config.cooldownSec }));
    return foreign && idle && empty && !isWhollyReserved(o.reserved, block.cidr) ? [{ cidr: block.cidr, claimant }] : [];
  });
}
