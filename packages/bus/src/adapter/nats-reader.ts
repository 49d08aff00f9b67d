import type { Logger } from "@calico/daemon";
import { heartbeatSchema } from "@calico/model";
import type { Subscription } from "@nats-io/nats-core";
import { HEARTBEAT_SUBJECT, STREAM, SUBJECT_ROOT } from "../domain/subject.ts";
import type { LogMessage, LogReader } from "../ports.ts";
import { decodeMessage } from "./headers.ts";
import type { Nats } from "./nats.ts";
import { openSession } from "./session.ts";

/** The event log on JetStream, read. */
export function makeNatsReader(nats: Nats, log: Logger): LogReader {
  let lastHeartbeat: LogReader["lastHeartbeat"];
  let heartbeats: Subscription | undefined;
  return {
    get lastHeartbeat() {
      return lastHeartbeat;
    },
    get connected() {
      return nats.connected;
    },
    async open() {
      const { nc } = await nats.use();
      // nats.js subscribes again by itself after a reconnect.
      heartbeats ??= nc.subscribe(HEARTBEAT_SUBJECT, {
        callback: (error, message) => {
          const beat = error === null ? heartbeatSchema.safeParse(message.json()) : undefined;
          if (beat?.success === true) lastHeartbeat = { revision: beat.data.revision, atMs: Date.now() };
          else log.warn("heartbeat not understood", { error: error ?? beat?.error });
        },
      });
      const session = await openSession(nats, { stream: STREAM, filter: `${SUBJECT_ROOT}.>` });
      return { lastSeq: session.lastSeq, messages: decoded(session.messages), close: () => session.close() };
    },
    close: () => nats.close(),
  };
}

async function* decoded(messages: AsyncIterable<Parameters<typeof decodeMessage>[0]>): AsyncGenerator<LogMessage> {
  for await (const message of messages) yield decodeMessage(message);
}
