import type { Kind } from "@calico/model";
import { type Logger, type Metrics, pause } from "@calico/daemon";
import { type FeedEvent, type FeedState, makeFeedState } from "../domain/feed-state.ts";
import { HOMING_LIMITS, type HomingLimits } from "../domain/homing.ts";
import { type Lag, makeLag } from "../domain/lag.ts";
import { type Identity, IDENTITY_KEY, identityOf } from "../domain/store-identity.ts";
import type { EventSource, LogMessage, LogReader, LogSession } from "../ports.ts";
import { makeBatches } from "./batches.ts";
import { makeFeedGauges } from "./feed-gauges.ts";
import { type Home, makeHome, type SourceName } from "./home.ts";

/** How a feed is, for health reports. */
export interface FeedStatus {
  readonly connected: boolean;
  readonly inSync: boolean;
  /** The newest etcd revision that was handed over. */
  readonly revision: number;
  /** What is read now: the log on NATS, or etcd itself because the log was late. */
  readonly source: SourceName;
  /** How many revisions the leader says it is ahead; undefined before its first heartbeat. */
  readonly behindRevisions: number | undefined;
  /** Milliseconds since it was last known that nothing was missing; up to a second when all is well. */
  readonly lagMs: number;
  /** Milliseconds since the leader's last heartbeat. */
  readonly heartbeatAgeMs: number | undefined;
  /** Messages that were passed over because they carry no JSON object. */
  readonly badMessages: number;
}

/** Batches of events: a snapshot, `inSync`, then every change in order. Ends only on the signal. */
export interface Feed extends AsyncIterable<readonly FeedEvent[]> {
  status(): FeedStatus;
}

export interface FeedSettings {
  readonly kinds: readonly Kind[];
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** Read when the log is late for longer than the limit. */
  readonly fallback?: EventSource | undefined;
  /** What is read first; "nats" unless told. */
  readonly first?: SourceName | undefined;
  readonly limits?: HomingLimits | undefined;
  /** Made with FEED_METRICS in its table. */
  readonly metrics?: Metrics | undefined;
  readonly tickMs?: number;
}

const MAX_BATCH = 1000;
const MAX_WAITING = 8000;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 4000;
/** A snapshot that brought nothing for so long is not coming in any more. */
const STALLED_MS = 3000;

export function makeFeed(reader: LogReader, settings: FeedSettings): Feed {
  const { signal, log, limits = HOMING_LIMITS, tickMs = 1000 } = settings;
  const kinds = new Set(settings.kinds);
  const batches = makeBatches<FeedEvent>(MAX_BATCH);
  const gauges = makeFeedGauges(settings.metrics);
  const state = makeFeedState(kinds, (key, revision) => {
    gauges.bad();
    log.error("message without JSON passed over", { key, revision });
  });
  const lag = makeLag(Date.now());
  const position = () => ({ known: state.known, revision: state.revision, kinds });
  const { fallback, first } = settings;
  const home = makeHome({ reader, fallback, first, limits, lag, log, position, onSwitch: gauges.switched });
  let running: LogSession | undefined;
  let cluster: Identity | undefined;
  let leaving = new AbortController();
  let tookMs = 0;
  let failures = 0;
  reader.onHeartbeat(({ revision }) => lag.beat(revision, Date.now()));

  async function runSession(): Promise<void> {
    leaving = new AbortController();
    const over = AbortSignal.any([signal, leaving.signal]);
    const source = await home.next();
    const session = await source.open(over, cluster);
    running = session;
    const stop = () => void session.close();
    over.addEventListener("abort", stop, { once: true });
    try {
      over.throwIfAborted();
      state.begin(session.lastSeq, session.created);
      lag.restart();
      for await (const messages of session.messages) {
        if (over.aborted) return;
        const events = messages.flatMap((message) => state.take(message));
        cluster = messages.reduce(clusterAfter, cluster);
        tookMs = Date.now();
        if (state.inSync) lag.reached(state.revision, tookMs);
        if (state.inSync && home.source === "etcd") lag.current(tookMs);
        if (events.some(({ kind }) => kind === "inSync")) {
          failures = 0;
          log.info("feed in sync", { revision: state.revision, source: home.source });
        }
        batches.push(events);
        if (batches.size >= MAX_WAITING) await batches.drainedBelow(MAX_WAITING);
      }
    } finally {
      running = undefined;
      over.removeEventListener("abort", stop);
      await session.close();
    }
  }

  async function run(): Promise<void> {
    const tell = tellInterruptions(log);
    while (!signal.aborted) {
      try {
        await runSession();
      } catch (error) {
        if (signal.aborted) break;
        failures++;
        tell(reasonOf(error), failures);
      }
      await pause(retryMs(failures), signal);
    }
    await home.close();
  }

  const status = () => statusOf({ reader, state, home, lag, badMessages: gauges.badMessages });

  const ticking = setInterval(() => {
    const nowMs = Date.now();
    if (home.source === "etcd" && running !== undefined && state.inSync) lag.current(nowMs); // it follows the store's own watch
    const busy = batches.size >= MAX_WAITING || (state.loading && running !== undefined && nowMs - tookMs < STALLED_MS);
    home.tick({ busy, nowMs }, () => leaving.abort(new Error("another source is due")));
    gauges.show(status());
  }, tickMs);
  signal.addEventListener("abort", () => (clearInterval(ticking), batches.end()), { once: true });
  if (signal.aborted) clearInterval(ticking);
  run().catch((error: unknown) => batches.fail(error));
  return { [Symbol.asyncIterator]: () => batches[Symbol.asyncIterator](), status };
}

function statusOf({
  reader,
  state,
  home,
  lag,
  badMessages,
}: {
  readonly reader: LogReader;
  readonly state: FeedState;
  readonly home: Home;
  readonly lag: Lag;
  readonly badMessages: number;
}): FeedStatus {
  const nowMs = Date.now();
  return {
    connected: reader.connected,
    inSync: state.inSync,
    revision: state.revision,
    source: home.source,
    behindRevisions: lag.behindRevisions,
    lagMs: lag.lagMs(nowMs),
    heartbeatAgeMs: lag.heartbeatAgeMs(nowMs),
    badMessages,
  };
}

/** Whose log it is, so that another cluster's store is not read in its place. */
function clusterAfter(before: Identity | undefined, message: LogMessage): Identity | undefined {
  if (message.kind !== "change" || message.key !== IDENTITY_KEY || message.op !== "put") return before;
  return identityOf(message.data()) ?? before;
}

/** The first of a row, each other reason, and now and then. */
function tellInterruptions(log: Logger): (reason: string, attempt: number) => void {
  let told = "";
  return (reason, attempt) => {
    if (attempt === 1 || reason !== told || attempt % 20 === 0) log.warn("feed interrupted, opening again", { reason, attempt });
    told = reason;
  };
}

/** Spread: a server that comes back is not asked by all nodes at once, again and again. */
function retryMs(failures: number): number {
  return Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(failures, 8)) * (0.5 + Math.random() / 2);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
