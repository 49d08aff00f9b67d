/**
 * What is known of each address without an owner: since when, and why. An address whose owner is seen again leaves the
 * ledger, and its time begins anew if it loses it again.
 *
 * Not stored: the grace is time during which somebody looked. Who was not there cannot say that nobody came back meanwhile, so a
 * restart grants every candidate a new grace; that delays a release and can never hasten one. What was seen before is on the log.
 */
import type { Allocation, Evidence, Verdict } from "./ipam-gc.ts";

export interface Judged {
  readonly allocation: Allocation;
  readonly verdict: Verdict;
}

export interface LedgerEntry {
  readonly sinceMs: number;
  /** Of the look that made it a candidate; the newest look's is in the verdict. */
  readonly first: readonly Evidence[];
}

/** Source: facts §4.8.1. */
export const DEFAULT_GRACE_MS = 15 * 60_000;

/**
 * A machine that is started again, or moves, is without a pod for a while, and its objects may be made anew. Holds also where no other
 * address is released.
 *
 * Source: facts §4.8.2.
 */
export const MACHINE_GRACE_MS = 5 * 60_000;

/** How long an address may be without an owner before something must be wrong with its release: the grace, two looks, and a minute. */
export function overdueMsOf(graceMs: number): number {
  return (graceMs || DEFAULT_GRACE_MS) * 2 + 60_000;
}

export type Ledger = ReadonlyMap<string, LedgerEntry>;

export function nextLedger(ledger: Ledger, judged: readonly Judged[], nowMs: number): Ledger {
  const next = new Map<string, LedgerEntry>();
  for (const { allocation, verdict } of judged) {
    if (verdict.kind === "owned") continue;
    const first = verdict.kind === "unowned" ? verdict.evidence : [];
    next.set(allocation.id, ledger.get(allocation.id) ?? { sinceMs: nowMs, first });
  }
  return next;
}

export interface Due {
  readonly handle: string | undefined;
  readonly allocations: readonly Judged[];
}

/**
 * The handles whose every address has no owner for long enough, or at once where the node was seen and is gone. A node that was
 * never seen may be late: its addresses wait too.
 *
 * Source: facts §4.8.1 (a grace of 0 turns all off but those of nodes that are gone), §4.8.2.
 */
export function dueHandles(
  judged: readonly Judged[],
  o: { readonly ledger: Ledger; readonly nowMs: number; readonly graceMs: number; readonly machineGraceMs?: number },
): readonly Due[] {
  const { machineGraceMs = MACHINE_GRACE_MS } = o;
  const groups = Map.groupBy(judged, ({ allocation: a }) => a.handle ?? `/${a.ip}`);
  const ripe = ({ allocation, verdict }: Judged): boolean => {
    if (verdict.kind !== "unowned") return false;
    const since = o.ledger.get(allocation.id)?.sinceMs;
    const isNodeGone = verdict.evidence.some((e) => e.kind === "nodeGone");
    if (allocation.machine !== undefined) return since !== undefined && o.nowMs - since >= Math.max(o.graceMs, machineGraceMs);
    const graceMs = o.graceMs > 0 ? o.graceMs : isNodeGone ? DEFAULT_GRACE_MS : Infinity;
    return verdict.atOnce || (since !== undefined && o.nowMs - since >= graceMs);
  };
  return [...groups.values()].flatMap((group) => (group.every(ripe) ? [{ handle: group[0]?.allocation.handle, allocations: group }] : []));
}
