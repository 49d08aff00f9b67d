import type { Logger } from "@calico/daemon";
import { heartbeatSchema } from "@calico/model";
import type { Msg, Subscription } from "@nats-io/nats-core";
import { HEARTBEAT_SUBJECT } from "../domain/subject.ts";
import type { LogReader } from "../ports.ts";
import { readEntries } from "./entries.ts";
import type { Nats } from "./nats.ts";
import { openLogSession } from "./log-session.ts";

/** The event log on JetStream, read. */
export function makeNatsReader(nats: Nats, log: Logger): LogReader {
  const listeners: Parameters<LogReader["onHeartbeat"]>[0][] = [];
  let heartbeats: Subscription | undefined;
  /** nats.js subscribes again by itself after a reconnect, and not over a connection that had to be dialled anew. */
  async function hear(signal?: AbortSignal): Promise<void> {
    const { nc } = await nats.use(signal);
    if (heartbeats?.isClosed() === false) return;
    heartbeats = nc.subscribe(HEARTBEAT_SUBJECT, {
      callback: (error, message) => {
        const beat = error === null ? heartbeatSchema.safeParse(parse(message)) : undefined;
        if (beat?.success === true) for (const listener of listeners) listener(beat.data);
        else log.warn("heartbeat not understood", { error: error ?? beat?.error });
      },
    });
  }
  const hearAgain = () => void hear().catch(() => {}); // closed before it is connected
  hearAgain();
  nats.onDisconnect(hearAgain);
  return {
    onHeartbeat: (listener) => void listeners.push(listener),
    rehome: () => nats.rehome(),
    get connected() {
      return nats.connected;
    },
    async open(signal) {
      await hear(signal);
      return openLogSession(nats, log);
    },
    entries: () => readEntries(nats),
    close: () => nats.close(),
  };
}

function parse(message: Msg): unknown {
  try {
    return message.json();
  } catch {
    return undefined; // the schema says what is wrong
  }
}
