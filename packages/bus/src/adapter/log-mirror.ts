import { type FrameMessage, markOf } from "../domain/frame.ts";
import type { LogEntry } from "../ports.ts";
import { readEntries } from "./entries.ts";
import { decodeEntry, markOfLogged } from "./headers.ts";
import { isDenied, isUnanswered, type Nats, type NatsHandle } from "./nats.ts";
import { MAX_BY_SEQUENCE, readStored, storedState, type StoredState } from "./stored.ts";

/**
 * What is on the log, as far as this process read or wrote it: a leader that claims anew, and a standby that takes over,
 * read only what came since. Memory: an entry per key, without data.
 */
export interface LogMirror {
  /** The last message of each key up to `lastSeq`. */
  entriesAt(handle: NatsHandle, at: Place): Promise<ReadonlyMap<string, LogEntry>>;
  /** Bring it up to date, for a standby. */
  refresh(handle: NatsHandle): Promise<void>;
  /** The log has stored `message`; entries only follow each other. */
  wrote(seq: number, subject: string, message: FrameMessage): void;
  forgot(subject: string, seq: number): void;
}

type Place = Pick<StoredState, "created" | "lastSeq">;

interface Mirrored {
  readonly created: string;
  /** The newest message that is in it, and what tells that from another at its sequence. */
  seq: number;
  mark: () => string;
  /** In the order of their sequences. */
  readonly bySubject: Map<string, LogEntry>;
  readonly others: Set<string>;
}

const TRIES = 5;

export function makeLogMirror(nats: Nats): LogMirror {
  let mirrored: Mirrored | undefined;
  let failures = 0;
  let running: Promise<unknown> = Promise.resolve();

  /** False: the log is not the one that was read, or too far on. */
  async function readOn(handle: NatsHandle, { created, lastSeq }: Place): Promise<boolean> {
    const at = mirrored;
    if (at === undefined || at.created !== created || lastSeq < at.seq || lastSeq - at.seq > MAX_BY_SEQUENCE) return false;
    let known = false;
    for await (const messages of readStored(handle, { from: at.seq, to: lastSeq })) {
      for (const message of messages) {
        if (!known && (message.seq !== at.seq || markOfLogged(message) !== at.mark())) return false;
        known = true;
        note(at, message.subject, decodeEntry(message));
        at.seq = message.seq;
        at.mark = () => markOfLogged(message);
      }
    }
    return true;
  }

  async function readAll({ created, lastSeq }: Place): Promise<void> {
    const { entries, others, last } = await readEntries(nats, lastSeq);
    if (last === undefined) return void (mirrored = undefined);
    const bySubject = new Map([...entries.values()].map((entry) => [entry.subject, entry]));
    mirrored = { created, seq: last.seq, mark: () => markOfLogged(last), bySubject, others: new Set(others) };
  }

  async function bringUp(handle: NatsHandle, at: Place): Promise<void> {
    try {
      if (!(await readOn(handle, at))) await readAll(at);
      failures = 0;
    } catch (error) {
      if (isDenied(error)) return await readAll(at); // by a configuration that does not know these subjects yet
      // What was read stays the base of the next try; should it be at fault, all is read once more.
      if (!isUnanswered(error) && ++failures % TRIES === 0) mirrored = undefined;
      throw error;
    }
  }

  /** One after another: a standby that takes over while it reads does not read twice. */
  function inTurn<T>(action: () => Promise<T>): Promise<T> {
    const done = running.then(action);
    running = done.catch(() => {});
    return done;
  }

  return {
    entriesAt: (handle, at) =>
      inTurn(async () => {
        await bringUp(handle, at);
        // One that is not there though it was read: somebody purged it, or a member lost it. Nobody else writes meanwhile.
        const { subjects } = await storedState(handle);
        if (mirrored !== undefined && mirrored.bySubject.size + mirrored.others.size !== subjects) await readAll(at);
        return new Map([...(mirrored?.bySubject.values() ?? [])].map((entry) => [entry.key, entry]));
      }),
    refresh: (handle) => inTurn(async () => bringUp(handle, await storedState(handle))),
    wrote(seq, subject, message) {
      if (mirrored === undefined || seq !== mirrored.seq + 1) return;
      mirrored.seq = seq;
      mirrored.mark = () => markOf(message);
      const { op, key, revision } = message;
      const change = op === "put" || op === "delete";
      note(mirrored, subject, change ? { key, subject, op, revision, seq, atMs: Date.now() } : undefined);
    },
    forgot(subject, seq) {
      if (mirrored?.bySubject.get(subject)?.seq === seq) mirrored.bySubject.delete(subject);
    },
  };
}

function note({ bySubject, others }: Mirrored, subject: string, entry: LogEntry | undefined): void {
  if (entry === undefined) return void others.add(subject);
  bySubject.delete(subject); // so that the order stays that of the sequences
  bySubject.set(subject, entry);
}
