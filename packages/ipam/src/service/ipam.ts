/** The library: address management over a store. Start reading at `assignFamily`. */
import { err, ok, parseCidr, parseKey } from "@calico/model";
import type { Family, Result } from "@calico/model";
import type { Store } from "@calico/datastore";
import { heldBy } from "../domain/handle.ts";
import type { AutoAssignment, AutoAssignRequest, Clock, FamilyAssignment, Ipam, IpamError } from "../ports.ts";
import { assignIp } from "./assign-ip.ts";
import { assignFamily } from "./auto-assign.ts";
import type { AssignPorts } from "./auto-assign.ts";
import { releaseBlock } from "./claim.ts";
import { readFacts } from "./facts.ts";
import { asResult } from "./fault.ts";
import { makeKeyedLock } from "./keyed-lock.ts";
import { ipsByHandle, ownerOfIp, utilization } from "./query.ts";
import { makeRecords } from "./records.ts";
import { releaseByHandle, releaseIps } from "./release-ips.ts";
import { ensureTunnelAddresses } from "./tunnel.ts";

export type IpamOptions = {
  readonly store: Pick<Store, "get" | "list" | "txn">;
  /** Where pools, configuration, the node and its claims are read; default: the store. A mirror saves the reads. */
  readonly reader?: Pick<Store, "get" | "list">;
  readonly clock?: Clock;
};

/**
 * Calls of one process for the same node wait for each other, so that a process never conflicts with itself; other
 * processes are met by compare-and-swap.
 */
export function makeIpam({ store, reader = store, clock = { now: Date.now } }: IpamOptions): Ipam {
  const ports: AssignPorts = { records: makeRecords(store), store, reader, clock };
  const lock = makeKeyedLock();
  const exclusive = <T>(action: () => Promise<T>): Promise<Result<T, IpamError>> => asResult(() => lock.run("records", action));
  const facts = () => readFacts(reader);
  return {
    autoAssign: (request) => exclusive(() => autoAssign(ports, request)),
    assignIp: (request) => exclusive(async () => assignIp(ports, { request, facts: await facts() })),
    releaseIps: (requests) => exclusive(async () => releaseIps(ports, { requests, facts: await facts() })),
    async releaseByHandle(handle) {
      const done = await exclusive(async () => releaseByHandle(ports, { handle, cooldownSec: (await facts()).config.cooldownSec }));
      return found(done, handle);
    },
    ipsByHandle: async (handle) => found(await asResult(() => ipsByHandle(ports, handle)), handle),
    ownerOf: (ip) => asResult(async () => ownerOfIp(ports, { ip, facts: await facts() })),
    utilization: async () => utilization(ports, await facts()),
    releaseHostAffinities: (node, o) => exclusive(() => releaseHost(ports, { node, mustBeEmpty: o?.mustBeEmpty ?? false })),
    ensureTunnelAddresses: (node) => exclusive(async () => ensureTunnelAddresses(ports, { node, facts: await facts() })),
  };
}

function found<T>(outcome: Result<T | undefined, IpamError>, handle: string): Result<T, IpamError> {
  if (!outcome.ok) return outcome;
  if (outcome.value === undefined) return err({ kind: "notFound", message: `resource does not exist: IPAMHandle(${handle})` });
  return ok(outcome.value);
}

async function autoAssign(ports: AssignPorts, request: AutoAssignRequest): Promise<AutoAssignment> {
  const facts = await readFacts(ports.reader);
  const assign = async (family: Family, count: number): Promise<FamilyAssignment> => {
    if (count === 0) return { requested: 0, ips: [], messages: [] };
    const room = await roomOf(ports, request, family);
    if (room.held.length > 0 && room.free < count)
      return { requested: count, ips: room.held.map((address) => ({ address })), messages: [] };
    return await assignFamily(ports, { request, facts, family, count });
  };
  const v4 = await assign(4, request.num4);
  try {
    return { v4, v6: await assign(6, request.num6) };
  } catch (e) {
    const requests = v4.ips.map(({ address }) => ({ ip: address.split("/")[0] ?? "", handle: request.handle }));
    await releaseIps(ports, { requests, facts });
    throw e;
  }
}

/** What a limited handle holds already, and how many more it may. Source: calico libcalico-go/lib/ipam (ErrMaxAllocReached). */
async function roomOf(ports: AssignPorts, request: AutoAssignRequest, family: Family): Promise<{ held: readonly string[]; free: number }> {
  if (request.handle === undefined || (request.maxPerHandle ?? 0) === 0) return { held: [], free: Infinity };
  const handle = await ports.records.handle(request.handle, { fresh: true });
  const count = heldBy(handle.value ?? new Map(), family);
  const all = count === 0 ? [] : ((await ipsByHandle(ports, request.handle)) ?? []);
  return { held: all.filter((a) => a.includes(":") === (family === 6)), free: (request.maxPerHandle ?? 0) - count };
}

async function releaseHost(ports: AssignPorts, o: { node: string; mustBeEmpty: boolean }): Promise<readonly string[]> {
  const { config } = await readFacts(ports.reader);
  const { items } = await ports.store.list(`/calico/ipam/v2/host/${o.node}/`);
  const released: string[] = [];
  for (const { key } of items) {
    const cidr = parseCidr(parseKey(key)?.cidr ?? "");
    if (!cidr.ok) continue;
    const claimant = { type: "host", name: o.node } as const;
    const outcome = await releaseBlock(ports, { cidr: cidr.value, claimant, mustBeEmpty: o.mustBeEmpty, cooldownSec: config.cooldownSec });
    if (outcome === "released") released.push(parseKey(key)?.cidr ?? "");
  }
  return released;
}
