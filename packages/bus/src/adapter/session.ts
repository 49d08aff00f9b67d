import { AckPolicy, type ConsumerConfig, type ConsumerMessages, DeliverPolicy, type JsMsg } from "@nats-io/jetstream";
import { nanos } from "@nats-io/nats-core";
import { asking, type Nats, REQUEST_TIMEOUT_MS } from "./nats.ts";

/** The last message of each subject of a stream (`history`: every message that it keeps), then all that follow, without a gap. */
export interface StreamSession {
  /** The stream's newest sequence just after the session began. */
  readonly lastSeq: number;
  /** When the stream was made: another time is another stream. */
  readonly created: string;
  /** Throws as soon as anything could have been missed: the caller opens a new session. */
  readonly messages: AsyncIterable<JsMsg>;
  /** How many messages the filter picks of those that were there at the beginning. */
  readonly waiting: number;
  close(): Promise<void>;
}

/** What the pull consumer says when it may not be what it was. Deliberately strict: a new session is cheap. */
const BROKEN: ReadonlySet<string> = new Set([
  "heartbeats_missed",
  "consumer_not_found",
  "consumer_deleted",
  "stream_not_found",
  "no_responders",
  "slow_consumer",
]);

/**
 * A pull consumer without acknowledgements, checked by us.
 *
 * Deviation from nats.js's ordered consumer: that resumes by sequence, also in a stream that was removed and made again,
 * where the same sequences are other messages. Ours ends, and the next session sees the new stream from its start.
 */
export async function openSession(
  nats: Nats,
  o: {
    readonly stream: string;
    readonly filter: string;
    readonly headersOnly?: boolean;
    readonly history?: boolean;
    /** With `history`: from this sequence on. */
    readonly fromSeq?: number;
  },
): Promise<StreamSession> {
  const { js, jsm } = await nats.use(AbortSignal.timeout(REQUEST_TIMEOUT_MS));
  const config: Partial<ConsumerConfig> = {
    ...startOf(o),
    filter_subject: o.filter,
    ack_policy: AckPolicy.None,
    mem_storage: true,
    inactive_threshold: nanos(30_000),
    num_replicas: 1,
    ...(o.headersOnly === true ? { headers_only: true } : {}),
  };
  const { name, num_pending: waiting } = await asking(`make a consumer of ${o.stream}`, jsm.consumers.add(o.stream, config));
  // After the consumer, never before: it gives the last message of each subject as of its own beginning, in order, and one of a busy
  // subject may be newer than what was last a moment earlier. Everything that was there has come when this sequence has.
  const { created, state } = await asking(`look at ${o.stream}`, jsm.streams.info(o.stream));
  const consumer = await asking(`use a consumer of ${o.stream}`, js.consumers.get(o.stream, name));
  const messages = await consumer.consume({
    max_messages: o.history === true ? 5000 : 500,
    expires: 10_000,
    idle_heartbeat: 2000, // two that are missing end the session: a reader that is busy for a second must not begin anew; a dead server is seen by pings
    abort_on_missing_resource: true,
  });
  const unlisten = nats.onDisconnect(() => messages.stop(new Error("nats disconnected")));
  void watchStatus(messages, (why) => messages.stop(new Error(why)));
  return {
    lastSeq: state.last_seq,
    created,
    waiting,
    messages: withoutGap(messages),
    async close() {
      unlisten();
      messages.stop();
      // A courtesy: the server removes an idle consumer by itself.
      if (nats.connected) await jsm.consumers.delete(o.stream, name).catch(() => false);
    },
  };
}

function startOf(o: { readonly history?: boolean; readonly fromSeq?: number }): Partial<ConsumerConfig> {
  if (o.history !== true) return { deliver_policy: DeliverPolicy.LastPerSubject };
  if (o.fromSeq === undefined) return { deliver_policy: DeliverPolicy.All };
  return { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: o.fromSeq };
}

/** Tells `fail` why, when the consumer may not be what it was. Ends with the messages. */
export async function watchStatus(messages: ConsumerMessages, fail: (why: string) => void): Promise<void> {
  for await (const { type } of messages.status()) if (BROKEN.has(type)) fail(`the consumer broke: ${type.replaceAll("_", " ")}`);
}

async function* withoutGap(messages: AsyncIterable<JsMsg>): AsyncGenerator<JsMsg> {
  let expected = 1;
  for await (const message of messages) {
    const { deliverySequence } = message.info;
    if (deliverySequence !== expected) throw new Error(`a message was lost: expected delivery ${expected}, got ${deliverySequence}`);
    expected++;
    yield message;
  }
}
