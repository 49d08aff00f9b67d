import { STREAM, SUBJECT_ROOT } from "../domain/subject.ts";
import type { LogEntry } from "../ports.ts";
import { decodeEntry, decodeMessage, type LoggedMessage } from "./headers.ts";
import type { Nats } from "./nats.ts";
import { openSession } from "./session.ts";

interface Entries {
  readonly entries: ReadonlyMap<string, LogEntry>;
  readonly complete: boolean;
  /** Subjects with messages that are of no key: fences and marks. */
  readonly others: ReadonlySet<string>;
  /** The newest message, without its data. */
  readonly last: LoggedMessage | undefined;
}

const READ_LIMIT_MS = 30_000;

/**
 * The last message of each key, without data; read up to `untilSeq`, or to the newest one there is.
 *
 * Not until nothing is pending: the consumer may be on a replica that is still behind.
 */
export async function readEntries(nats: Nats, untilSeq?: number): Promise<Entries> {
  const entries = new Map<string, LogEntry>();
  let complete = false;
  const others = new Set<string>();
  let last: LoggedMessage | undefined;
  const session = await openSession(nats, { stream: STREAM, filter: `${SUBJECT_ROOT}.>`, headersOnly: true });
  const late = setTimeout(() => void session.close(), READ_LIMIT_MS);
  try {
    if (session.lastSeq === 0 || (untilSeq === undefined && session.waiting === 0)) return { entries, others, complete, last };
    for await (const message of session.messages) {
      const entry = decodeEntry(message);
      if (entry === undefined) others.add(message.subject);
      else entries.set(entry.key, entry);
      last = message;
      complete ||= decodeMessage(message).kind === "complete";
      if (message.seq >= (untilSeq ?? session.lastSeq)) return { entries, others, complete, last };
    }
  } finally {
    clearTimeout(late);
    await session.close();
  }
  throw new Error(`Cannot read the log: its end did not come within ${READ_LIMIT_MS / 1000} s`);
}

/** The data of a subject's last message. */
export async function readValue(nats: Nats, subject: string): Promise<string | undefined> {
  const { jsm } = await nats.use();
  const message = await jsm.streams.getMessage(STREAM, { last_by_subj: subject });
  return message?.string();
}
