import { type Logger, pause } from "@calico/daemon";
import type { Leadership, Store, WatchEvent } from "@calico/datastore";
import { IPAM_PREFIX, RESOURCES_PREFIX, ROOT_PREFIX } from "@calico/model";
import { difference } from "../domain/difference.ts";
import { type Change, type Refusal, ruleOn } from "../domain/publication.ts";
import { type Identity, IDENTITY_KEY, identityOf, judgeIdentity } from "../domain/store-identity.ts";
import { type EventLog, type LogEntry, LogFault, type LogWriter, type Publication } from "../ports.ts";
import { makePipeline, type Pipeline } from "./pipeline.ts";
import { findRewritten, holdLog, identityAfter, identityOnLog } from "./store-guard.ts";
import { makeTombstones } from "./tombstones.ts";

export interface SyncerObserver {
  leading(leads: boolean): void;
  /** `revision` is on the log; called once per message. */
  published(publication: Publication): void;
  refused(refusal: Refusal): void;
  resynced(reason: string): void;
  caughtUp(revision: number): void;
  /** The store is not the one that the log tells of: nothing is published, for this reason. Undefined: that is over. */
  held(reason: string | undefined): void;
}

export interface SyncerOptions {
  readonly store: Store;
  readonly log: EventLog;
  readonly logger: Logger;
  /** This instance, unique among candidates. */
  readonly id: string;
  readonly signal: AbortSignal;
  readonly observer?: Partial<SyncerObserver>;
  readonly heartbeatMs?: number;
  /** How long a deleted key stays on the log. */
  readonly tombstoneMs?: number;
  /** The clusterGUID of a store that is published though the log tells of another cluster. */
  readonly adopt?: string | undefined;
}

export const ELECTION = "syncer";
/** Two weeks: "what happened last Tuesday" must still find what was deleted since. */
const TOMBSTONE_MS = 14 * 24 * 3600_000;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 2000;

/**
 * Carry the store's changes onto the log, in revision order, while leading; stand by otherwise. Ends on the signal.
 *
 * There is no other recovery than this one: claim the log, compare it with the store, publish the difference, follow.
 * A lost connection, a compacted history, a removed log and a new leader all end in it.
 */
export async function runSyncer(options: SyncerOptions): Promise<void> {
  const { signal, logger, observer } = options;
  while (!signal.aborted) {
    try {
      const leadership = await standForElection(options);
      logger.info("leading", { epoch: leadership.epoch });
      observer?.leading?.(true);
      try {
        await lead(options, leadership);
      } finally {
        observer?.leading?.(false);
        await leadership.resign();
      }
    } catch (error) {
      if (signal.aborted) break;
      logger.warn("leading failed, standing again", { error });
      await pause(RETRY_MIN_MS, signal);
    }
  }
}

async function standForElection({ store, log, id, signal }: SyncerOptions): Promise<Leadership> {
  const elected = new AbortController();
  const standing = log.standBy(AbortSignal.any([signal, elected.signal]));
  try {
    return await store.elect(ELECTION, id, signal);
  } finally {
    elected.abort();
    await standing;
  }
}

/** Sessions until the leadership ends: by the lease, by the signal, or refused by the log's fence. */
async function lead(options: SyncerOptions, leadership: Leadership): Promise<void> {
  const { logger, observer, signal } = options;
  const stop = AbortSignal.any([signal, leadership.lost]);
  for (let failures = 0; !stop.aborted;) {
    try {
      const reason = await runSession(options, leadership, stop);
      if (stop.aborted) break;
      observer?.resynced?.(reason);
      logger.info("comparing again", { reason });
      failures = 0;
    } catch (error) {
      if (stop.aborted) break;
      const fault = error instanceof LogFault ? error.reason : "fault";
      observer?.resynced?.(fault);
      logger.warn("session ended, comparing again", { error, reason: fault });
      if (fault === "fenced") return; // step down: whoever wrote may have the better claim
      await pause(Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(failures++, 5)), stop);
    }
  }
  if (leadership.lost.aborted) logger.warn("leadership lost", { reason: String(leadership.lost.reason) });
}

/** Claim, compare, follow. Returns why another comparison is due. */
async function runSession(options: SyncerOptions, leadership: Leadership, leading: AbortSignal): Promise<string> {
  const { log, logger, id } = options;
  await using writer = await log.claim({ id, epoch: leadership.epoch });
  const over = new AbortController();
  const stop = AbortSignal.any([leading, writer.broken, over.signal]);
  try {
    const entries = await writer.entries();
    const found = await compareStore(options, writer, entries);
    if (found.kind === "hold") return await holdLog(options, { ...found, writer, stop });
    if (found.kind === "rebuild") {
      logger.warn("log is not of this store, rebuilding it", { key: found.key, reason: found.reason });
      await log.drop();
      return "rebuild";
    }
    const { revision, identity } = found;
    const session = beginSession(options, { writer, entries, revision, identity, stop });
    await catchUp(options, session, found.publications);
    const reason = await Promise.race([followStore(options, session), keepUp(options, session)]);
    if (writer.broken.aborted) throw writer.broken.reason;
    await session.pipeline.drain();
    return reason;
  } finally {
    over.abort();
  }
}

interface Session {
  readonly writer: LogWriter;
  readonly pipeline: Pipeline;
  readonly tombstones: ReturnType<typeof makeTombstones>;
  /** The store's revision that the log was compared with. */
  readonly revision: number;
  /** The newest revision that belongs on the log, whether it is there yet or not. */
  newest: number;
  /** Of the store that is published. */
  identity: Identity | undefined;
  readonly stop: AbortSignal;
}

/** What is to be done with the log, from all that is on it and all that is in the store. */
async function compareStore(options: SyncerOptions, writer: LogWriter, entries: ReadonlyMap<string, LogEntry>) {
  const store = await readStore(options, writer);
  const { puts, refused, revision } = store;
  const ofLog = await identityOnLog(writer, entries);
  const stored = puts.find(({ key }) => key === IDENTITY_KEY);
  const identity = refused.has(IDENTITY_KEY) ? ofLog : identityOf(stored?.data);
  const ruling = judgeIdentity({ log: ofLog, store: identity, adopt: options.adopt });
  if (ruling.kind === "adopt") return { kind: "rebuild", key: IDENTITY_KEY, reason: `cluster ${options.adopt} takes its place` } as const;
  if (ruling.kind === "hold" && ofLog !== undefined) return { ...ruling, ofLog, newest: newestOf(entries) } as const;
  const found = difference(entries, store);
  if (found.kind === "rebuild") return found;
  const rewritten = await findRewritten(writer, entries, puts);
  if (rewritten !== undefined)
    return { kind: "rebuild", key: rewritten, reason: "the store has another value of the same revision" } as const;
  return { ...found, revision, identity };
}

function newestOf(entries: ReadonlyMap<string, LogEntry>): number {
  let newest = 0;
  for (const { revision } of entries.values()) newest = Math.max(newest, revision);
  return newest;
}

function beginSession(
  { observer }: SyncerOptions,
  { entries, ...session }: Pick<Session, "writer" | "revision" | "identity" | "stop"> & { readonly entries: ReadonlyMap<string, LogEntry> },
): Session {
  const pipeline = makePipeline(session.writer, (publication) => observer?.published?.(publication));
  return { ...session, pipeline, tombstones: makeTombstones(entries.values()), newest: session.revision };
}

async function catchUp({ logger, observer }: SyncerOptions, session: Session, publications: readonly Publication[]): Promise<void> {
  const { writer, pipeline, tombstones, revision, stop } = session;
  for (const publication of publications) {
    stop.throwIfAborted();
    await send(pipeline, tombstones, publication);
  }
  await pipeline.drain();
  await writer.complete(revision);
  observer?.caughtUp?.(revision);
  logger.info("log is up to date", { revision, published: publications.length });
}

/** The whole store at one revision, as it should be on the log. */
async function readStore(options: SyncerOptions, { maxDataOctets }: LogWriter) {
  const resources = await options.store.list(RESOURCES_PREFIX);
  const ipam = await options.store.list(IPAM_PREFIX, { revision: resources.revision });
  const puts: Publication[] = [];
  const refused = new Set<string>();
  const seenAt = Date.now();
  for (const item of [...resources.items, ...ipam.items]) {
    const ruling = rule(options, { kind: "put", ...item, seenAt }, maxDataOctets);
    if (ruling.kind === "publish") puts.push(ruling.publication);
    if (ruling.kind === "refuse") refused.add(ruling.key);
  }
  return { puts, refused, revision: resources.revision, seenAt };
}

/** The tail: every change after the compared revision, in order, all of a transaction or nothing of it. */
async function followStore(options: SyncerOptions, session: Session): Promise<string> {
  const { writer, pipeline, tombstones, revision, stop } = session;
  const changes: Extract<WatchEvent, { kind: "put" | "delete" }>[] = [];
  for await (const event of options.store.watch(ROOT_PREFIX, { fromRevision: revision + 1, signal: stop })) {
    if (event.kind === "compacted") return "compacted";
    if (event.kind === "progress") continue;
    changes.push(event);
    if (event.more) continue;
    const identity = identityAfter(changes);
    if (identity !== undefined) {
      if (judgeIdentity({ log: session.identity, store: identity.is, adopt: undefined }).kind === "hold") return "store lost";
      session.identity = identity.is;
    }
    for (const change of changes.splice(0)) {
      const ruling = rule(options, change, writer.maxDataOctets);
      if (ruling.kind !== "publish") continue;
      session.newest = ruling.publication.revision;
      await send(pipeline, tombstones, ruling.publication);
    }
  }
  return "stopped";
}

async function send(pipeline: Pipeline, tombstones: Session["tombstones"], publication: Publication): Promise<void> {
  await pipeline.send(publication, (seq) => tombstones.note(publication, seq));
}

function rule({ logger, observer }: SyncerOptions, change: Change, maxDataOctets: number) {
  const ruling = ruleOn(change, { maxDataOctets, nowMs: Date.now() });
  if (ruling.kind === "refuse") {
    observer?.refused?.(ruling);
    logger.warn("key passed over", { key: ruling.key, revision: ruling.revision, reason: ruling.reason });
  }
  return ruling;
}

/** Heartbeats, the check that the log is still ours, and forgetting old tombstones. Ends with `stop` or a rejection. */
async function keepUp(options: SyncerOptions, session: Session): Promise<string> {
  const { writer, tombstones, stop } = session;
  const { log, id, heartbeatMs = 1000, tombstoneMs = TOMBSTONE_MS } = options;
  while (!stop.aborted) {
    log.heartbeat({ revision: session.newest, leader: id, at: new Date().toISOString() });
    await pause(heartbeatMs, stop);
    if (stop.aborted) break;
    await writer.check();
    for (const old of tombstones.takeOlderThan(Date.now() - tombstoneMs)) await writer.forget(old);
  }
  return "stopped";
}
