/**
 * Automatic assignment for one family: from the host's own blocks; else from a new one; else from one that another host
 * leaves empty; else, unless affinity is strict, borrowed.
 *
 * Source: calico libcalico-go/lib/ipam/ipam.go (autoAssign, prepareAffinityBlocksForHost, findOrClaimBlock).
 */
import { affinityPrefix, formatCidr, formatIp, nthIp, parseCidr, parseKey } from "@calico/model";
import type { Cidr, Family } from "@calico/model";
import type { Store } from "@calico/datastore";
import { claimantText, parseAffinity } from "../domain/affinity.ts";
import type { Claimant } from "../domain/affinity.ts";
import type { Owner } from "../domain/block.ts";
import { blockLimit } from "../domain/config.ts";
import { poolOfBlock, selectPools } from "../domain/pools.ts";
import type { Pool } from "../domain/pools.ts";
import { reservedIn } from "../domain/reservations.ts";
import type { AutoAssignRequest, FamilyAssignment } from "../ports.ts";
import { claimBlock, dropAffinity, releaseBlock } from "./claim.ts";
import type { Facts } from "./facts.ts";
import { readNodeLabels } from "./facts.ts";
import { IpamFault } from "./fault.ts";
import { findFreeBlocks, listBlocks, reclaimable } from "./find-block.ts";
import { giveFree } from "./give.ts";
import type { GivePorts } from "./give.ts";

export type AssignPorts = GivePorts & { readonly reader: Pick<Store, "get" | "list">; readonly store: Pick<Store, "get" | "list"> };

/** One call for one family, while it runs. */
export type Job = {
  readonly ports: AssignPorts;
  readonly request: AutoAssignRequest;
  readonly facts: Facts;
  readonly family: Family;
  readonly pools: readonly Pool[];
  readonly claimant: Claimant;
  readonly owner: Owner;
  readonly wanted: number;
  readonly got: { address: string }[];
  readonly messages: string[];
};

type Affine = { readonly cidr: Cidr; readonly confirmed: boolean };

/** Addresses of one family, as many as there are; which limit was met is in the messages. */
export async function assignFamily(
  ports: AssignPorts,
  o: { readonly request: AutoAssignRequest; readonly facts: Facts; readonly family: Family; readonly count: number },
): Promise<FamilyAssignment> {
  const job = await makeJob(ports, o);
  const affine = await affineBlocks(job);
  await fromAffine(job, affine);
  if (missing(job) > 0) await fromNewBlocks(job, affine.length);
  return { requested: o.count, ips: job.got, messages: job.messages };
}

export async function makeJob(
  ports: AssignPorts,
  {
    request,
    facts,
    family,
    count,
  }: { readonly request: AutoAssignRequest; readonly facts: Facts; readonly family: Family; readonly count: number },
): Promise<Job> {
  const requested = ((family === 4 ? request.pools4 : request.pools6) ?? []).map(cidrAsked);
  const use = request.use ?? "Workload";
  const claimant: Claimant = use === "LoadBalancer" ? { type: "virtual", name: "load-balancer" } : { type: "host", name: request.node };
  const nodeLabels = await readNodeLabels(ports.reader, request.node);
  const pools = selectPools(facts.pools, {
    family,
    requested,
    node: request.node,
    nodeLabels,
    namespaceLabels: request.namespaceLabels,
    use,
  });
  if (!pools.ok) throw new IpamFault("noPool", pools.error);
  const owner: Owner = { handleId: request.handle, attrs: request.attrs ?? {} };
  return { ports, request, facts, family, pools: pools.value, claimant, owner, wanted: count, got: [], messages: [] };
}

function cidrAsked(text: string): Cidr {
  const cidr = parseCidr(text);
  if (!cidr.ok) throw new IpamFault("invalid", cidr.error);
  return cidr.value;
}

function missing(job: Job): number {
  return job.wanted - job.got.length;
}

/** The host's claims of the family, in key order. */
export async function affineBlocks({ ports, claimant, family }: Job): Promise<readonly Affine[]> {
  const prefix = affinityPrefix(claimant.name, family).replace("/host/", `/${claimant.type}/`);
  const { items } = await ports.reader.list(prefix);
  return items.flatMap(({ key, value }) => {
    const cidr = parseCidr(parseKey(key)?.cidr ?? "");
    return cidr.ok ? [{ cidr: cidr.value, confirmed: parseAffinity(value) === "confirmed" }] : [];
  });
}

async function fromAffine(job: Job, affine: readonly Affine[]): Promise<void> {
  const inPools = affine.filter((a) => poolOfBlock(job.pools, a.cidr) !== undefined);
  if (((job.family === 4 ? job.request.pools4 : job.request.pools6) ?? []).length === 0) await giveBackUnselected(job, affine);
  // What is known to have room first: a full block is read again only when no other has any.
  for (const { cidr, confirmed } of inPools) {
    if (missing(job) === 0) return;
    if (confirmed) await give(job, cidr, claimantText(job.claimant), { fromMemory: true });
  }
  for (const { cidr, confirmed } of inPools) {
    if (missing(job) === 0) return;
    if (!confirmed && (await claimBlock(job.ports, cidr, job.claimant)) === "taken") continue;
    await fromOwnBlock(job, cidr);
  }
}

/** Empty blocks of pools that do not select this host any more. */
async function giveBackUnselected(job: Job, affine: readonly Affine[]): Promise<void> {
  for (const { cidr } of affine) {
    const pool = poolOfBlock(job.facts.pools, cidr);
    if (pool === undefined || pool.disabled || job.pools.includes(pool) || !pool.uses.includes(job.request.use ?? "Workload")) continue;
    await releaseBlock(job.ports, { cidr, claimant: job.claimant, mustBeEmpty: true, cooldownSec: job.facts.config.cooldownSec });
  }
}

async function fromOwnBlock(job: Job, cidr: Cidr): Promise<void> {
  const outcome = await give(job, cidr, claimantText(job.claimant));
  if (outcome === "foreign") await dropAffinity(job.ports, cidr, job.claimant);
  if (outcome === "missing" && (await claimBlock(job.ports, cidr, job.claimant)) === "claimed")
    await give(job, cidr, claimantText(job.claimant));
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

async function fromNewBlocks(job: Job, owned: number): Promise<void> {
  const { config } = job.facts;
  const limit = blockLimit(config, job.request.maxBlocks ?? 0);
  let blocks = owned;
  while (config.autoAllocateBlocks && missing(job) > 0) {
    if (blocks >= limit) {
      job.messages.push(`Need to allocate an IPAM block but could not - limit of ${limit} blocks reached for this node`);
      return;
    }
    const cidr = (await claimFree(job)) ?? (await claimEmptyOfOthers(job));
    if (cidr === undefined) break;
    blocks++;
    await give(job, cidr, claimantText(job.claimant));
  }
  if (missing(job) === 0) return;
  if (config.strictAffinity) job.messages.push("No more free affine blocks and strict affinity enabled");
  else await borrow(job);
}

export async function claimFree(job: Job): Promise<Cidr | undefined> {
  const free = findFreeBlocks(job.ports.store, { pools: job.pools, reserved: job.facts.reserved, seed: job.claimant.name });
  for await (const cidr of free) if ((await claimBlock(job.ports, cidr, job.claimant)) === "claimed") return cidr;
  return undefined;
}

async function claimEmptyOfOthers(job: Job): Promise<Cidr | undefined> {
  const { ports, facts, claimant } = job;
  const candidates = reclaimable(await listBlocks(ports.store, job), {
    own: claimant,
    nowMs: ports.clock.now(),
    config: facts.config,
    reserved: facts.reserved,
  });
  for (const { cidr, claimant: from } of candidates) {
    const outcome = await releaseBlock(ports, { cidr, claimant: from, mustBeEmpty: true, cooldownSec: facts.config.cooldownSec });
    if (outcome === "released" && (await claimBlock(ports, cidr, claimant)) === "claimed") return cidr;
  }
  return undefined;
}

async function borrow(job: Job): Promise<void> {
  for (const block of await listBlocks(job.ports.store, job)) {
    if (missing(job) === 0) return;
    if (block.affinity !== claimantText(job.claimant)) await give(job, block.cidr, undefined);
  }
  if (missing(job) > 0) job.messages.push(`No IPs available in pools: [${job.pools.map((p) => formatCidr(p.cidr)).join(" ")}]`);
}
