/** What the collector changes: addresses of one handle, blocks that stand empty, hosts that are no more. */
import { escapeName } from "@calico/model";
import { isNodeGone, type Evidence, type World } from "../domain/ipam-gc.ts";
import type { Due, Ledger } from "../domain/ipam-gc-ledger.ts";
import { NO_POOL } from "../domain/ipam-gc-gauges.ts";
import type { GcOptions, GcPorts } from "./ipam-gc.ts";
import type { Look } from "./ipam-gc-look.ts";

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
      body: { ip, handle, sequence, node, namespace, pod, block, pool, since, at: new Date(o.nowMs).toISOString(), evidence },
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
    return found.filter((e) => e.namespace === a.namespace && e.pod === a.pod && e.node === a.node);
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

/**
 * Blocks of a host that stand empty for the grace, while it has another; and all claims of a host that is gone and has no
 * address left. The answer is since when each block is empty.
 */
export async function giveBackBlocks(ports: GcPorts, o: Blocks): Promise<ReadonlyMap<string, number>> {
  const { census, world } = o.seen;
  const owned = Map.groupBy(
    census.blocks.filter((b) => b.host !== undefined),
    (b) => b.host ?? "",
  );
  const inUse = new Set(census.allocations.filter((a) => !o.released.has(a.id)).map((a) => a.node));
  const emptySince = new Map<string, number>();
  for (const [host, blocks] of owned) {
    if (isNodeGone(host, world) && !inUse.has(host) && !world.calicoNodes.has(host)) {
      await removeHost(ports, host, o);
      continue;
    }
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

async function removeHost(ports: GcPorts, host: string, { dryRun, nowMs, seen }: Blocks): Promise<void> {
  const fields = {
    node: host,
    at: new Date(nowMs).toISOString(),
    evidence: `no Kubernetes node at revision ${seen.world.nodesRevision}, no Calico node, no address`,
  };
  if (dryRun) return ports.log.info("claims of a node would be released", fields);
  const outcome = await ports.ipam.removeHost(host);
  if (!outcome.ok) return ports.log.warn("claims of a node not released", { ...fields, reason: outcome.error.message });
  ports.log.info("claims of a node released", { ...fields, blocks: outcome.value });
  ports.event(`ipam.host.${host.replaceAll(".", "%2E")}`, { ...fields, blocks: outcome.value });
}
