/** The library: address management over a store. Start reading at `assignFamily`. */
import { err, ok } from "@calico/model";
import type { Family, Result } from "@calico/model";
import type { Store } from "@calico/datastore";
import type { Claimant } from "../domain/affinity.ts";
import { heldBy } from "../domain/handle.ts";
import type { AutoAssignment, AutoAssignRequest, Clock, FamilyAssignment, Ipam, IpamAdmin, IpamError } from "../ports.ts";
import { claimAffinity, collectCold, releaseClaims, releaseHost, setConfig, setOwnerAttributes } from "./admin.ts";
import { assignIp } from "./assign-ip.ts";
import { assignFamily } from "./auto-assign.ts";
import type { AssignPorts } from "./auto-assign.ts";
import { ensureBlock } from "./ensure-block.ts";
import { readFacts } from "./facts.ts";
import type { Facts } from "./facts.ts";
import { asResult, IpamFault } from "./fault.ts";
import { prepareAssign, prepareRelease } from "./group-calls.ts";
import { makeGroup } from "./group.ts";
import type { Reader } from "./group.ts";
import { makeKeyedLock } from "./keyed-lock.ts";
import { disown, own } from "./own.ts";
import { ipsByHandle, ownerOfIp, utilization } from "./query.ts";
import { makeRecords } from "./records.ts";
import type { BrokenRecord } from "./memory.ts";
import { releaseByHandle, releaseIps } from "./release-ips.ts";
import { ensureTunnelAddresses } from "./tunnel.ts";

export type IpamOptions = {
  readonly store: Pick<Store, "get" | "list" | "txn">;
  /** Where pools, configuration, the node and its claims are read; default: the store. A mirror saves the reads. */
  readonly reader?: Pick<Store, "get" | "list">;
  readonly clock?: Clock;
  /** Told of each transaction of a group how many calls it settled. */
  readonly onGroup?: (calls: number) => void;
  /** Told of each block and handle whose record does not parse. */
  readonly onBroken?: (broken: BrokenRecord) => void;
  /** Tunnel addresses are the first of what Kubernetes gave the node for its pods. Source: facts §4.7.2. */
  readonly usePodCidr?: boolean;
};

export type IpamLibrary = Ipam & IpamAdmin & { readonly broken: BrokenRecords };

/** The records that were met and do not parse; `recheck` reads them anew. */
export type BrokenRecords = { list(): readonly BrokenRecord[]; recheck(): Promise<void> };

/**
 * Calls of one process that write wait for each other or go out in one transaction, so that a process never conflicts with
 * itself; other processes are met by compare-and-swap.
 */
export function makeIpam({
  store,
  reader = store,
  clock = { now: Date.now },
  onGroup,
  onBroken,
  usePodCidr = false,
}: IpamOptions): IpamLibrary {
  const ports: AssignPorts = { records: makeRecords(store, onBroken && { onBroken }), store, reader, clock };
  const lock = makeKeyedLock();
  const locked = <T>(action: () => Promise<T>): Promise<T> => lock.run("records", action);
  const exclusive = <T>(action: () => Promise<T>): Promise<Result<T, IpamError>> => asResult(() => locked(action));
  const group = makeGroup({ records: ports.records, reader, exclusive: locked, ...(onGroup === undefined ? {} : { onWritten: onGroup }) });
  const facts = () => readFacts(reader);
  return {
    autoAssign: (request) =>
      asResult(() =>
        group.run({
          prepare: (r) => prepareAssign(ports, { request, reader: r }),
          alone: (r) => autoAssign({ ...ports, reader: r }, request),
        }),
      ),
    assignIp: (request) => exclusive(async () => assignIp(ports, { request, facts: await facts() })),
    releaseIps: (requests) => exclusive(async () => releaseIps(ports, { requests, facts: await facts() })),
    async releaseByHandle(handle) {
      const alone = async (r: Reader) => releaseByHandle(ports, { handle, cooldownSec: (await readFacts(r)).config.cooldownSec });
      const prepare = (r: Reader) => prepareRelease(ports, { handle, reader: r });
      return found(await asResult(() => group.run<readonly string[] | undefined>({ prepare, alone })), handle);
    },
    ipsByHandle: async (handle) => found(await asResult(() => ipsByHandle(ports, handle)), handle),
    own: async (request) => found(await exclusive(async () => own(ports, { request, facts: await facts() })), request.handle),
    disown: async (request) => found(await exclusive(async () => disown(ports, { request, facts: await facts() })), request.handle),
    ownerOf: (ip) => asResult(async () => ownerOfIp(ports, { ip, facts: await facts() })),
    utilization: async () => utilization(ports, await facts()),
    releaseHostAffinities: (node, o) =>
      exclusive(async () => releaseHost(ports, { node, mustBeEmpty: o?.mustBeEmpty ?? false, facts: await facts() })),
    ensureTunnelAddresses: (node) => exclusive(async () => ensureTunnelAddresses(ports, { node, facts: await facts(), usePodCidr })),
    broken: { list: () => ports.records.broken(), recheck: () => locked(() => ports.records.recheck()) },
    ...adminOf(ports, exclusive, facts),
  };
}

type Exclusive = <T>(action: () => Promise<T>) => Promise<Result<T, IpamError>>;

function adminOf(ports: AssignPorts, exclusive: Exclusive, facts: () => Promise<Facts>): IpamAdmin {
  const release = (within: string, o: { mustBeEmpty?: boolean; claimant?: Claimant }) =>
    exclusive(async () => releaseClaims(ports, { within, facts: await facts(), mustBeEmpty: false, ...o }));
  return {
    claimAffinity: (cidr, node) => exclusive(async () => claimAffinity(ports, { cidr, node, facts: await facts() })),
    releaseAffinity: (cidr, node, o) => release(cidr, { ...o, claimant: { type: "host", name: node } }),
    releaseBlockAffinity: (block, o) => release(block, o ?? {}),
    releasePoolAffinities: (pool) => release(pool, {}),
    removeHost: (node) => exclusive(async () => releaseHost(ports, { node, mustBeEmpty: false, forget: true, facts: await facts() })),
    ensureBlock: ({ v4, v6, ...request }) =>
      exclusive(async () => {
        const known = await facts();
        const ensure = async (family: Family, wanted: boolean) =>
          wanted ? await ensureBlock(ports, { request, facts: known, family }) : undefined;
        return { v4: await ensure(4, v4), v6: await ensure(6, v6) };
      }),
    config: () => asResult(async () => (await readFacts(ports.store)).config),
    setConfig: (change) => exclusive(() => setConfig(ports, change)),
    collectCold: () => exclusive(async () => collectCold(ports, { facts: await facts() })),
    setOwnerAttributes: (ip, handle, attributes) =>
      exclusive(async () => setOwnerAttributes(ports, { ip, handle, attributes, facts: await facts() })),
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
    try {
      return await assignFamily(ports, { request, facts, family, count });
    } catch (e) {
      if (!(e instanceof IpamFault && e.kind === "limit") || request.handle === undefined) throw e;
      const ips = (await roomOf(ports, request, family)).held.map((address) => ({ address }));
      return { requested: count, ips, messages: [e.message] };
    }
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
