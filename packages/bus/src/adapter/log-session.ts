import { type Logger, pause } from "@calico/daemon";
import type { JsMsg } from "@nats-io/jetstream";
import type { Frame, FrameMessage } from "../domain/frame.ts";
import { STREAM, SUBJECT_ROOT } from "../domain/subject.ts";
import type { LogMessage, LogSession } from "../ports.ts";
import { decodeMessage } from "./headers.ts";
import type { Nats } from "./nats.ts";
import { openSession, type StreamSession } from "./session.ts";
import { openTail } from "./tail.ts";

const LOG = { stream: STREAM, filter: `${SUBJECT_ROOT}.>` } as const;
/** Reading on costs more than a new snapshot when so much is missing. */
const MAX_MISSING = 20_000;
const TRIES = 8;
const RETRY_MS = 250;
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
  let reading: StreamSession = snapshot;
  let position: Position = { seq: 0, mark: () => "" };
  let lookBackMs = 0;

  /** Until all that was there when the session began has come. */
  async function* readUntilLast(session: StreamSession): AsyncGenerator<{ readonly message: JsMsg; readonly decoded: LogMessage }> {
    if (session.waiting === 0 && session.lastSeq === 0) return;
    for await (const message of session.messages) {
      if (message.seq > position.seq) position = { seq: message.seq, mark: () => markOf(message) };
      yield { message, decoded: decodeMessage(message) };
      if (message.seq >= session.lastSeq) return;
    }
  }

  /** From the newest message that was read, which must be there, to the log's end. */
  async function* readMissing(session: StreamSession): AsyncGenerator<readonly LogMessage[]> {
    const { seq, mark } = position;
    if (session.created !== created) throw new OtherLog("the log was removed and made again");
    if (session.lastSeq < seq || (seq > 0 && session.waiting === 0)) throw new OtherLog("the log has lost what was read of it");
    if (session.lastSeq - seq > MAX_MISSING) throw new OtherLog(`${session.lastSeq - seq} messages are missing`);
    let known = seq === 0;
    for await (const { message, decoded } of readUntilLast(session)) {
      if (!known && (message.seq !== seq || markOf(message) !== mark())) throw new OtherLog("the log does not go on where it was read");
      known = true;
      if (message.seq > seq) yield [decoded];
    }
  }

  async function* mend(): AsyncGenerator<readonly LogMessage[]> {
    for (let attempt = 1; ; attempt++) {
      try {
        reading = await openSession(nats, { ...LOG, history: true, fromSeq: Math.max(1, position.seq) });
        yield* readMissing(reading);
        lookBackMs = Date.now() + LOOK_BACK_MS;
        return await reading.close();
      } catch (error) {
        await reading.close();
        if (error instanceof OtherLog || attempt === TRIES || closing.signal.aborted) throw error;
        await pause(RETRY_MS * attempt * (0.5 + Math.random()), closing.signal); // a server that has just come back does not answer at first
        await nats.use(closing.signal);
      }
    }
  }

  async function* follow({ created: of, after, messages: stored }: Frame): AsyncGenerator<readonly LogMessage[]> {
    if (of !== created || after > position.seq) yield* mend();
    if (of !== created || after > position.seq) return log.warn("frame of another log passed over", { created: of, after });
    const same = stored[position.seq - after - 1];
    if (same !== undefined && markOfFrame(same) !== position.mark()) throw new OtherLog("the log does not go on where it was read");
    const fresh = stored.slice(position.seq - after);
    if (fresh.length === 0) {
      // The leader tells of less than was read: a frame from before the snapshot's end, or the log has lost its end.
      if (after + stored.length < position.seq && Date.now() >= lookBackMs) yield* mend();
      return;
    }
    const first = position.seq + 1;
    position = { seq: position.seq + fresh.length, mark: () => markOfFrame(fresh.at(-1)!) };
    yield fresh.map((message, i) => fromFrame(message, first + i));
  }

  async function* messages(): AsyncGenerator<readonly LogMessage[]> {
    for await (const { decoded } of readUntilLast(snapshot)) yield [decoded];
    lookBackMs = Date.now() + LOOK_BACK_MS;
    await snapshot.close();
    for (;;) {
      const next = await tail.next();
      if (next === "missed") yield* mend();
      else yield* follow(next);
    }
  }

  return {
    lastSeq,
    created,
    messages: messages(),
    async close() {
      closing.abort(new Error("the session was closed"));
      tail.close();
      await reading.close();
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

function fromFrame({ op, revision, seenAt, key, data }: FrameMessage, seq: number): LogMessage {
  if (op === "mark") return { kind: "other", seq };
  if (op === "complete") return { kind: "complete", seq, revision };
  const change = { kind: "change", seq, key, op, revision, data: () => data } as const;
  return seenAt === 0 ? change : { ...change, seenAt };
}

/** Tells a message from every other that could have its sequence; the same of the log's message and of its copy in a frame. */
function markOf(message: JsMsg): string {
  const decoded = decodeMessage(message);
  if (decoded.kind === "change") return `${decoded.op} ${decoded.revision} ${decoded.key}`;
  return decoded.kind === "complete" ? `complete ${decoded.revision}` : message.string();
}

function markOfFrame({ op, revision, key, data }: FrameMessage): string {
  if (op === "mark") return data;
  return op === "complete" ? `complete ${revision}` : `${op} ${revision} ${key}`;
}
