/**
 * One transaction that gives addresses of one block to a handle: block and handle change together or not at all.
 *
 * Deviation: Calico counts the handle up in a write before the block's and down again when that fails; one transaction
 * leaves nothing to take back.
 * Source: calico libcalico-go/lib/ipam/ipam.go (assignFromExistingBlock).
 */
import { blockKey, formatCidr, handleKey } from "@calico/model";
import type { Cidr } from "@calico/model";
import { renderBlock } from "../domain/block-json.ts";
import { assignFree, assignOrdinal, isEmpty } from "../domain/block.ts";
import type { Block, Owner } from "../domain/block.ts";
import { adjusted, heldBy, renderHandle } from "../domain/handle.ts";
import { collect } from "../domain/release.ts";
import type { Clock } from "../ports.ts";
import { IpamFault, untilWritten } from "./fault.ts";
import type { Change, Records } from "./records.ts";

export type GivePorts = { readonly records: Records; readonly clock: Clock };

export type GiveRequest = {
  readonly cidr: Cidr;
  readonly owner: Owner;
  readonly count: number;
  readonly reserved: (ordinal: number) => boolean;
  readonly cooldownSec: number;
  /** Undefined: from any block, as when borrowing. Else only while the block has this affinity. */
  readonly affinity: string | undefined;
  /** With this set, the handle never holds more addresses of the family; past it a fault of kind "limit". */
  readonly maxPerHandle?: number;
  /** Take what memory says for true, also that there is nothing to give; who needs to know asks again without. */
  readonly fromMemory?: boolean;
};

/** "missing": there is no such block. "foreign": its affinity is not the one asked for. Else the ordinals, maybe none. */
export async function giveFree({ records, clock }: GivePorts, o: GiveRequest): Promise<"missing" | "foreign" | readonly number[]> {
  return await untilWritten(`block ${formatCidr(o.cidr)}`, async (retrying) => {
    for (const fresh of retrying ? [true] : o.fromMemory ? [false] : [false, true]) {
      const stored = await records.block(o.cidr, { fresh });
      const verdict = unusable(stored.value, o.affinity);
      if (verdict === undefined && stored.value !== undefined) {
        const block = collect(stored.value, { nowMs: clock.now(), cooldownSec: o.cooldownSec });
        const { block: next, ordinals } = assignFree(block, o.owner, o);
        if (ordinals.length > 0) {
          const handle = await handleChange(records, {
            id: o.owner.handleId,
            cidr: o.cidr,
            delta: ordinals.length,
            fresh,
            max: o.maxPerHandle,
          });
          if (handle === "full" && !fresh) continue;
          if (handle === "full") throw limitFault(o);
          const outcome = await records.commit([blockChange(next, stored.revision), ...handle]);
          return outcome.written ? ordinals : "conflict";
        }
      }
      if (fresh || o.fromMemory) return verdict ?? [];
    }
    return "conflict";
  });
}

function unusable(block: Block | undefined, affinity: string | undefined): "missing" | "foreign" | undefined {
  if (block === undefined) return "missing";
  return affinity !== undefined && block.affinity !== affinity ? "foreign" : undefined;
}

/** Give one address. "strict": only the block's own host may take from it. */
export async function giveOne(
  { records, clock }: GivePorts,
  o: {
    readonly cidr: Cidr;
    readonly ordinal: number;
    readonly owner: Owner;
    readonly cooldownSec: number;
    readonly affinity: string | undefined;
    readonly maxPerHandle?: number;
  },
): Promise<"missing" | "foreign" | "orphan" | "taken" | "given"> {
  return await untilWritten(`block ${formatCidr(o.cidr)}`, async () => {
    const stored = await records.block(o.cidr, { fresh: true });
    const verdict = unusable(stored.value, o.affinity);
    if (verdict !== undefined || stored.value === undefined)
      return verdict === "foreign" && stored.value?.affinity === undefined ? "orphan" : (verdict ?? "missing");
    const block = collect(stored.value, { nowMs: clock.now(), cooldownSec: o.cooldownSec });
    const next = assignOrdinal(block, o.ordinal, o.owner);
    if (next === undefined) return "taken";
    const handle = await handleChange(records, { id: o.owner.handleId, cidr: o.cidr, delta: 1, fresh: true, max: o.maxPerHandle });
    if (handle === "full") throw limitFault(o);
    const outcome = await records.commit([blockChange(next, stored.revision), ...handle]);
    return outcome.written ? "given" : "conflict";
  });
}

/** The write of a block. One that is empty and nobody's goes; one with an affinity stays for its host. */
export function blockChange(block: Block, revision: number): Change {
  const gone = isEmpty(block) && block.affinity === undefined;
  return { key: blockKey(block.cidr), value: gone ? undefined : renderBlock(block), revision, parsed: block };
}

async function handleChange(
  records: Records,
  o: {
    readonly id: string | undefined;
    readonly cidr: Cidr;
    readonly delta: number;
    readonly fresh: boolean;
    readonly max: number | undefined;
  },
): Promise<readonly Change[] | "full"> {
  if (o.id === undefined) return [];
  const stored = await records.handle(o.id, { fresh: o.fresh, guess: true });
  const next = adjusted(stored.value ?? new Map(), formatCidr(o.cidr), o.delta);
  if ((o.max ?? 0) > 0 && heldBy(next, o.cidr.family) > (o.max ?? 0)) return "full";
  return [{ key: handleKey(o.id), value: renderHandle(next), revision: stored.revision, parsed: next }];
}

/** Source: calico libcalico-go/lib/ipam/ipam_errors.go (ErrMaxAllocReached). */
function limitFault({ owner, maxPerHandle }: Pick<GiveRequest, "owner" | "maxPerHandle">): IpamFault {
  return new IpamFault(
    "limit",
    `Handle ${owner.handleId ?? "(none)"} holds as many addresses of the family as it may: ${maxPerHandle ?? 0}`,
  );
}
