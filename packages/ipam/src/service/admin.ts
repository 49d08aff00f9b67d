/** Claims, configuration and attributes, for operators and controllers. Source: calico libcalico-go/lib/ipam/ipam.go. */
import {
  blockKey,
  cidrCovers,
  cidrOf,
  formatCidr,
  IPAM_PREFIX,
  ipamConfigKey,
  ipamHostKey,
  nthIp,
  ordinalOf,
  parseCidr,
  parseKey,
  prefixOf,
} from "@calico/model";
import type { Cidr } from "@calico/model";
import { claimantText, parseClaimant } from "../domain/affinity.ts";
import type { Claimant } from "../domain/affinity.ts";
import { renderBlock } from "../domain/block-json.ts";
import { bumped, ownerOf } from "../domain/block.ts";
import { blockCount } from "../domain/block-order.ts";
import { configProblem, parseConfig, renderConfig } from "../domain/config.ts";
import type { IpamConfig } from "../domain/config.ts";
import { ownersAt, withOwners } from "../domain/owner-attributes.ts";
import { poolOfBlock } from "../domain/pools.ts";
import { collect } from "../domain/release.ts";
import type { OwnerAttributes } from "../ports.ts";
import { addressOf } from "./assign-ip.ts";
import type { AssignPorts } from "./auto-assign.ts";
import { claimBlock, releaseBlock } from "./claim.ts";
import type { Facts } from "./facts.ts";
import { IpamFault, untilWritten } from "./fault.ts";
import { unlessBroken } from "./records.ts";
import { blockOfIp } from "./release-ips.ts";

export type AdminCall = { readonly facts: Facts };

/** More blocks than this in one call is a mistake, not a wish. */
const MAX_BLOCKS_PER_CALL = 65_536n;

export async function claimAffinity(
  ports: AssignPorts,
  o: AdminCall & { readonly cidr: string; readonly node: string },
): Promise<{ claimed: readonly string[]; failed: readonly string[] }> {
  const claimed: string[] = [];
  const failed: string[] = [];
  for (const block of blocksIn(o)) {
    const outcome = await claimBlock(ports, block, { type: "host", name: o.node });
    (outcome === "claimed" ? claimed : failed).push(formatCidr(block));
  }
  return { claimed, failed };
}

/** The blocks of a CIDR inside one pool. */
function blocksIn({ facts, cidr: text }: AdminCall & { readonly cidr: string }): readonly Cidr[] {
  const cidr = cidrAsked(text);
  const pool = poolOfBlock(facts.pools, cidr);
  if (pool === undefined) throw new IpamFault("noPool", `The requested CIDR (${text}) is not within any configured pools.`);
  if (cidr.len > pool.blockLen)
    throw new IpamFault(
      "invalid",
      `The requested CIDR (${text}) is smaller than the minimum: pool ${pool.name} has blocks of /${pool.blockLen}`,
    );
  const count = blockCount(cidr, pool.blockLen);
  if (count > MAX_BLOCKS_PER_CALL)
    throw new IpamFault("invalid", `The requested CIDR (${text}) holds ${count} blocks; claim at most ${MAX_BLOCKS_PER_CALL} at a time`);
  const size = 1n << BigInt((cidr.family === 4 ? 32 : 128) - pool.blockLen);
  return Array.from({ length: Number(count) }, (_, i) => cidrOf(nthIp(cidr, BigInt(i) * size), pool.blockLen));
}

function cidrAsked(text: string): Cidr {
  const cidr = parseCidr(text);
  if (!cidr.ok) throw new IpamFault("invalid", cidr.error);
  return cidr.value;
}

type Claim = { readonly cidr: Cidr; readonly claimant: Claimant };

/** Give back the claims that exist on blocks of a CIDR: of one claimant, or of all. */
export async function releaseClaims(
  ports: AssignPorts,
  o: AdminCall & { readonly within: string; readonly claimant?: Claimant; readonly mustBeEmpty: boolean },
): Promise<readonly string[]> {
  const within = cidrAsked(o.within);
  const released: string[] = [];
  const wanted = (c: Claim) =>
    cidrCovers(within, c.cidr) && (o.claimant === undefined || claimantText(c.claimant) === claimantText(o.claimant));
  for (const { cidr, claimant } of (await allClaims(ports)).filter(wanted)) {
    const outcome = await releaseBlock(ports, { cidr, claimant, mustBeEmpty: o.mustBeEmpty, cooldownSec: o.facts.config.cooldownSec });
    if (outcome === "notEmpty") throw new IpamFault("taken", `block '${formatCidr(cidr)}' is not empty`);
    released.push(formatCidr(cidr));
  }
  return released;
}

/** From the affinities and from the blocks: either may be there without the other after a crash. */
async function allClaims({ store }: AssignPorts): Promise<readonly Claim[]> {
  const claims = new Map<string, Claim>();
  const note = (cidr: Cidr, claimant: Claimant) => void claims.set(`${formatCidr(cidr)} ${claimantText(claimant)}`, { cidr, claimant });
  for (const type of ["host", "virtual"]) {
    for (const { key } of (await store.list(`${IPAM_PREFIX}${type}/`)).items) {
      const { cidr, host, affinityType } = parseKey(key) ?? {};
      if (cidr !== undefined && host !== undefined && affinityType !== undefined) note(cidrAsked(cidr), { type: affinityType, name: host });
    }
  }
  for (const { key, value } of (await store.list(prefixOf("IPAMBlock"))).items) {
    const cidr = parseKey(key)?.cidr;
    const claimant = parseClaimant(affinityOfBlock(value));
    if (cidr !== undefined && claimant !== undefined) note(cidrAsked(cidr), claimant);
  }
  return [...claims.values()];
}

/** Only the affinity: a block may be broken otherwise, and its claim is to go all the same. */
function affinityOfBlock(value: string): string | undefined {
  return /"affinity":"([^"\\]+)"/.exec(value)?.[1];
}

/** A host's claims, and with `forget` its marker too. A block that cannot be read stays, and is a fault once the others are given back. */
export async function releaseHost(
  ports: AssignPorts,
  o: AdminCall & { readonly node: string; readonly mustBeEmpty: boolean; readonly forget?: boolean },
): Promise<readonly string[]> {
  const claims = (await allClaims(ports)).filter(({ claimant: c }) => c.type === "host" && c.name === o.node);
  const released: string[] = [];
  const broken: string[] = [];
  for (const { cidr, claimant } of claims) {
    const { mustBeEmpty, facts } = o;
    const outcome = await unlessBroken(() => releaseBlock(ports, { cidr, claimant, mustBeEmpty, cooldownSec: facts.config.cooldownSec }));
    if (!outcome.ok) broken.push(outcome.error);
    else if (outcome.value === "released") released.push(formatCidr(cidr));
  }
  if (broken.length > 0) throw new IpamFault("corrupt", broken.join("; "));
  if (o.forget) await removeMarker(ports, o.node);
  return released;
}

async function removeMarker({ records }: AssignPorts, node: string): Promise<void> {
  const key = ipamHostKey(node);
  await untilWritten(`the marker of host ${node}`, async () => {
    const { value, revision } = await records.text(key);
    if (value === undefined) return "gone";
    return (await records.commit([{ key, value: undefined, revision }])).written ? "gone" : "conflict";
  });
}

export async function setConfig(
  { records }: AssignPorts,
  change: Partial<IpamConfig>,
): Promise<{ readonly config: IpamConfig; readonly written: boolean }> {
  return await untilWritten("the IPAM configuration", async () => {
    const { value, revision } = await records.text(ipamConfigKey);
    const stored = parseConfig(value);
    if (!stored.ok) throw new IpamFault("corrupt", `${stored.error}; correct ${ipamConfigKey}`);
    const given = Object.fromEntries(Object.entries(change).filter(([, v]) => v !== undefined));
    const config: IpamConfig = { ...stored.value, ...given };
    const problem = configProblem(config);
    if (problem !== undefined) throw new IpamFault("invalid", problem);
    if (JSON.stringify(config) === JSON.stringify(stored.value)) return { config, written: false };
    const outcome = await records.commit([{ key: ipamConfigKey, value: renderConfig(config, value), revision }]);
    return outcome.written ? { config, written: true } : "conflict";
  });
}

/** Source: calico libcalico-go/lib/ipam/ipam.go (GarbageCollectColdIPs). */
export async function collectCold({ records, store, clock }: AssignPorts, { facts }: AdminCall): Promise<number> {
  let total = 0;
  for (const { key, value } of (await store.list(prefixOf("IPAMBlock"))).items) {
    if (!value.includes('"releasedAt"')) continue;
    const cidr = cidrAsked(parseKey(key)?.cidr ?? key);
    total += await untilWritten(`block ${formatCidr(cidr)}`, async () => {
      const stored = await records.block(cidr, { fresh: true });
      if (stored.value === undefined) return 0;
      const next = collect(stored.value, { nowMs: clock.now(), cooldownSec: facts.config.cooldownSec });
      const count = next.unallocated.length - stored.value.unallocated.length;
      if (count === 0) return 0;
      const gone = next.affinity === undefined && next.unallocated.length === next.allocations.length;
      const change = { key: blockKey(cidr), value: gone ? undefined : renderBlock(bumped(next)), revision: stored.revision };
      return (await records.commit([change])).written ? count : "conflict";
    });
  }
  return total;
}

export async function setOwnerAttributes(
  ports: AssignPorts,
  o: AdminCall & { readonly ip: string; readonly handle: string; readonly attributes: OwnerAttributes },
): Promise<void> {
  const ip = addressOf(o.ip);
  await untilWritten(`the attributes of ${o.ip}`, async () => {
    const cidr = await blockOfIp(ports, o.facts, ip);
    const stored = cidr === undefined ? undefined : await ports.records.block(cidr, { fresh: true });
    const ordinal = cidr === undefined ? 0 : ordinalOf(cidr, ip);
    const owner = stored?.value && ownerOf(stored.value, ordinal);
    if (cidr === undefined || stored?.value === undefined || owner === undefined)
      throw new IpamFault("notFound", `resource does not exist: ${o.ip} with error: IP is unassigned`);
    if (owner.handleId !== o.handle)
      throw new IpamFault(
        "badHandle",
        `Cannot change the owner of ${o.ip}: it belongs to handle ${owner.handleId ?? "(none)"}, not ${o.handle}`,
      );
    const next = withOwners(stored.value, ordinal, { ...ownersAt(stored.value, ordinal), ...o.attributes }, { isGiven: false });
    const done = await ports.records.commit([{ key: blockKey(cidr), value: renderBlock(next), revision: stored.revision }]);
    return done.written ? "done" : "conflict";
  });
}
