/** Giving addresses back. Source: calico libcalico-go/lib/ipam/ipam.go (ReleaseIPs, ReleaseByHandle). */
import { cidrContains, cidrOf, formatCidr, formatIp, handleKey, nthIp, ordinalOf, parseCidr, parseKey, prefixOf } from "@calico/model";
import type { Cidr, Ip } from "@calico/model";
import type { Store } from "@calico/datastore";
import { adjusted, renderHandle } from "../domain/handle.ts";
import type { Handle } from "../domain/handle.ts";
import { release, releaseHandle } from "../domain/release.ts";
import type { Released, ReleaseError, ReleaseRequest } from "../domain/release.ts";
import { poolOfIp } from "../domain/pools.ts";
import type { ReleaseIpRequest, ReleaseOutcome } from "../ports.ts";
import { addressOf } from "./assign-ip.ts";
import type { Facts } from "./facts.ts";
import { IpamFault, untilWritten } from "./fault.ts";
import { blockChange } from "./give.ts";
import type { GivePorts } from "./give.ts";
import type { Change, Stored } from "./records.ts";

export type ReleasePorts = GivePorts & { readonly store: Pick<Store, "get" | "list"> };

/** Release addresses, block by block. A condition that does not hold leaves all of its block as it is. */
export async function releaseIps(
  ports: ReleasePorts,
  o: { readonly requests: readonly ReleaseIpRequest[]; readonly facts: Facts },
): Promise<ReleaseOutcome> {
  const wanted = o.requests.map((request) => ({ request, ip: addressOf(request.ip) }));
  const released: string[] = [];
  const notAllocated: string[] = [];
  const groups = Map.groupBy(await withBlocks(ports, o.facts, wanted), (w) => (w.cidr === undefined ? "" : formatCidr(w.cidr)));
  for (const [, group] of groups) {
    const cidr = group[0]?.cidr;
    if (cidr === undefined) notAllocated.push(...group.map((w) => formatIp(w.ip)));
    else {
      const requests = group.map(({ request, ip }) => ({
        ordinal: ordinalOf(cidr, ip),
        handle: request.handle,
        sequence: request.sequence,
      }));
      const outcome = await releaseInBlock(ports, { cidr, requests, cooldownSec: o.facts.config.cooldownSec });
      released.push(...outcome.released.map((n) => formatIp(nthIp(cidr, n))));
      notAllocated.push(...outcome.notAllocated.map((n) => formatIp(nthIp(cidr, n))));
    }
  }
  return { released, notAllocated };
}

type Wanted = { readonly request: ReleaseIpRequest; readonly ip: Ip; readonly cidr?: Cidr };

/** The block of each address: by its pool, or, for pools that are gone, by looking at the blocks that exist. */
async function withBlocks(ports: ReleasePorts, facts: Facts, wanted: readonly Wanted[]): Promise<readonly Wanted[]> {
  const out: Wanted[] = [];
  for (const w of wanted) out.push({ ...w, cidr: await blockOfIp(ports, facts, w.ip) });
  return out;
}

/** The CIDR of the block that holds an address, if such a block exists. */
export async function blockOfIp({ records, store }: ReleasePorts, facts: Facts, ip: Ip): Promise<Cidr | undefined> {
  const pool = poolOfIp(facts.pools, ip);
  const likely = pool === undefined ? undefined : cidrOf(ip, pool.blockLen);
  if (likely !== undefined && (await records.block(likely, { fresh: false })).value !== undefined) return likely;
  const { items } = await store.list(prefixOf("IPAMBlock"));
  for (const { key } of items) {
    const cidr = parseCidr(parseKey(key)?.cidr ?? "");
    if (cidr.ok && cidrContains(cidr.value, ip)) return cidr.value;
  }
  return undefined;
}

async function releaseInBlock(
  { records, clock }: ReleasePorts,
  o: { readonly cidr: Cidr; readonly requests: readonly ReleaseRequest[]; readonly cooldownSec: number },
): Promise<Released | { released: readonly number[]; notAllocated: readonly number[] }> {
  return await untilWritten(`block ${formatCidr(o.cidr)}`, async () => {
    const stored = await records.block(o.cidr, { fresh: true });
    if (stored.value === undefined) return { released: [], notAllocated: o.requests.map((r) => r.ordinal) };
    const outcome = release(stored.value, o.requests, { nowMs: clock.now(), cooldownSec: o.cooldownSec });
    if (!outcome.ok) throw faultOf(o.cidr, outcome.error);
    if (outcome.value.released.length === 0) return outcome.value;
    const handles: Change[] = [];
    for (const [id, count] of outcome.value.handles) {
      const handle = await records.handle(id, { fresh: true });
      handles.push(...handleChange(id, handle, adjusted(handle.value ?? new Map(), formatCidr(o.cidr), -count)));
    }
    const written = await records.commit([blockChange(outcome.value.block, stored.revision), ...handles]);
    return written.written ? outcome.value : "conflict";
  });
}

function faultOf(cidr: Cidr, e: ReleaseError): IpamFault {
  const ip = formatIp(nthIp(cidr, e.ordinal));
  if (e.kind === "badHandle")
    return new IpamFault("badHandle", `Cannot release ${ip}: it belongs to handle ${e.found ?? "(none)"}, not ${e.wanted}`);
  return new IpamFault(
    "badSequence",
    `Cannot release ${ip}: it was assigned again (sequence ${e.found ?? "(none)"}, expected ${e.wanted})`,
  );
}

function handleChange(id: string, stored: Stored<Handle>, next: Handle): readonly Change[] {
  if (stored.value === undefined) return [];
  return [{ key: handleKey(id), value: next.size === 0 ? undefined : renderHandle(next), revision: stored.revision }];
}

/** Release all addresses of a handle; undefined if there is no such handle. One transaction per block. */
export async function releaseByHandle(
  ports: ReleasePorts,
  o: { readonly handle: string; readonly cooldownSec: number },
): Promise<readonly string[] | undefined> {
  const released: string[] = [];
  let found = false;
  for (;;) {
    const step = await untilWritten(`handle ${o.handle}`, (fresh) => releaseOneBlock(ports, { ...o, fresh }));
    if (step === "none") return found ? released : undefined;
    found = true;
    released.push(...step);
  }
}

/** Release what the handle holds in the first block of its record. "none": there is no record, read anew. */
async function releaseOneBlock(
  { records, clock }: ReleasePorts,
  o: { readonly handle: string; readonly cooldownSec: number; readonly fresh: boolean },
): Promise<"none" | "conflict" | readonly string[]> {
  const handle = await records.handle(o.handle, { fresh: o.fresh });
  const first = handle.value?.keys().next().value;
  if (handle.value === undefined || first === undefined) return "none";
  const cidr = parseCidr(first);
  if (!cidr.ok) throw new IpamFault("corrupt", `Handle ${o.handle} names a block that is none: ${cidr.error}; run calicoctl ipam check`);
  const rest = new Map([...handle.value].filter(([block]) => block !== first));
  const stored = await records.block(cidr.value, { fresh: o.fresh });
  const outcome = stored.value && releaseHandle(stored.value, o.handle, { nowMs: clock.now(), cooldownSec: o.cooldownSec });
  if (!o.fresh && (outcome === undefined || outcome.released.length === 0)) return "conflict";
  const changes = [...handleChange(o.handle, handle, rest)];
  if (outcome !== undefined && outcome.released.length > 0) changes.push(blockChange(outcome.block, stored.revision));
  if (!(await records.commit(changes)).written) return "conflict";
  return (outcome?.released ?? []).map((n) => formatIp(nthIp(cidr.value, n)));
}
