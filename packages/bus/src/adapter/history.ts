import type { Logger } from "@calico/daemon";
import { AckPolicy, DeliverPolicy, type JsMsg } from "@nats-io/jetstream";
import { nanos } from "@nats-io/nats-core";
import { FENCE_SUBJECT, STREAM, SUBJECT_ROOT } from "../domain/subject.ts";
import type { LogMessage } from "../ports.ts";
import { decodeMessage } from "./headers.ts";
import { type Nats, type NatsOptions, openNats } from "./nats.ts";
import { watchStatus } from "./session.ts";

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
  /** Gives each message to `take`, once. Rejects if one could have been missed; what `take` throws ends the reading too. */
  read(take: (message: HistoryMessage) => void): Promise<void>;
}

export interface HistoryOptions {
  readonly servers: readonly string[];
  readonly name: string;
  readonly log: Logger;
  /** Ends the wait for a server that is not there. A server that falls silent later ends the reading by itself. */
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
      read: (take) => (state.messages === 0 ? Promise.resolve() : readUntil(nats, state.last_seq, take)),
      [Symbol.asyncDispose]: () => nats.close(),
    };
  } catch (error) {
    await nats.close();
    throw error;
  }
}

/** Under way at once: enough to keep server and reader busy, and less than a server cuts a slow reader off for. */
const PULL_OCTETS = 8 * 2 ** 20;

/** Messages are taken as they come in, without a queue: that is half the cost of reading a long log. */
async function readUntil(nats: Nats, lastSeq: number, take: (message: HistoryMessage) => void): Promise<void> {
  const { js, jsm } = await nats.use();
  const { name } = await jsm.consumers.add(STREAM, {
    deliver_policy: DeliverPolicy.All,
    filter_subject: `${SUBJECT_ROOT}.>`,
    ack_policy: AckPolicy.None,
    mem_storage: true,
    inactive_threshold: nanos(30_000),
    num_replicas: 1,
  });
  const done = Promise.withResolvers<void>();
  let expected = 1;
  const callback = (message: JsMsg) => {
    const { deliverySequence, pending } = message.info;
    if (deliverySequence !== expected++) return done.reject(new Error(`a message was lost: delivery ${deliverySequence} came early`));
    try {
      if (message.seq <= lastSeq) take(historyMessage(message));
    } catch (error) {
      done.reject(error);
    }
    // The newest message may have been forgotten since: then nothing is pending after the one before it.
    if (message.seq >= lastSeq || pending === 0) done.resolve();
  };
  const consumer = await js.consumers.get(STREAM, name);
  const messages = await consumer.consume({
    max_bytes: PULL_OCTETS,
    expires: 5000,
    idle_heartbeat: 1000,
    abort_on_missing_resource: true,
    callback,
  });
  const fail = (why: string) => done.reject(new Error(why));
  const unlisten = nats.onDisconnect(() => fail("the connection was lost while reading: try again"));
  void watchStatus(messages, fail);
  try {
    await done.promise;
  } finally {
    unlisten();
    messages.stop();
    if (nats.connected) await jsm.consumers.delete(STREAM, name).catch(() => false);
  }
}

function historyMessage(message: JsMsg): HistoryMessage {
  const decoded = decodeMessage(message);
  const atMs = Math.floor(message.info.timestampNanos / 1000) / 1000;
  if (decoded.kind !== "other") return { ...decoded, atMs };
  return { kind: message.subject === FENCE_SUBJECT ? "fence" : "other", seq: message.seq, atMs };
}
