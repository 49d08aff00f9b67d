import type { Logger } from "@calico/daemon";
import { FENCE_SUBJECT, STREAM, SUBJECT_ROOT } from "../domain/subject.ts";
import type { LogMessage } from "../ports.ts";
import { decodeMessage, timeOf } from "./headers.ts";
import { type NatsOptions, openNats } from "./nats.ts";
import { openSession } from "./session.ts";

/** One message that the log still keeps, and when the log took it. A `fence` begins a leader's session, `complete` ends its catching up. */
export type HistoryMessage = { readonly atMs: number } & (
  Exclude<LogMessage, { kind: "other" }> | { readonly kind: "fence" | "other"; readonly seq: number }
);

/** The log as it was when it was opened: all that it still keeps, oldest first. */
export interface LogHistory extends AsyncDisposable {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly count: number;
  /** How many messages of one subject are kept. */
  readonly maxPerSubject: number;
  readonly messages: AsyncIterable<HistoryMessage>;
}

export interface HistoryOptions {
  readonly servers: readonly string[];
  readonly name: string;
  readonly log: Logger;
  /** Ends the wait for a server that is not there, and the reading. */
  readonly signal: AbortSignal;
  readonly connection?: NatsOptions["connection"];
}

/** For replay: read the whole log once. Rejects if there is none. */
export async function openHistory({ servers, name, log, signal, connection }: HistoryOptions): Promise<LogHistory> {
  const nats = openNats({ servers, name, log, ...(connection && { connection }) });
  try {
    const { jsm } = await nats.use(signal);
    const { state, config } = await jsm.streams.info(STREAM);
    return {
      firstSeq: state.first_seq,
      lastSeq: state.last_seq,
      count: state.messages,
      maxPerSubject: config.max_msgs_per_subject,
      messages: state.messages === 0 ? none() : readUntil(state.last_seq, () => openSession(nats, { ...ALL, history: true })),
      [Symbol.asyncDispose]: () => nats.close(),
    };
  } catch (error) {
    await nats.close();
    throw error;
  }
}

const ALL = { stream: STREAM, filter: `${SUBJECT_ROOT}.>` } as const;

async function* none(): AsyncGenerator<HistoryMessage> {}

async function* readUntil(lastSeq: number, open: () => ReturnType<typeof openSession>): AsyncGenerator<HistoryMessage> {
  const session = await open();
  try {
    for await (const message of session.messages) {
      if (message.seq > lastSeq) return;
      const decoded = decodeMessage(message);
      const atMs = timeOf(message);
      if (decoded.kind !== "other") yield { ...decoded, atMs };
      else yield { kind: message.subject === FENCE_SUBJECT ? "fence" : "other", seq: message.seq, atMs };
      // The newest message may have been forgotten since: then nothing is pending after the one before it.
      if (message.seq === lastSeq || message.info.pending === 0) return;
    }
  } finally {
    await session.close();
  }
}
