/**
 * What is known of each address without an owner: since when, and why. An address whose owner is seen again leaves the
 * ledger, and its time begins anew if it loses it again. Not stored: a restart grants every candidate a new grace.
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
 * The handles whose every address has no owner for long enough, or at once where the node is gone.
 *
 * Source: facts §4.8.1 (a grace of 0 turns all but the latter off), §4.8.2.
 */
export function dueHandles(
  judged: readonly Judged[],
  o: { readonly ledger: Ledger; readonly nowMs: number; readonly graceMs: number },
): readonly Due[] {
  const groups = Map.groupBy(judged, ({ allocation: a }) => a.handle ?? `/${a.ip}`);
  const ripe = ({ allocation, verdict }: Judged): boolean => {
    if (verdict.kind !== "unowned") return false;
    const since = o.ledger.get(allocation.id)?.sinceMs;
    return verdict.atOnce || (o.graceMs > 0 && since !== undefined && o.nowMs - since >= o.graceMs);
  };
  return [...groups.values()].flatMap((group) => (group.every(ripe) ? [{ handle: group[0]?.allocation.handle, allocations: group }] : []));
}
