import { type Logger, pause } from "@calico/daemon";
import { type Frame, type FrameMessage, markOf } from "../domain/frame.ts";
import { STREAM, SUBJECT_ROOT } from "../domain/subject.ts";
import type { LogMessage, LogSession } from "../ports.ts";
import { decodeMessage, type LoggedMessage, markOfLogged } from "./headers.ts";
import { isDenied, isUnanswered, type Nats } from "./nats.ts";
import { openSession } from "./session.ts";
import { MAX_BY_SEQUENCE, readStored, storedState } from "./stored.ts";
import { openTail } from "./tail.ts";

const LOG = { stream: STREAM, filter: `${SUBJECT_ROOT}.>` } as const;
const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 2000;
/** Of those that were answered. While members elect nobody answers, and a new snapshot would wait for them all the same. */
const TRIES = 8;
/** The syncer forgets tombstones after 14 days (service/syncer.ts). */
const MAX_AWAY_MS = 86_400_000;
/** Frames that came during a snapshot are read at its end, all at once. */
const LOOK_BACK_MS = 3000;

/** The newest message that was read; its `mark` tells a log that lost its end and went on otherwise. */
interface Position {
  readonly seq: number;
  readonly mark: () => string;
}

/** The log is not the one that was read: another snapshot is due. */
class OtherLog extends Error {}

/**
 * The newest message of each key from the log, then the leader's frames.
 *
 * A frame that does not follow on what was read, a lost connection, a frame that cannot be read: what is missing is read
 * from the log by sequence, after the newest message that was seen was found there again.
 */
export async function openLogSession(nats: Nats, log: Logger): Promise<LogSession> {
  const closing = new AbortController();
  const { tail, snapshot } = await begin(nats, { log, signal: closing.signal });
  const { lastSeq, created } = snapshot;
  let position: Position = { seq: 0, mark: () => "" };
  let lookBackMs = 0;

  function passed(message: LoggedMessage, decoded = decodeMessage(message)): LogMessage {
    position = { seq: message.seq, mark: () => markOfLogged(message, decoded) };
    return decoded;
  }

  async function* readSnapshot(): AsyncGenerator<readonly LogMessage[]> {
    if (snapshot.waiting === 0 && lastSeq === 0) return;
    for await (const message of snapshot.messages) {
      yield [passed(message)];
      if (message.seq >= lastSeq) return;
    }
  }

  let heardAt = Date.now();

  /** From the newest message that was read, which must be there as it was, to the log's end. */
  async function* readMissing(): AsyncGenerator<readonly LogMessage[]> {
    const { seq, mark } = position;
    if (Date.now() - heardAt > MAX_AWAY_MS) throw new OtherLog("nothing was read of it for so long that tombstones may be forgotten");
    const handle = await nats.use(closing.signal);
    const stored = await storedState(handle);
    if (stored.created !== created) throw new OtherLog("the log was removed and made again");
    // A leader that was just elected may not have taken in yet what was stored before: only after some tries it is lost.
    if (stored.lastSeq < seq || (seq > 0 && stored.messages === 0)) throw new Error("the log has lost what was read of it");
    if (stored.lastSeq - seq > MAX_BY_SEQUENCE) throw new OtherLog(`${stored.lastSeq - seq} messages are missing`);
    let known = seq === 0;
    for await (const messages of readStored(handle, { from: Math.max(1, seq), to: stored.lastSeq })) {
      const first = messages[0];
      if (!known && (first?.seq !== seq || markOfLogged(first) !== mark())) throw new OtherLog("the log does not go on where it was read");
      known = true;
      const fresh = messages.filter((message) => message.seq > seq);
      if (fresh.length > 0) yield fresh.map((message) => passed(message));
    }
  }

  async function* mend(): AsyncGenerator<readonly LogMessage[]> {
    yield* untilAnswered(readMissing, { log, signal: closing.signal });
    lookBackMs = Date.now() + LOOK_BACK_MS;
  }

  async function* follow({ created: of, after, messages: stored }: Frame): AsyncGenerator<readonly LogMessage[]> {
    if (of !== created || after > position.seq) yield* mend();
    if (of !== created || after > position.seq) return log.warn("frame of another log passed over", { created: of, after });
    const same = stored[position.seq - after - 1];
    if (same !== undefined && markOf(same) !== position.mark()) throw new OtherLog("the log does not go on where it was read");
    const fresh = stored.slice(position.seq - after);
    if (fresh.length === 0) {
      // The leader tells of less than was read: a frame from before the snapshot's end, or the log has lost its end.
      if (after + stored.length < position.seq && Date.now() >= lookBackMs) yield* mend();
      return;
    }
    const first = position.seq + 1;
    position = { seq: position.seq + fresh.length, mark: () => markOf(fresh.at(-1)!) };
    yield fresh.map((message, i) => fromFrame(message, first + i));
  }

  async function* messages(): AsyncGenerator<readonly LogMessage[]> {
    yield* readSnapshot();
    lookBackMs = Date.now() + LOOK_BACK_MS;
    await snapshot.close();
    for (;;) {
      const next = await tail.next();
      if (next === "missed") yield* mend();
      else yield* follow(next);
      heardAt = Date.now();
    }
  }

  return {
    lastSeq,
    created,
    messages: messages(),
    async close() {
      closing.abort(new Error("the session was closed"));
      tail.close();
      await snapshot.close();
    },
  };
}

/** The tail is heard before the snapshot is asked for, so that nothing falls between the two. */
async function begin(nats: Nats, o: { readonly log: Logger; readonly signal: AbortSignal }) {
  const tail = await openTail(nats, o);
  try {
    return { tail, snapshot: await openSession(nats, LOG) };
  } catch (error) {
    tail.close();
    throw error;
  }
}

async function* untilAnswered(
  read: () => AsyncGenerator<readonly LogMessage[]>,
  { log, signal }: { readonly log: Logger; readonly signal: AbortSignal },
): AsyncGenerator<readonly LogMessage[]> {
  let refused = 0;
  for (let attempt = 1; ; attempt++) {
    try {
      return yield* read();
    } catch (error) {
      if (!isUnanswered(error)) refused++;
      if (error instanceof OtherLog || isDenied(error) || refused === TRIES || signal.aborted) throw error;
      if (attempt % TRIES === 0) log.warn("log cannot be read on, trying again", { attempt, error });
      await pause(Math.min(RETRY_MAX_MS, RETRY_MIN_MS * attempt) * (0.5 + Math.random()), signal);
    }
  }
}

function fromFrame({ op, revision, seenAt, key, data }: FrameMessage, seq: number): LogMessage {
  if (op === "mark") return { kind: "other", seq };
  if (op === "complete") return { kind: "complete", seq, revision };
  const change = { kind: "change", seq, key, op, revision, data: () => data } as const;
  return seenAt === 0 ? change : { ...change, seenAt };
}
