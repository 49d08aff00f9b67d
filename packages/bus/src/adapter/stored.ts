import type { DirectMsgRequest, StoredMsg } from "@nats-io/jetstream";
import { STREAM, SUBJECT_ROOT } from "../domain/subject.ts";
import type { LoggedMessage } from "./headers.ts";
import type { NatsHandle } from "./nats.ts";

/** Messages asked for at a time: with more, the server was not faster. */
const AT_ONCE = 64;
/** A consumer is the better way when more than this is to be read. */
export const MAX_BY_SEQUENCE = 20_000;

export interface StoredState {
  /** When the stream was made: another time is another stream. */
  readonly created: string;
  readonly lastSeq: number;
  /** How many it keeps. */
  readonly messages: number;
  /** Whether messages can be read by sequence; a log that an older syncer made does not allow it. */
  readonly bySequence: boolean;
}

export async function storedState({ jsm }: Pick<NatsHandle, "jsm">): Promise<StoredState> {
  const { created, state, config } = await jsm.streams.info(STREAM);
  return { created, lastSeq: state.last_seq, messages: state.messages, bySequence: config.allow_direct };
}

/**
 * What the log keeps from one sequence to another, in order, from whichever member has it.
 *
 * No consumer: making one takes the cluster's leader and a member picked by chance, which after a failure is for a third of
 * the time the one that is gone. Throws when a member that is behind was asked.
 */
export async function* readStored(
  { jsm }: Pick<NatsHandle, "jsm">,
  { from, to }: { readonly from: number; readonly to: number },
): AsyncGenerator<readonly LoggedMessage[]> {
  for (let next = from; next <= to;) {
    const asked = Math.min(AT_ONCE, to - next + 1);
    const found = await Promise.all(Array.from({ length: asked }, (_, i) => messageFrom(jsm, next + i)));
    // Where older ones were forgotten, several were answered with the same next one.
    const bySeq = new Map(found.map((message) => [message.seq, message]));
    const messages = [...bySeq.values()].sort((a, b) => a.seq - b.seq);
    yield messages.map(asLogged);
    next = Math.max(next + asked, (messages.at(-1)?.seq ?? 0) + 1);
  }
}

async function messageFrom(jsm: NatsHandle["jsm"], seq: number): Promise<StoredMsg> {
  // The library's type does not know the pair, the server does.
  const query = { seq, next_by_subj: `${SUBJECT_ROOT}.>` } as unknown as DirectMsgRequest;
  const message = await jsm.direct.getMessage(STREAM, query);
  if (message === null) throw new Error(`the member of the log that was asked has nothing from sequence ${seq} on`);
  return message;
}

function asLogged(message: StoredMsg): LoggedMessage {
  const { seq, subject, header, timestamp } = message;
  return { seq, subject, headers: header, timestampNanos: BigInt(Date.parse(timestamp)) * 1_000_000n, string: () => message.string() };
}
