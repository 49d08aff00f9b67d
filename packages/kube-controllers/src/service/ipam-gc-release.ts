/** What the collector changes: addresses of one handle, blocks that stand empty, hosts that are no more. */
import { escapeName } from "@calico/model";
import { isNodeGone, ownersOf, type Evidence, type World } from "../domain/ipam-gc.ts";
import type { Due, Judged, Ledger } from "../domain/ipam-gc-ledger.ts";
import { NO_POOL } from "../domain/ipam-gc-gauges.ts";
import type { GcOptions, GcPorts } from "./ipam-gc.ts";
import type { Look } from "./ipam-gc-look.ts";

type Changes = { readonly before: Ledger; readonly judged: readonly Judged[]; readonly nowMs: number };

/** Say once of each address that it has lost its owner, or has it again: the date and the reason are on the log before anything is done. */
export function sayChanges(ports: GcPorts, { before, judged, nowMs }: Changes): void {
  const at = new Date(nowMs).toISOString();
  for (const { allocation, verdict } of judged) {
    const { id, ip, handle, node, namespace, pod } = allocation;
    const machine = allocation.machine?.name;
    const about = { ip, handle, sequence: allocation.sequence?.toString(), node, namespace, pod, machine, at };
    const isNew = verdict.kind === "unowned" && !before.has(id);
    if (isNew) ports.log.info("address without an owner", { ...about, evidence: verdict.evidence });
    if (isNew) ports.event(`ipam.suspect.${tokenOf(ip)}`, { ...about, evidence: verdict.evidence });
    if (verdict.kind !== "owned" || !before.has(id)) continue;
    ports.log.info("address has an owner again", { ...about, owner: verdict.owner });
    ports.event(`ipam.suspect.${tokenOf(ip)}`, { ...about, owner: verdict.owner });
  }
}

type Release = { readonly due: Due; readonly ledger: Ledger; readonly world: World; readonly nowMs: number } & GcOptions;

/** Release all addresses of a handle, or say what would be; the answer is the ids of what was. */
export async function releaseHandle(ports: GcPorts, o: Release): Promise<readonly string[]> {
  const notes = o.due.allocations.map(({ allocation, verdict }) => {
    const entry = o.ledger.get(allocation.id);
    const evidence: readonly Evidence[] = [...(entry?.first ?? []), ...(verdict.kind === "unowned" ? verdict.evidence : [])];
    const since = new Date(entry?.sinceMs ?? o.nowMs).toISOString();
    const { ip, handle, node, namespace, pod, block, pool } = allocation;
    const sequence = allocation.sequence?.toString();
    return {
      allocation,
      body: {
        ip,
        handle,
        sequence,
        node,
        namespace,
        pod,
        machine: allocation.machine?.name,
        block,
        pool,
        since,
        at: new Date(o.nowMs).toISOString(),
        evidence,
      },
    };
  });
  if (o.dryRun) {
    for (const { body } of notes) ports.log.info("address would be released", body);
    return [];
  }
  if (!(await removeEndpoints(ports, o))) return [];
  const requests = notes.map(({ allocation: { ip, handle, sequence } }) => ({ ip, handle, sequence }));
  const outcome = await ports.ipam.releaseIps(requests);
  if (!outcome.ok) {
    ports.log.info("address not released", { handle: o.due.handle, reason: outcome.error.message });
    return [];
  }
  const released = notes.filter(({ allocation }) => outcome.value.released.includes(allocation.ip));
  for (const { allocation, body } of released) {
    ports.log.info("address released", body);
    ports.event(`ipam.gc.${tokenOf(allocation.ip)}`, body);
    ports.metrics.inc("ipam_allocations_gc_reclamations", { ippool: allocation.pool ?? NO_POOL, node: allocation.node ?? "" });
  }
  return released.map(({ allocation }) => allocation.id);
}

/** Endpoints that are left over would send traffic to who has the address next: they go first. False: one has changed, so the case is open again. */
async function removeEndpoints(ports: GcPorts, { due, world }: Release): Promise<boolean> {
  const stale = due.allocations.flatMap(({ allocation: a }) => {
    const found = world.endpoints.get(a.ip) ?? [];
    return found.filter((e) => ownersOf(a).some((o) => e.namespace === o.namespace && e.pod === o.pod && e.node === o.node));
  });
  for (const endpoint of new Map(stale.map((e) => [e.key, e])).values()) {
    const gone = await ports.store.delete(endpoint.key, endpoint.modRevision);
    if (!gone.ok && gone.error.kind !== "notFound") {
      ports.log.info("address not released", { handle: due.handle, reason: `${endpoint.key} was changed meanwhile` });
      return false;
    }
    ports.log.info("endpoint without a pod removed", { key: endpoint.key, revision: endpoint.modRevision });
  }
  return true;
}

/** An address as one token of a subject, as the bus escapes names. */
export function tokenOf(ip: string): string {
  return ip.replaceAll(".", "%2E").replaceAll(":", "%3A");
}

type Blocks = {
  readonly seen: Look;
  readonly released: ReadonlySet<string>;
  readonly emptySince: ReadonlyMap<string, number>;
  readonly nowMs: number;
} & GcOptions;

/** Blocks of a host that stand empty for the grace, while it has another. The answer is since when each block is empty. */
export async function giveBackBlocks(ports: GcPorts, o: Blocks): Promise<ReadonlyMap<string, number>> {
  const emptySince = new Map<string, number>();
  const owned = Map.groupBy(o.seen.census.blocks, (b) => b.host);
  for (const [host, blocks] of owned) {
    if (host === undefined || isNodeGone(host, o.seen.world)) continue;
    let left = blocks.length;
    for (const { cidr } of blocks.filter((b) => b.empty)) {
      const since = o.emptySince.get(cidr) ?? o.nowMs;
      emptySince.set(cidr, since);
      if (left <= 1 || o.graceMs === 0 || o.nowMs - since < o.graceMs) continue;
      left--;
      await giveBack(ports, { cidr, host, since, dryRun: o.dryRun });
    }
  }
  return emptySince;
}

async function giveBack(ports: GcPorts, o: { cidr: string; host: string; since: number; dryRun: boolean }): Promise<void> {
  const fields = { block: o.cidr, node: o.host, emptySince: new Date(o.since).toISOString() };
  if (o.dryRun) return ports.log.info("block would be given back", fields);
  const outcome = await ports.ipam.releaseBlockAffinity(o.cidr, { mustBeEmpty: true });
  if (!outcome.ok) return ports.log.info("block not given back", { ...fields, reason: outcome.error.message });
  ports.log.info("block given back", fields);
  ports.event(`ipam.block.${escapeName(o.cidr.replace("/", "-")).replaceAll(".", "%2E").replaceAll(":", "%3A")}`, {
    ...fields,
    reason: "empty",
  });
}

type Host = { readonly host: string; readonly since: number; readonly seen: Look; readonly nowMs: number } & GcOptions;

/** What is left of a host without a Kubernetes node and without addresses: its endpoints, its claims, its Calico node at last. */
export async function removeHost(ports: GcPorts, { host, since, dryRun, nowMs, seen }: Host): Promise<void> {
  const evidence = `no Kubernetes node at revision ${seen.world.nodesRevision}, no address`;
  const fields = { node: host, since: new Date(since).toISOString(), at: new Date(nowMs).toISOString(), evidence };
  if (dryRun) return ports.log.info("node would be removed", fields);
  const endpoints = [...seen.world.endpoints.values()].flat().filter((e) => e.node === host);
  for (const { key, modRevision } of new Map(endpoints.map((e) => [e.key, e])).values()) await ports.store.delete(key, modRevision);
  const outcome = await ports.ipam.removeHost(host);
  if (!outcome.ok) return ports.log.warn("node not removed", { ...fields, reason: outcome.error.message });
  const record = seen.nodeRecords.get(host);
  const gone = record === undefined ? undefined : await ports.store.delete(record.key, record.modRevision);
  if (gone?.ok === false && gone.error.kind !== "notFound")
    return ports.log.info("node not removed", { ...fields, reason: `${gone.error.key} was changed meanwhile` });
  ports.log.info("node removed", { ...fields, blocks: outcome.value });
  ports.event(`ipam.host.${host.replaceAll(".", "%2E")}`, { ...fields, blocks: outcome.value });
}
