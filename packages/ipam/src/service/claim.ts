/**
 * Claiming and giving back blocks. A claim of a block that nobody has heard of is one transaction, which makes the affinity,
 * confirmed, and the block. Where one of them is there, and for giving back, there are two phases, so that a crash between any
 * two writes, of ours or of Calico's own, leaves a state which the next one through completes: affinity pending → block →
 * affinity confirmed; affinity pendingDeletion → block → no affinity.
 *
 * No block is made that shares addresses with one of another size, as an earlier pool or other clients left it: the transaction that makes a block rests on
 * no block having come around it since somebody looked.
 *
 * Deviation: Calico claims in two phases always, as its other datastore has no transactions. Who looks sees the same end.
 * Source: calico libcalico-go/lib/ipam/ipam_block_reader_writer.go.
 */
import { affinityKey, blockKey, formatCidr } from "@calico/model";
import type { Cidr } from "@calico/model";
import { claimantText, parseAffinity, renderAffinity } from "../domain/affinity.ts";
import type { AffinityState, Claimant } from "../domain/affinity.ts";
import { renderBlock } from "../domain/block-json.ts";
import { bumped, isEmpty, newBlock } from "../domain/block.ts";
import type { HostReserve } from "../domain/block.ts";
import { collect } from "../domain/release.ts";
import type { Clock } from "../ports.ts";
import { untilWritten } from "./fault.ts";
import type { Around, Records, Seen } from "./records.ts";

/** For whom a block is claimed, and what of it, should it be made, is his own. */
export type Claim = Claimant & { readonly reserve?: HostReserve | undefined };

export type ClaimPorts = { readonly records: Records; readonly clock: Clock };

function keyOfClaim(cidr: Cidr, claimant: Claimant): string {
  return affinityKey(claimant.name, cidr, claimant.type);
}

/** Make the block the claimant's. "taken" if it is somebody else's, or nobody's but in use, or if one is there that shares addresses with it. */
export async function claimBlock(ports: ClaimPorts, cidr: Cidr, claimant: Claim, around?: Around): Promise<"claimed" | "taken"> {
  const key = keyOfClaim(cidr, claimant);
  const atOnce = await claimAtOnce(ports, { cidr, claimant, around });
  if (atOnce !== "inDoubt") return atOnce;
  return await untilWritten(`the claim of ${formatCidr(cidr)}`, async () => {
    const affinity = await markPending(ports, key);
    const ours = await ensureBlock(ports, { cidr, claimant, affinity });
    if (ours === "conflict") return "conflict";
    if (ours !== "ours") {
      await ports.records.commit([{ key, value: undefined, revision: affinity.revision }], [ours.takenBy]);
      return "taken";
    }
    return affinity.state === "confirmed" || (await confirm(ports, cidr, claimant)) ? "claimed" : "conflict";
  });
}

/** Both records, if there is none of them. A neighbour that came since the look around is no doubt, but a reason to look again. */
async function claimAtOnce(
  { records, clock }: ClaimPorts,
  { cidr, claimant, around }: { readonly cidr: Cidr; readonly claimant: Claim; readonly around: Around | undefined },
): Promise<"claimed" | "taken" | "inDoubt"> {
  const key = keyOfClaim(cidr, claimant);
  return await untilWritten(`the claim of ${formatCidr(cidr)}`, async (again) => {
    const { isThere, overlap, still } = (again ? undefined : around) ?? (await records.around(cidr, { thorough: again }));
    if (overlap !== undefined) return (await records.text(key)).value === undefined ? "taken" : "inDoubt";
    if (isThere) return "inDoubt";
    const block = newBlock(cidr, { affinity: claimantText(claimant), nowMs: clock.now(), reserve: claimant.reserve });
    const changes = [
      { key, value: renderAffinity("confirmed"), revision: 0 },
      { key: blockKey(cidr), value: renderBlock(block), revision: 0, parsed: block },
    ];
    const outcome = await records.commit(changes, still);
    if (outcome.written) return "claimed";
    return outcome.isUnchanged ? "conflict" : "inDoubt";
  });
}

/**
 * Phase one: an affinity that is not on its way out, and its revision. One that is there is not written again, so that
 * several processes of one host, claiming together, further each other; phase two rests on the revision either way.
 */
async function markPending({ records }: ClaimPorts, key: string): Promise<{ readonly revision: number; readonly state: AffinityState }> {
  return await untilWritten(`the affinity ${key}`, async () => {
    const { value, revision } = await records.text(key);
    const state = value === undefined ? undefined : parseAffinity(value);
    if (state === "confirmed" || state === "pending") return { revision, state };
    const outcome = await records.commit([{ key, value: renderAffinity("pending"), revision }]);
    return outcome.written ? { revision: outcome.revision, state: "pending" as const } : "conflict";
  });
}

/**
 * The block with the claimant's affinity, while the affinity is as phase one found it: made, or, under a pending affinity,
 * touched, which makes a concurrent release fail its compare. Under a confirmed one nothing is in doubt.
 */
async function ensureBlock(
  { records, clock }: ClaimPorts,
  o: {
    readonly cidr: Cidr;
    readonly claimant: Claim;
    readonly affinity: { readonly revision: number; readonly state: AffinityState };
  },
): Promise<"ours" | { readonly takenBy: Seen } | "conflict"> {
  const { value: block, revision } = await records.block(o.cidr, { fresh: true });
  const owner = claimantText(o.claimant);
  if (block !== undefined && block.affinity !== owner) return { takenBy: { key: blockKey(o.cidr), revision } };
  if (block !== undefined && o.affinity.state === "confirmed") return "ours";
  const around = block === undefined ? await records.around(o.cidr, { thorough: true }) : ALONE;
  if (around.overlap !== undefined) return { takenBy: { key: blockKey(o.cidr), revision } };
  const next = block === undefined ? newBlock(o.cidr, { affinity: owner, nowMs: clock.now(), reserve: o.claimant.reserve }) : bumped(block);
  const change = { key: blockKey(o.cidr), value: renderBlock(next), revision };
  const affinity = { key: keyOfClaim(o.cidr, o.claimant), revision: o.affinity.revision };
  const outcome = await records.commit([change], [affinity, ...around.still]);
  return outcome.written ? "ours" : "conflict";
}

/** A block that is there already needs no look at others. */
const ALONE: Pick<Around, "overlap" | "still"> = { overlap: undefined, still: [] };

async function confirm({ records }: ClaimPorts, cidr: Cidr, claimant: Claimant): Promise<boolean> {
  const key = keyOfClaim(cidr, claimant);
  const { value, revision } = await records.text(key);
  if (value === undefined) return false;
  const state = parseAffinity(value);
  if (state === "confirmed") return true;
  if (state === "pendingDeletion") return false;
  const outcome = await records.commit([{ key, value: renderAffinity("confirmed"), revision }]);
  return outcome.written || (await confirmedByOther(records, key));
}

async function confirmedByOther(records: Records, key: string): Promise<boolean> {
  const { value } = await records.text(key);
  return value !== undefined && parseAffinity(value) === "confirmed";
}

/** Remove an affinity whose block is another's, if both are still as they were seen. */
export async function dropAffinity({ records }: ClaimPorts, cidr: Cidr, claimant: Claimant): Promise<void> {
  const key = keyOfClaim(cidr, claimant);
  const { value, revision } = await records.text(key);
  const block = await records.block(cidr, { fresh: true });
  if (value === undefined || block.value === undefined || block.value.affinity === claimantText(claimant)) return;
  await records.commit([{ key, value: undefined, revision }], [{ key: blockKey(cidr), revision: block.revision }]);
}

/**
 * Give a block back: deleted when empty, else left to its owners without an affinity. The affinity goes only if the
 * block is as this left it, or a claim that came between would have a block without an affinity.
 */
export async function releaseBlock(
  ports: ClaimPorts,
  o: { readonly cidr: Cidr; readonly claimant: Claimant; readonly mustBeEmpty: boolean; readonly cooldownSec: number },
): Promise<"released" | "notEmpty"> {
  const { records, clock } = ports;
  const key = keyOfClaim(o.cidr, o.claimant);
  return await untilWritten(`the release of ${formatCidr(o.cidr)}`, async () => {
    const stored = await records.block(o.cidr, { fresh: true });
    const block = stored.value && collect(stored.value, { nowMs: clock.now(), cooldownSec: o.cooldownSec });
    const ours = block !== undefined && block.affinity === claimantText(o.claimant);
    if (ours && o.mustBeEmpty && !isEmpty(block)) return "notEmpty";
    const marked = await records.text(key);
    if (marked.value === undefined && !ours) return "released";
    const mark = await records.commit([{ key, value: renderAffinity("pendingDeletion"), revision: marked.revision }]);
    if (!mark.written) return "conflict";
    let left: Seen = { key: blockKey(o.cidr), revision: stored.revision };
    if (ours) {
      const value = isEmpty(block) ? undefined : renderBlock({ ...bumped(block), affinity: undefined, affinityClaimTime: undefined });
      const change = await records.commit([{ key: blockKey(o.cidr), value, revision: stored.revision }]);
      if (!change.written) return "conflict";
      left = { ...left, revision: value === undefined ? 0 : change.revision };
    }
    const removed = await records.commit([{ key, value: undefined, revision: mark.revision }], [left]);
    return removed.written ? "released" : "conflict";
  });
}
