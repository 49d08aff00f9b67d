/** Reading who has what. Nothing here writes. */
import { cidrCovers, formatCidr, formatIp, nthIp, ordinalOf, parseCidr, prefixOf } from "@calico/model";
import { parseBlock } from "../domain/block-json.ts";
import { freeOrdinals, isCooling, ordinalsOfHandle, ownerOf } from "../domain/block.ts";
import type { Block } from "../domain/block.ts";
import { collect } from "../domain/release.ts";
import { reservedIn } from "../domain/reservations.ts";
import type { BlockUtilization, Owner, PoolUtilization } from "../ports.ts";
import { addressOf } from "./assign-ip.ts";
import type { Facts } from "./facts.ts";
import { IpamFault } from "./fault.ts";
import { blockOfIp } from "./release-ips.ts";
import type { ReleasePorts } from "./release-ips.ts";

/** The addresses of a handle with the mask of their block; undefined if there is no such handle. */
export async function ipsByHandle({ records }: ReleasePorts, handle: string): Promise<readonly string[] | undefined> {
  const stored = await records.handle(handle, { fresh: true });
  if (stored.value === undefined) return undefined;
  const out: string[] = [];
  for (const name of stored.value.keys()) {
    const cidr = parseCidr(name);
    const block = cidr.ok ? (await records.block(cidr.value, { fresh: true })).value : undefined;
    if (block !== undefined) out.push(...ordinalsOfHandle(block, handle).map((n) => `${formatIp(nthIp(block.cidr, n))}/${block.cidr.len}`));
  }
  return out;
}

/** Who holds an address. Source: calico libcalico-go/lib/ipam/ipam.go (GetAssignmentAttributes). */
export async function ownerOfIp(ports: ReleasePorts, o: { readonly ip: string; readonly facts: Facts }): Promise<Owner> {
  const ip = addressOf(o.ip);
  const cidr = await blockOfIp(ports, o.facts, ip);
  const block = cidr === undefined ? undefined : (await ports.records.block(cidr, { fresh: true })).value;
  const ordinal = block === undefined ? 0 : ordinalOf(block.cidr, ip);
  const owner = block === undefined ? undefined : ownerOf(block, ordinal);
  if (block !== undefined && isCooling(block, ordinal)) throw new IpamFault("notFound", `address ${o.ip} is in cooldown`);
  if (block === undefined || owner === undefined)
    throw new IpamFault("notFound", `resource does not exist: ${o.ip} with error: IP is unassigned`);
  return {
    handle: owner.handleId,
    attrs: owner.secondary ?? {},
    alternate: owner.alternate ?? {},
    sequence: block.sequenceNumberForAllocation.get(ordinal),
  };
}

/** Per pool, and for blocks outside of every pool, how full the blocks are. */
export async function utilization({ store, clock }: ReleasePorts, facts: Facts): Promise<readonly PoolUtilization[]> {
  const { items } = await store.list(prefixOf("IPAMBlock"));
  const blocks = items.flatMap(({ value }) => {
    const block = parseBlock(value);
    return block.ok ? [collect(block.value, { nowMs: clock.now(), cooldownSec: facts.config.cooldownSec })] : [];
  });
  const pools = facts.pools.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const rows: PoolUtilization[] = pools.map((pool) => {
    const own = blocks.filter((b) => cidrCovers(pool.cidr, b.cidr)).map((b) => usageOf(b, facts));
    const capacity = 2 ** ((pool.cidr.family === 4 ? 32 : 128) - pool.cidr.len);
    const used = own.reduce((sum, b) => sum + b.capacity - b.free, 0);
    return { pool: pool.name, cidr: formatCidr(pool.cidr), capacity, free: capacity - used, reserved: sum(own, "reserved"), blocks: own };
  });
  const orphans = blocks.filter((b) => !pools.some((p) => cidrCovers(p.cidr, b.cidr))).map((b) => usageOf(b, facts));
  if (orphans.length === 0) return rows;
  return [
    ...rows,
    {
      pool: undefined,
      cidr: undefined,
      capacity: sum(orphans, "capacity"),
      free: sum(orphans, "free"),
      reserved: sum(orphans, "reserved"),
      blocks: orphans,
    },
  ];
}

function usageOf(block: Block, facts: Facts): BlockUtilization {
  const reserved = reservedIn(facts.reserved, block.cidr);
  const free = freeOrdinals(block, () => false);
  return {
    cidr: formatCidr(block.cidr),
    affinity: block.affinity,
    capacity: block.allocations.length,
    free: free.length,
    reserved: free.filter(reserved).length,
  };
}

function sum(blocks: readonly BlockUtilization[], field: "capacity" | "free" | "reserved"): number {
  return blocks.reduce((total, b) => total + b[field], 0);
}
