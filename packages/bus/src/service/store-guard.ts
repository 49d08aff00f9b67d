import { pause } from "@calico/daemon";
import type { WatchEvent } from "@calico/datastore";
import { type Identity, IDENTITY_KEY, identityOf, type IdentityRuling, judgeIdentity } from "../domain/store-identity.ts";
import type { LogEntry, LogWriter, Publication } from "../ports.ts";
import type { SyncerOptions } from "./syncer.ts";

type StoreChange = Extract<WatchEvent, { kind: "put" | "delete" }>;

/** Whose objects the log tells of. */
export async function identityOnLog(
  writer: Pick<LogWriter, "value">,
  entries: ReadonlyMap<string, LogEntry>,
): Promise<Identity | undefined> {
  const entry = entries.get(IDENTITY_KEY);
  return entry?.op === "put" ? identityOf((await writer.value(entry.subject)) ?? "{}") : undefined;
}

/** How many of the newest values are compared. */
const SAMPLE = 32;

/**
 * A key whose value on the log is another one than the store's of the same revision; undefined where there is none among the newest.
 *
 * An etcd that was restored from a snapshot gives out the revisions after it for a second time.
 */
export async function findRewritten(
  writer: Pick<LogWriter, "value">,
  entries: ReadonlyMap<string, LogEntry>,
  puts: readonly Publication[],
): Promise<string | undefined> {
  const same = puts.filter(({ key, revision }) => entries.get(key)?.revision === revision);
  const newest = same.sort((a, b) => b.revision - a.revision).slice(0, SAMPLE);
  const rewritten = await Promise.all(newest.map(async ({ subject, data }) => (await writer.value(subject)) !== data));
  return newest.find((_, i) => rewritten[i])?.key;
}

/** Publish nothing until the store is the log's again. Heartbeats go on, so that the readers stay with the log and do not turn to the store. */
export async function holdLog(
  { store, log, logger, id, observer, adopt, heartbeatMs = 1000 }: SyncerOptions,
  held: {
    readonly writer: LogWriter;
    readonly ofLog: Identity;
    readonly newest: number;
    readonly reason: string;
    readonly stop: AbortSignal;
  },
): Promise<string> {
  const { writer, ofLog, newest, stop } = held;
  let reason = "";
  for (let ruling: IdentityRuling = { kind: "hold", reason: held.reason }; ruling.kind === "hold" && !stop.aborted;) {
    if (ruling.reason !== reason) logger.error("store is not published", { reason: ruling.reason });
    reason = ruling.reason;
    observer?.held?.(reason);
    log.heartbeat({ revision: newest, leader: id, at: new Date().toISOString() });
    await pause(heartbeatMs, stop);
    if (stop.aborted) break;
    await writer.check();
    ruling = judgeIdentity({ log: ofLog, store: identityOf((await store.get(IDENTITY_KEY))?.value), adopt });
  }
  observer?.held?.(undefined);
  return "held";
}

/** What the tail does to the identity; undefined where it says nothing of it. */
export function identityAfter(changes: readonly StoreChange[]): { readonly is: Identity | undefined } | undefined {
  const last = changes.findLast(({ key }) => key === IDENTITY_KEY);
  if (last === undefined) return undefined;
  return { is: last.kind === "put" ? identityOf(last.value) : undefined };
}
