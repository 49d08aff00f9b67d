import type { DirectMsgRequest, MsgRequest, StoredMsg } from "@nats-io/jetstream";
import { STREAM, SUBJECT_ROOT } from "../domain/subject.ts";
import type { LoggedMessage } from "./headers.ts";
import { asking, type NatsHandle } from "./nats.ts";

/** Messages asked for at a time: with more, the server was not faster. */
const AT_ONCE = 64;
/** A consumer is the better way when more than this is to be read. */
export const MAX_BY_SEQUENCE = 20_000;

export interface StoredState {
  /** When the stream was made: another time is another stream. */
  readonly created: string;
  readonly lastSeq: number;
  /** How many it keeps, and of how many subjects. */
  readonly messages: number;
  readonly subjects: number;
}

export async function storedState({ jsm }: Pick<NatsHandle, "jsm">): Promise<StoredState> {
  const { created, state } = await asking("look at the log", jsm.streams.info(STREAM));
  return { created, lastSeq: state.last_seq, messages: state.messages, subjects: state.num_subjects ?? 0 };
}

/**
 * What the log keeps from one sequence to another, in order.
 *
 * No consumer: making one takes the cluster's leader and a member picked by chance, which after a failure is for a third of
 * the time the one that is gone. Throws when a member that has not yet taken in what was stored before was asked.
 */
export async function* readStored(
  { bySequence }: Pick<NatsHandle, "bySequence">,
  { from, to }: { readonly from: number; readonly to: number },
): AsyncGenerator<readonly LoggedMessage[]> {
  for (let next = from; next <= to;) {
    const asked = Math.min(AT_ONCE, to - next + 1);
    const found = await Promise.all(Array.from({ length: asked }, (_, i) => messageFrom(bySequence, next + i)));
    // Where older ones were forgotten, several were answered with the same next one.
    const bySeq = new Map(found.map((message) => [message.seq, message]));
    const messages = [...bySeq.values()].sort((a, b) => a.seq - b.seq);
    yield messages.map(asLogged);
    next = Math.max(next + asked, (messages.at(-1)?.seq ?? 0) + 1);
  }
}

/**
 * A direct get is answered by any member, perhaps one that is behind, or one that was cut off a moment ago and then not at
 * all; the other by the log's leader, if the cluster has a leader, too. One of the two mostly works while members fail.
 */
async function messageFrom(jsm: NatsHandle["jsm"], seq: number): Promise<StoredMsg> {
  // The library's types do not know the pair, the server does.
  const query: unknown = { seq, next_by_subj: `${SUBJECT_ROOT}.>` };
  const message = await asking(
    `read the log at ${seq}`,
    jsm.direct
      .getMessage(STREAM, query as DirectMsgRequest)
      .catch(() => null)
      .then((found) => found ?? jsm.streams.getMessage(STREAM, query as MsgRequest)),
  );
  if (message === null) throw new Error(`Cannot read the log at ${seq}: no member that answers has anything from there on`);
  return message;
}

function asLogged(message: StoredMsg): LoggedMessage {
  const { seq, subject, header, timestamp } = message;
  return { seq, subject, headers: header, timestampNanos: BigInt(Date.parse(timestamp)) * 1_000_000n, string: () => message.string() };
}
