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
  /** A session begins: what it does not show by its in-sync point has been deleted. */
  begin(lastSeq: number): void;
  take(message: LogMessage): FeedEvent[];
  readonly inSync: boolean;
  /** The snapshot of this session is still coming in. */
  readonly loading: boolean;
  readonly revision: number;
  /** The revision of each key that is there. */
  readonly known: ReadonlyMap<string, number>;
}

/** `onBad` hears of messages that carry no JSON; they change nothing. */
export function makeFeedState(kinds: ReadonlySet<Kind>, onBad: (key: string, revision: number) => void): FeedState {
  const known = new Map<string, number>();
  let session: { readonly lastSeq: number; readonly seen: Set<string>; complete: boolean; caughtUp: boolean } | undefined;
  let inSync = false;
  let revision = 0;

  function takeChange(message: Extract<LogMessage, { kind: "change" }>): FeedEvent[] {
    const { key, op, revision: at } = message;
    const seen = session === undefined && message.seenAt !== undefined ? { seenAt: message.seenAt } : undefined;
    const ref = parseKey(key);
    if (ref === undefined || !kinds.has(ref.ref.kind)) return [];
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
    session = undefined;
    inSync = true;
    const events = vanished.flatMap((key): FeedEvent[] => {
      known.delete(key);
      const ref = parseKey(key);
      return ref === undefined ? [] : [{ kind: "deleted", key, ref, revision }];
    });
    return [...events, { kind: "inSync", revision }];
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
    begin(lastSeq) {
      session = { lastSeq, seen: new Set(), complete: false, caughtUp: false };
      inSync = false;
      revision = 0;
    },
    take(message) {
      if (message.kind !== "other") revision = Math.max(revision, message.revision);
      const events = message.kind === "change" ? takeChange(message) : [];
      if (session !== undefined) {
        if (message.kind === "complete") session.complete = true;
        if (message.seq >= session.lastSeq) session.caughtUp = true;
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
