import { type Kind, type ParsedKey, parseKey } from "@calico/model";
import type { LogMessage } from "../ports.ts";

export type FeedEvent =
  | {
      readonly kind: "updated";
      readonly key: string;
      readonly ref: ParsedKey;
      readonly value: unknown;
      readonly revision: number;
      /** When the store's change became known, in milliseconds since the epoch. Absent in a snapshot, where it says nothing. */
      readonly seenAt?: number;
    }
  | { readonly kind: "deleted"; readonly key: string; readonly ref: ParsedKey; readonly revision: number; readonly seenAt?: number }
  /** What came before is the whole state as of `revision`. Comes again after every new snapshot. */
  | { readonly kind: "inSync"; readonly revision: number };

/** Turns the log's messages into events, over any number of sessions. Remembers the revision per key and no values. */
export interface FeedState {
  /**
   * A session begins: what it does not show by its in-sync point has been deleted.
   *
   * A replica that catches up, and a leader of the stream that was just elected, show the log as it was a while ago. So of a log that was read
   * before (`created`), what is older than the newest that was seen is told only if it is still so when that has come again.
   */
  begin(lastSeq: number, created?: string): void;
  take(message: LogMessage): FeedEvent[];
  readonly inSync: boolean;
  /** The snapshot of this session is still coming in. */
  readonly loading: boolean;
  readonly revision: number;
  /** The revision of each key that is there. */
  readonly known: ReadonlyMap<string, number>;
}

/** `onBad` hears of messages that carry no JSON; they change nothing. */
type Change = Extract<LogMessage, { kind: "change" }>;

interface Loading {
  readonly lastSeq: number;
  /** The newest revision that was seen of this log. */
  readonly least: number;
  readonly seen: Set<string>;
  /** The last of each key that is older than what was seen. */
  readonly older: Map<string, Change>;
  complete: boolean;
  caughtUp: boolean;
}

export function makeFeedState(kinds: ReadonlySet<Kind>, onBad: (key: string, revision: number) => void): FeedState {
  const known = new Map<string, number>();
  let session: Loading | undefined;
  let inSync = false;
  let revision = 0;
  let log: { readonly created: string | undefined; newest: number } = { created: undefined, newest: 0 };

  function takeChange(message: Change): FeedEvent[] {
    const { key, op, revision: at } = message;
    const ref = parseKey(key);
    if (ref === undefined || !kinds.has(ref.ref.kind)) return [];
    session?.older.delete(key);
    if (session !== undefined && at < session.least && known.get(key) !== at) {
      session.older.set(key, message);
      session.seen.add(key);
      return [];
    }
    const seen = session === undefined && message.seenAt !== undefined ? { seenAt: message.seenAt } : undefined;
    if (op === "delete") {
      session?.seen.delete(key);
      return known.delete(key) ? [{ kind: "deleted", key, ref, revision: at, ...seen }] : [];
    }
    session?.seen.add(key);
    if (known.get(key) === at) return [];
    const value = parseJson(message.data());
    if (value === undefined) {
      onBad(key, at);
      return [];
    }
    known.set(key, at);
    return [{ kind: "updated", key, ref, value, revision: at, ...seen }];
  }

  /** A log without a complete mark is being rebuilt: its absences say nothing yet. */
  function finishSnapshot(): FeedEvent[] {
    if (session === undefined || !session.caughtUp || !session.complete) return [];
    const vanished = [...known.keys()].filter((key) => !session?.seen.has(key));
    const older = [...session.older.values()];
    session = undefined;
    inSync = true;
    const events = older.flatMap(takeChange);
    const gone = vanished.flatMap((key): FeedEvent[] => {
      known.delete(key);
      const ref = parseKey(key);
      return ref === undefined ? [] : [{ kind: "deleted", key, ref, revision }];
    });
    return [...events, ...gone, { kind: "inSync", revision }];
  }

  return {
    get inSync() {
      return inSync;
    },
    get loading() {
      return session !== undefined;
    },
    get revision() {
      return revision;
    },
    known,
    begin(lastSeq, created) {
      if (created === undefined || created !== log.created) log = { created, newest: 0 };
      session = { lastSeq, least: log.newest, seen: new Set(), older: new Map(), complete: false, caughtUp: false };
      inSync = false;
      revision = 0;
    },
    take(message) {
      if (message.kind !== "other") revision = Math.max(revision, message.revision);
      if (log.created !== undefined) log.newest = Math.max(log.newest, revision);
      const events = message.kind === "change" ? takeChange(message) : [];
      if (session !== undefined) {
        if (message.kind === "complete") session.complete = true;
        if (message.seq >= session.lastSeq && revision >= session.least) session.caughtUp = true;
        events.push(...finishSnapshot());
      }
      return events;
    },
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
