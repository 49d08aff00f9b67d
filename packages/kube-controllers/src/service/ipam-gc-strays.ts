import { MACHINE_GRACE_MS } from "../domain/ipam-gc-ledger.ts";
import { straysOf } from "../domain/ipam-gc.ts";
import type { GcOptions, GcPorts } from "./ipam-gc.ts";
import type { Look } from "./ipam-gc-look.ts";

type Strays = { readonly seen: Look; readonly since: ReadonlyMap<string, number>; readonly nowMs: number } & GcOptions;

/** Endpoints that a machine left behind go once they have been strays for the grace, unchanged. The answer is since when each is one. */
export async function removeStrays(ports: GcPorts, o: Strays): Promise<ReadonlyMap<string, number>> {
  const since = new Map<string, number>();
  const graceMs = Math.max(o.graceMs, o.machineGraceMs ?? MACHINE_GRACE_MS);
  for (const allocation of o.seen.census.allocations) {
    for (const { endpoint, evidence } of straysOf(allocation, o.seen.world)) {
      const { key, modRevision } = endpoint;
      const version = `${key} ${modRevision}`;
      const from = o.since.get(version) ?? o.nowMs;
      since.set(version, from);
      if (o.nowMs - from < graceMs) continue;
      const about = {
        key,
        revision: modRevision,
        ip: allocation.ip,
        machine: allocation.machine?.name,
        since: new Date(from).toISOString(),
        evidence,
      };
      if (o.dryRun) ports.log.info("endpoint without a pod would be removed", about);
      else if ((await ports.store.delete(key, modRevision)).ok) ports.log.info("endpoint without a pod removed", about);
    }
  }
  return since;
}
