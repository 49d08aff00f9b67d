import type { LogEntry, Publication } from "../ports.ts";

/** What brings the log up to the store; or `rebuild`, when the log shows a history that the store never had. */
export type Difference =
  | { readonly kind: "publish"; readonly publications: readonly Publication[] }
  | { readonly kind: "rebuild"; readonly key: string; readonly reason: string };

/**
 * Compare the log's last message per key with the whole store at `revision`.
 *
 * Puts go first in the order of their revisions, then tombstones at `revision`: should this stop half way, what the log
 * has is still a prefix of the store's history, and the next comparison goes on from there.
 */
export function difference(
  entries: ReadonlyMap<string, LogEntry>,
  store: {
    readonly revision: number;
    readonly seenAt: number;
    readonly puts: readonly Publication[];
    readonly refused: ReadonlySet<string>;
  },
): Difference {
  const { revision, seenAt, puts, refused } = store;
  const present = new Set<string>();
  const missing: Publication[] = [];
  for (const put of puts) {
    present.add(put.key);
    const entry = entries.get(put.key);
    if (entry === undefined || entry.revision < put.revision) missing.push(put);
    else if (entry.revision > put.revision || entry.op === "delete") return rebuild(entry, put.revision);
  }
  const tombstones: Publication[] = [];
  for (const entry of entries.values()) {
    if (entry.revision > revision) return rebuild(entry, revision);
    const vanished = entry.op === "put" && !present.has(entry.key) && !refused.has(entry.key);
    if (vanished) tombstones.push({ key: entry.key, subject: entry.subject, op: "delete", revision, data: "", seenAt });
  }
  missing.sort((a, b) => a.revision - b.revision || compare(a.key, b.key));
  tombstones.sort((a, b) => compare(a.key, b.key));
  return { kind: "publish", publications: [...missing, ...tombstones] };
}

function rebuild({ key, op, revision }: LogEntry, stored: number): Difference {
  return { kind: "rebuild", key, reason: `the log has a ${op} of revision ${revision}, the store only ${stored}` };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
