import type { NatsConnection } from "@nats-io/nats-core";
import { encodeFrame, type FrameMessage } from "../domain/frame.ts";
import { TAIL_SUBJECT } from "../domain/subject.ts";

/** The leader's side of the frames: what is stored is sent on, all of one turn of the event loop in one frame. */
export interface Frames {
  /** The log has stored `message` at `seq`. */
  stored(seq: number, message: FrameMessage): void;
  /** Say how far the log is, so that who missed the last frame knows. */
  tell(): void;
}

const MAX_FRAME_MESSAGES = 1000;
const MAX_FRAME_LENGTH = 128 * 1024;
/** Sequence, lengths and the like of one message in the frame's first line. */
const ENTRY_LENGTH = 60;

export function makeFrames(
  nc: NatsConnection,
  o: { readonly created: string; readonly after: number; readonly over: AbortSignal },
): Frames {
  let after = o.after;
  let messages: FrameMessage[] = [];
  let length = 0;
  let due: NodeJS.Immediate | undefined;

  function send(): void {
    if (due !== undefined) clearImmediate(due);
    due = undefined;
    if (!o.over.aborted) nc.publish(TAIL_SUBJECT, encodeFrame({ created: o.created, after, messages }));
    after += messages.length;
    messages = [];
    length = 0;
  }

  return {
    stored(seq, message) {
      const size = message.data.length + message.key.length + ENTRY_LENGTH;
      const fits = size <= MAX_FRAME_LENGTH;
      if (messages.length > 0 && (seq !== after + messages.length + 1 || length + size > MAX_FRAME_LENGTH)) send();
      if (messages.length === 0) after = fits ? seq - 1 : seq;
      if (fits) {
        messages.push(message);
        length += size;
      }
      // One that does not fit is told by its sequence alone, and read from the log.
      if (!fits || messages.length >= MAX_FRAME_MESSAGES) send();
      else due ??= setImmediate(send);
    },
    tell: send,
  };
}
