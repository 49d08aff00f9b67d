import type { LogEntry, Publication } from "../ports.ts";

type Tombstone = Pick<LogEntry, "subject" | "seq" | "revision">;

/** The tombstones now on the log, so that old ones can be forgotten: a key that is gone for a day needs no message. */
export function makeTombstones(entries: Iterable<LogEntry>): {
  note(publication: Publication, seq: number): void;
  takeOlderThan(ms: number): Tombstone[];
} {
  const byKey = new Map<string, Tombstone & { readonly atMs: number }>();
  for (const { key, op, subject, seq, revision, atMs } of entries) if (op === "delete") byKey.set(key, { subject, seq, revision, atMs });
  return {
    note({ key, op, subject, revision }, seq) {
      byKey.delete(key); // so that insertion order stays order of age
      if (op === "delete") byKey.set(key, { subject, seq, revision, atMs: Date.now() });
    },
    takeOlderThan(ms) {
      const old: Tombstone[] = [];
      for (const [key, tombstone] of byKey) {
        if (tombstone.atMs >= ms) break;
        byKey.delete(key);
        old.push(tombstone);
      }
      return old;
    },
  };
}
