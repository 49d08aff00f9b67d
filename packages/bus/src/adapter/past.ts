import type { Logger } from "@calico/daemon";
import { timeOf } from "./headers.ts";
import { type NatsOptions, openNats } from "./nats.ts";
import { openSession } from "./session.ts";
import { STREAM } from "../domain/subject.ts";
import { IPAM_STREAM, NODE_STREAM } from "./stream.ts";

/** One message that a stream still keeps. */
export interface PastMessage {
  readonly subject: string;
  readonly atMs: number;
  /** Etcd's revision, of messages of the log. */
  readonly revision: number | undefined;
  readonly op: string | undefined;
  readonly text: string;
}

export interface PastOptions {
  readonly servers: readonly string[];
  readonly name: string;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly connection?: NatsOptions["connection"];
}

const STREAMS = { log: STREAM, node: NODE_STREAM, ipam: IPAM_STREAM } as const;

export interface Past extends AsyncDisposable {
  /** All that one of the streams keeps below a subject, oldest first; none if there is no such stream. */
  read(stream: keyof typeof STREAMS, filter: string): Promise<readonly PastMessage[]>;
}

/** For explaining what happened: reads of single subjects, each once. */
export async function openPast({ servers, name, log, signal, connection }: PastOptions): Promise<Past> {
  const nats = openNats({ servers, name, log, ...(connection && { connection }) });
  try {
    await nats.use(signal);
  } catch (error) {
    await nats.close();
    throw error;
  }
  return {
    async read(stream, filter) {
      const { jsm } = await nats.use(signal);
      const names = await jsm.streams.info(STREAMS[stream]).then(
        ({ state }) => state,
        (error: unknown) => {
          if (/stream not found/i.test(String(error))) return undefined;
          throw error;
        },
      );
      if (names === undefined || names.messages === 0) return [];
      const session = await openSession(nats, { stream: STREAMS[stream], filter, history: true });
      const out: PastMessage[] = [];
      try {
        if (session.waiting === 0) return [];
        for await (const message of session.messages) {
          const revision = Number(message.headers?.get("Calico-Revision") || Number.NaN);
          const op = message.headers?.get("Calico-Op") || undefined;
          const known = Number.isSafeInteger(revision) ? revision : undefined;
          out.push({ subject: message.subject, atMs: timeOf(message), revision: known, op, text: message.string() });
          if (message.info.pending === 0) break;
        }
      } finally {
        await session.close();
      }
      return out;
    },
    [Symbol.asyncDispose]: () => nats.close(),
  };
}
