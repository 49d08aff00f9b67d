import type { Logger } from "@calico/daemon";
import type { NatsConnection, Subscription } from "@nats-io/nats-core";
import { decodeFrame, type Frame } from "../domain/frame.ts";
import { TAIL_SUBJECT } from "../domain/subject.ts";
import type { Nats } from "./nats.ts";

/** The reader's side of the frames. */
export interface Tail {
  /** The next frame in the order of arrival; `missed` when some may not have come. Rejects when it was closed. */
  next(): Promise<Frame | "missed">;
  close(): void;
}

/** A reader that falls so far behind (characters) drops what waits and reads the log, which waits for it. */
const MAX_WAITING_LENGTH = 16 * 1024 * 1024;

/** Listens as soon as it resolves, and again after each lost connection. */
export async function openTail(nats: Nats, { log, signal }: { readonly log: Logger; readonly signal: AbortSignal }): Promise<Tail> {
  let waiting: (string | "missed")[] = [];
  let length = 0;
  let wake: (() => void) | undefined;
  let heard: { readonly nc: NatsConnection; readonly subscription: Subscription } | undefined;
  let failed: Error | undefined;

  const push = (text: string) => {
    length += text.length;
    if (length > MAX_WAITING_LENGTH) missed();
    else waiting.push(text);
    wake?.();
  };
  const missed = () => {
    waiting = ["missed"];
    length = 0;
    wake?.();
  };
  const fail = (error: Error) => {
    failed ??= error;
    wake?.();
  };

  /** nats.js subscribes again by itself after a reconnect, and not over a connection that had to be dialled anew. */
  async function listen(): Promise<void> {
    const { nc } = await nats.use(signal);
    if (failed !== undefined) throw failed;
    if (heard?.nc === nc && !heard.subscription.isClosed()) return;
    const subscription = nc.subscribe(TAIL_SUBJECT, {
      callback: (error, message) => (error === null ? push(message.string()) : fail(error)),
    });
    heard = { nc, subscription };
  }

  const unlisten = nats.onDisconnect(missed);
  const close = () => {
    unlisten();
    heard?.subscription.unsubscribe();
    fail(new Error("the session was closed"));
  };
  await listen().catch((error: unknown) => {
    close();
    throw error;
  });
  return {
    async next() {
      for (;;) {
        if (failed !== undefined) throw failed;
        const text = waiting.shift();
        if (text === "missed") {
          await listen();
          return text;
        }
        if (text !== undefined) {
          length -= text.length;
          const frame = decodeFrame(text);
          if (frame !== undefined) return frame;
          log.warn("frame not understood, reading the log in its place", { length: text.length });
          return "missed";
        }
        await new Promise<void>((resolve) => (wake = resolve));
        wake = undefined;
      }
    },
    close,
  };
}
