import type { Kind } from "@calico/model";
import { type Logger, pause } from "@calico/daemon";
import { type FeedEvent, makeFeedState } from "../domain/feed-state.ts";
import type { LogReader } from "../ports.ts";
import { makeBatches } from "./batches.ts";

/** How a feed is, for health reports. */
export interface FeedStatus {
  readonly connected: boolean;
  readonly inSync: boolean;
  /** The newest etcd revision that was handed over. */
  readonly revision: number;
  /** How many revisions the leader says it is ahead; undefined before its first heartbeat. */
  readonly behindRevisions: number | undefined;
  /** Milliseconds since the leader's last heartbeat. */
  readonly heartbeatAgeMs: number | undefined;
}

/** Batches of events: a snapshot, `inSync`, then every change in order. Ends only on the signal. */
export interface Feed extends AsyncIterable<readonly FeedEvent[]> {
  status(): FeedStatus;
}

const MAX_BATCH = 1000;
const MAX_WAITING = 8000;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 1000;

export function makeFeed(
  reader: LogReader,
  options: { readonly kinds: readonly Kind[]; readonly signal: AbortSignal; readonly log: Logger },
): Feed {
  const { signal, log } = options;
  const batches = makeBatches<FeedEvent>(MAX_BATCH);
  const state = makeFeedState(new Set(options.kinds), (key, revision) => log.error("message without JSON passed over", { key, revision }));

  async function runSession(): Promise<void> {
    const session = await reader.open();
    const stop = () => void session.close();
    signal.addEventListener("abort", stop, { once: true });
    try {
      state.begin(session.lastSeq);
      for await (const message of session.messages) {
        if (signal.aborted) return;
        const events = state.take(message);
        const synced = events.at(-1);
        if (synced?.kind === "inSync") log.info("feed in sync", { revision: synced.revision });
        batches.push(events);
        if (batches.size >= MAX_WAITING) await batches.drainedBelow(MAX_WAITING);
      }
    } finally {
      signal.removeEventListener("abort", stop);
      await session.close();
    }
  }

  async function run(): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      try {
        await runSession();
        failures = 0;
      } catch (error) {
        if (signal.aborted) break;
        failures = state.inSync ? 1 : failures + 1;
        if (failures === 1 || failures % 20 === 0)
          log.warn("feed interrupted, opening again", { reason: reasonOf(error), attempt: failures });
      }
      await pause(Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(failures, 5)), signal);
    }
    await reader.close();
  }

  signal.addEventListener("abort", () => batches.end(), { once: true });
  run().catch((error: unknown) => batches.fail(error));
  return {
    [Symbol.asyncIterator]: () => batches[Symbol.asyncIterator](),
    status() {
      const { lastHeartbeat: beat, connected } = reader;
      return {
        connected,
        inSync: state.inSync,
        revision: state.revision,
        behindRevisions: beat && Math.max(0, beat.revision - state.revision),
        heartbeatAgeMs: beat && Date.now() - beat.atMs,
      };
    },
  };
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
