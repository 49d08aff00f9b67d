/** Finding a block to claim or to borrow from. Source: calico libcalico-go/lib/ipam/ipam_block_reader_writer.go (findUsableBlock, findReclaimableBlock). */
import type { Store } from "@calico/datastore";
import { blockKey, prefixOf } from "@calico/model";
import type { Cidr } from "@calico/model";
import { claimantText, parseClaimant } from "../domain/affinity.ts";
import type { Claimant } from "../domain/affinity.ts";
import { parseBlock } from "../domain/block-json.ts";
import { isEmpty } from "../domain/block.ts";
import type { Block } from "../domain/block.ts";
import { blockOrder, placeInOrder } from "../domain/block-order.ts";
import type { IpamConfig } from "../domain/config.ts";
import { poolOfBlock } from "../domain/pools.ts";
import type { Pool } from "../domain/pools.ts";
import { collect } from "../domain/release.ts";
import { isWhollyReserved } from "../domain/reservations.ts";

/** How many places are looked at one by one before all blocks are listed: in a pool with room the first is free. */
const PROBES = 4;

/** A block that was claimed less than this ago may be about to be used. */
const RECLAIM_AGE_MS = 60_000;

/** Blocks that do not exist yet, pool by pool, in the host's order, which begins with those it claimed before: `own`, by key. */
export async function* findFreeBlocks(
  store: Pick<Store, "get" | "list">,
  o: { readonly pools: readonly Pool[]; readonly reserved: readonly Cidr[]; readonly seed: string; readonly own: ReadonlySet<string> },
): AsyncGenerator<Cidr, void, undefined> {
  let existing: ReadonlySet<string> | undefined;
  for (const pool of o.pools) {
    let probes = 0;
    for (const cidr of blockOrder(pool.cidr, pool.blockLen, o)) {
      const key = blockKey(cidr);
      if (o.own.has(key)) continue;
      if (existing === undefined && probes++ >= PROBES)
        existing = new Set((await store.list(prefixOf("IPAMBlock"))).items.map((kv) => kv.key));
      const taken = existing === undefined ? (await store.get(key)) !== undefined : existing.has(key);
      if (!taken) yield cidr;
    }
  }
}

/** The blocks of the pools that exist, in the order in which the host would try them. What does not parse is left out. */
export async function listBlocks(
  store: Pick<Store, "list">,
  o: { readonly pools: readonly Pool[]; readonly claimant: Claimant },
): Promise<readonly Block[]> {
  const { items } = await store.list(prefixOf("IPAMBlock"));
  const placed = items.flatMap(({ value }) => {
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
