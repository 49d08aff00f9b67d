/**
 * Automatic assignment for one family: from the host's own blocks; else from a new one; else from one that another host
 * leaves empty; else, unless affinity is strict, borrowed.
 *
 * Source: calico libcalico-go/lib/ipam/ipam.go (autoAssign, prepareAffinityBlocksForHost, findOrClaimBlock).
 */
import { blockKey, formatCidr, formatIp, nthIp, prefixOf } from "@calico/model";
import type { Cidr, Family } from "@calico/model";
import type { Store } from "@calico/datastore";
import { freeOrdinals } from "../domain/block.ts";
import type { HostReserve, Owner } from "../domain/block.ts";
import { blockLimit } from "../domain/config.ts";
import { poolOfBlock } from "../domain/pools.ts";
import type { Pool } from "../domain/pools.ts";
import { collect } from "../domain/release.ts";
import { reservedIn } from "../domain/reservations.ts";
import type { AutoAssignRequest, FamilyAssignment } from "../ports.ts";
import { claimBlock, dropAffinity, releaseBlock } from "./claim.ts";
import type { Claim } from "./claim.ts";
import type { Facts } from "./facts.ts";
import { IpamFault } from "./fault.ts";
import { blocksIn, findFreeBlocks, reclaimable } from "./find-block.ts";
import type { Listing } from "./find-block.ts";
import { giveFree } from "./give.ts";
import type { GivePorts } from "./give.ts";
import { planOf } from "./plan.ts";
import type { Affine, Plan } from "./plan.ts";
import { unlessBroken } from "./records.ts";

export type AssignPorts = GivePorts & { readonly reader: Pick<Store, "get" | "list">; readonly store: Pick<Store, "get" | "list"> };

/** One call for one family, while it runs. */
export type Job = Omit<Plan, "claimant"> & {
  readonly claimant: Claim;
  readonly ports: AssignPorts;
  readonly request: AutoAssignRequest;
  readonly facts: Facts;
  readonly owner: Owner;
  readonly wanted: number;
  readonly got: { address: string }[];
  readonly messages: string[];
  /** All blocks that there are: read once, for as long as the job changes none. */
  readonly list: () => Promise<Listing>;
  /** What is wrong with blocks that were passed over. */
  readonly broken: Set<string>;
};

type JobRequest = { readonly request: AutoAssignRequest; readonly facts: Facts; readonly family: Family; readonly count: number };

/** Addresses of one family, as many as there are; which limit was met is in the messages. */
export async function assignFamily(ports: AssignPorts, o: JobRequest): Promise<FamilyAssignment> {
  const job = await makeJob(ports, o);
  await fromAffine(job);
  if (missing(job) > 0) await fromNewBlocks(job);
  return { requested: o.count, ips: job.got, messages: missing(job) > 0 ? [...job.messages, ...job.broken] : job.messages };
}

export async function makeJob(ports: AssignPorts, { request, facts, family, count }: JobRequest): Promise<Job> {
  const plan = await planOf(ports.reader, { request, facts, family });
  const owner: Owner = { handleId: request.handle, attrs: request.attrs ?? {} };
  const reserve = family === 4 ? request.reserve4 : request.reserve6;
  if (reserve !== undefined) refuseAll(reserve, plan.pools);
  return {
    ...plan,
    claimant: { ...plan.claimant, reserve },
    ports,
    request,
    facts,
    owner,
    wanted: count,
    got: [],
    messages: [],
    list: listOnce(ports),
    broken: new Set(),
  };
}

/** What `action` says of a block; undefined if the block's record cannot be read, which costs the block only. */
async function passingBroken<T>(job: Job, action: () => Promise<T>): Promise<T | undefined> {
  const outcome = await unlessBroken(action);
  if (outcome.ok) return outcome.value;
  job.broken.add(outcome.error);
  return undefined;
}

function refuseAll({ startOfBlock, endOfBlock }: HostReserve, pools: readonly Pool[]): void {
  const small = pools.find(({ cidr, blockLen }) => startOfBlock + endOfBlock >= 2 ** ((cidr.family === 4 ? 32 : 128) - blockLen));
  if (small !== undefined)
    throw new IpamFault(
      "invalid",
      `Cannot reserve ${startOfBlock} and ${endOfBlock} addresses of each block: nothing is left of one of pool ${small.name}`,
    );
}

function missing(job: Job): number {
  return job.wanted - job.got.length;
}

async function fromAffine(job: Job): Promise<void> {
  await giveBackUnselected(job);
  // What is known to have room first: full blocks are read again, together, only when no other has any.
  for (const { cidr, confirmed } of job.usable) {
    if (missing(job) === 0) return;
    if (confirmed) await passingBroken(job, () => give(job, cidr, job.affinity, { fromMemory: true }));
  }
  if (missing(job) === 0) return;
  await Promise.all(job.usable.map(({ cidr }) => passingBroken(job, () => job.ports.records.block(cidr, { fresh: true }))));
  for (const affine of job.usable) {
    if (missing(job) === 0) return;
    await passingBroken(job, () => fromOwnBlock(job, affine));
  }
}

/** Empty blocks of pools that do not select this host any more. */
async function giveBackUnselected(job: Job): Promise<void> {
  const { ports, unselected, claimant, facts } = job;
  for (const cidr of unselected)
    await passingBroken(job, () => releaseBlock(ports, { cidr, claimant, mustBeEmpty: true, cooldownSec: facts.config.cooldownSec }));
}

/** From a block that was just read. */
async function fromOwnBlock(job: Job, { cidr, confirmed }: Affine): Promise<void> {
  if (!confirmed && (await claimBlock(job.ports, cidr, job.claimant)) === "taken") return;
  const outcome = await give(job, cidr, job.affinity, { fromMemory: true });
  if (outcome === "foreign") await dropAffinity(job.ports, cidr, job.claimant);
  if (outcome === "missing" && (await claimBlock(job.ports, cidr, job.claimant)) === "claimed") await give(job, cidr, job.affinity);
}

async function give(
  job: Job,
  cidr: Cidr,
  affinity: string | undefined,
  o: { readonly fromMemory?: boolean } = {},
): Promise<"missing" | "foreign" | "done"> {
  const { facts, owner } = job;
  const reserved = reservedIn(facts.reserved, cidr);
  const outcome = await giveFree(job.ports, {
    cidr,
    owner,
    count: missing(job),
    reserved,
    cooldownSec: facts.config.cooldownSec,
    affinity,
    maxPerHandle: job.request.maxPerHandle,
    ...o,
  });
  if (typeof outcome === "string") return outcome;
  job.got.push(...outcome.map((ordinal) => ({ address: `${formatIp(nthIp(cidr, ordinal))}/${cidr.len}` })));
  return "done";
}

async function fromNewBlocks(job: Job): Promise<void> {
  const { config } = job.facts;
  const limit = blockLimit(config, job.request.maxBlocks ?? 0);
  let blocks = job.affine.length;
  let attempt = job;
  while (config.autoAllocateBlocks && missing(job) > 0) {
    if (blocks >= limit) {
      job.messages.push(`Need to allocate an IPAM block but could not - limit of ${limit} blocks reached for this node`);
      return;
    }
    const cidr = (await claimFree(attempt)) ?? (await claimEmptyOfOthers(attempt));
    if (cidr === undefined) break;
    blocks++;
    attempt = { ...job, list: listOnce(job.ports) };
    await passingBroken(job, () => give(job, cidr, job.affinity));
  }
  if (missing(job) === 0) return;
  if (config.strictAffinity) job.messages.push("No more free affine blocks and strict affinity enabled");
  else await borrow(attempt);
}

export async function claimFree(job: Job): Promise<Cidr | undefined> {
  const own = new Set(job.affine.map(({ cidr }) => blockKey(cidr)));
  const { records } = job.ports;
  const free = findFreeBlocks({ records, list: job.list, pools: job.pools, reserved: job.facts.reserved, seed: job.claimant.name, own });
  for await (const { cidr, around } of free) if ((await claimBlock(job.ports, cidr, job.claimant, around)) === "claimed") return cidr;
  return undefined;
}

async function claimEmptyOfOthers(job: Job): Promise<Cidr | undefined> {
  const { ports, facts, claimant } = job;
  const candidates = reclaimable(blocksIn(await job.list(), job), {
    own: claimant,
    nowMs: ports.clock.now(),
    config: facts.config,
    reserved: facts.reserved,
  });
  for (const { cidr, claimant: from } of candidates) {
    const outcome = await releaseBlock(ports, { cidr, claimant: from, mustBeEmpty: true, cooldownSec: facts.config.cooldownSec });
    if (outcome !== "released") continue;
    if (poolOfBlock(job.pools, cidr)?.blockLen !== cidr.len) return await claimFree({ ...job, list: listOnce(ports) });
    if ((await claimBlock(ports, cidr, claimant)) === "claimed") return cidr;
  }
  return undefined;
}

async function borrow(job: Job): Promise<void> {
  const { config, reserved } = job.facts;
  const time = { nowMs: job.ports.clock.now(), cooldownSec: config.cooldownSec };
  for (const block of blocksIn(await job.list(), job)) {
    if (missing(job) === 0) return;
    const hasRoom = freeOrdinals(collect(block, time), reservedIn(reserved, block.cidr)).length > 0;
    if (hasRoom && block.affinity !== job.affinity) await passingBroken(job, () => give(job, block.cidr, undefined));
  }
  if (missing(job) > 0) job.messages.push(`No IPs available in pools: [${job.pools.map((p) => formatCidr(p.cidr)).join(" ")}]`);
}

/** All blocks, listed when they are first asked for. */
function listOnce({ store }: Pick<AssignPorts, "store">): () => Promise<Listing> {
  let listing: Promise<Listing> | undefined;
  return () => (listing ??= store.list(prefixOf("IPAMBlock")));
}
