/** What the service runs besides answering: keeps the node's tunnel addresses as the pools ask for, and looks again at records that do not parse. */
import { pause } from "@calico/daemon";
import type { Logger, Metrics } from "@calico/daemon";
import type { Ipam } from "../ports.ts";
import type { BrokenRecords } from "./ipam.ts";

/** A flag that is raised any number of times and waited for; one wait takes all raises before it. */
export function makeWakeup(): { raise(): void; next(signal: AbortSignal): Promise<void> } {
  let raised = false;
  let wake: (() => void) | undefined;
  return {
    raise() {
      raised = true;
      wake?.();
    },
    async next(signal) {
      if (!raised && !signal.aborted) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          signal.addEventListener("abort", () => resolve(), { once: true });
        });
      }
      raised = false;
      wake = undefined;
    },
  };
}

/** After a failure the addresses are tried again this much later. */
const RETRY_MS = 2000;

/** Each time `wakeup` is raised, and until it succeeds. */
export async function keepTunnelAddresses(o: {
  readonly ipam: Pick<Ipam, "ensureTunnelAddresses">;
  readonly node: string;
  readonly wakeup: { raise(): void; next(signal: AbortSignal): Promise<void> };
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly metrics: Metrics;
}): Promise<void> {
  while (!o.signal.aborted) {
    await o.wakeup.next(o.signal);
    if (o.signal.aborted) return;
    const problem = await ensureOnce(o);
    if (problem === undefined) continue;
    o.metrics.inc("ipam_tunnel_address_failures_total");
    o.log.warn("tunnel addresses not set", { node: o.node, reason: problem });
    await pause(RETRY_MS, o.signal);
    o.wakeup.raise();
  }
}

/** Why it did not work; undefined if it did, or if the Node is not there yet, whose arrival raises the wakeup. */
async function ensureOnce(o: Parameters<typeof keepTunnelAddresses>[0]): Promise<string | undefined> {
  try {
    const outcome = await o.ipam.ensureTunnelAddresses(o.node);
    if (!outcome.ok) return outcome.error.kind === "notFound" ? undefined : outcome.error.message;
    for (const { kind, address, changed } of outcome.value) {
      if (!changed) continue;
      o.metrics.inc("ipam_tunnel_address_changes_total", { kind });
      o.log.info("tunnel address set", { node: o.node, kind, address: address ?? "none" });
    }
    return undefined;
  } catch (e) {
    return e instanceof Error ? e.message : String(e);
  }
}

/** Broken records are read again, and counted, this often. */
const RECHECK_MS = 15_000;

/** So that a record which was put right is no longer named. */
export async function keepCountingBroken(o: {
  readonly broken: BrokenRecords;
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly metrics: Metrics;
}): Promise<void> {
  while (!o.signal.aborted) {
    await pause(RECHECK_MS, o.signal);
    const known = new Set(o.broken.list().map(({ key }) => key));
    await o.broken.recheck().catch((e: unknown) => o.log.debug("broken records not read", { error: String(e) }));
    const left = new Set(o.broken.list().map(({ key }) => key));
    o.metrics.set("ipam_broken_records", left.size);
    for (const key of known) if (!left.has(key)) o.log.info("record put right", { key });
  }
}
