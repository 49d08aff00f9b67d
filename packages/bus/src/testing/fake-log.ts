import { MAX_DATA_OCTETS } from "../domain/publication.ts";
import type { Heartbeat } from "@calico/model";
import { IN_FLIGHT } from "../domain/fence.ts";
import { type EventLog, type LogEntry, LogFault, type LogMessage, type LogReader, type LogWriter, type Publication } from "../ports.ts";

/** JetStream in memory: one sequence, a fence, the last message per subject, readers that break when the log goes. */
export interface FakeLog extends EventLog {
  readonly reader: LogReader;
  readonly messages: readonly StoredMessage[];
  readonly beats: readonly Heartbeat[];
  /** Reject the next append as if the connection had gone; `stored`: after the message was taken. */
  failNextAppend(how: "lost" | "stored"): void;
  /** Everything breaks, as on a restart of the server; messages stay. */
  disconnect(): void;
  /** What `leader` sends from here on is on the way until `thaw`, as when its process or its server stopped and went on. */
  freeze(leader: string): void;
  thaw(leader: string): void;
}

export type StoredMessage = { readonly seq: number; readonly atMs: number } & (
  | ({ readonly kind: "change" } & Publication)
  | { readonly kind: "fence"; readonly leader: string }
  | { readonly kind: "complete"; readonly revision: number }
);

type Body = StoredMessage extends infer M ? (M extends unknown ? Omit<M, "seq" | "atMs"> : never) : never;

export function makeFakeLog(): FakeLog {
  let messages: StoredMessage[] = [];
  let lastSeq = 0;
  let incarnation = 0;
  let failing: "lost" | "stored" | undefined;
  const beats: Heartbeat[] = [];
  const frozen = new Map<string, PromiseWithResolvers<void>>();
  const breakers = new Set<(fault: LogFault) => void>();
  const listeners = new Set<Parameters<LogReader["onHeartbeat"]>[0]>();
  const readers = new Set<{ wake: () => void; broken: boolean }>();

  const add = (body: Body) => {
    const message = { ...body, seq: ++lastSeq, atMs: Date.now() } as StoredMessage;
    messages.push(message);
    for (const reader of readers) reader.wake();
    return message.seq;
  };
  const breakAll = (reason: string) => {
    for (const fail of breakers) fail(new LogFault("gone", reason));
    for (const reader of readers) {
      reader.broken = true;
      reader.wake();
    }
  };

  function makeWriter(id: string): LogWriter {
    add({ kind: "fence", leader: id });
    lastSeq += IN_FLIGHT - 1; // the gap
    const broken = new AbortController();
    const mine = incarnation;
    let sentSeq = lastSeq;
    const fail = (fault: LogFault) => {
      breakers.delete(fail);
      if (!broken.signal.aborted) broken.abort(fault);
    };
    breakers.add(fail);
    const send = async (body: Body) => {
      if (broken.signal.aborted) throw broken.signal.reason;
      const expected = sentSeq++;
      const gate = frozen.get(id);
      if (gate !== undefined) await gate.promise;
      const how = failing;
      failing = undefined;
      const fault =
        mine !== incarnation || how === "lost"
          ? new LogFault("gone", "the log is gone")
          : lastSeq !== expected
            ? new LogFault("fenced", `another writer is at ${lastSeq}, we at ${expected}`)
            : undefined;
      const seq = fault === undefined ? add(body) : 0;
      await Promise.resolve();
      if (fault === undefined && how !== "stored") return seq;
      const error = fault ?? new LogFault("gone", "the answer was lost");
      fail(error);
      throw error;
    };
    return {
      broken: broken.signal,
      maxDataOctets: MAX_DATA_OCTETS,
      entries: async () => lastEntries(messages),
      async value(subject) {
        const last = messages.findLast((m) => subjectOf(m) === subject);
        return last?.kind === "change" ? last.data : undefined;
      },
      append: (publication) => send({ kind: "change", ...publication }),
      complete: async (revision) => void (await send({ kind: "complete", revision })),
      async check() {
        if (mine !== incarnation || lastSeq > sentSeq) {
          const fault = new LogFault(mine === incarnation ? "fenced" : "gone", "the log is not the one written to");
          fail(fault);
          throw fault;
        }
      },
      async forget({ subject, seq }) {
        messages = messages.filter((m) => m.kind !== "change" || m.subject !== subject || m.seq > seq);
      },
      async [Symbol.asyncDispose]() {
        fail(new LogFault("gone", "this writer was closed"));
      },
    };
  }

  return {
    beats,
    get messages() {
      return messages;
    },
    failNextAppend: (how) => void (failing = how),
    disconnect: () => breakAll("disconnected"),
    freeze(leader) {
      if (!frozen.has(leader)) frozen.set(leader, Promise.withResolvers());
    },
    thaw(leader) {
      frozen.get(leader)?.resolve();
      frozen.delete(leader);
    },
    standBy: async () => {},
    claim: async ({ id }) => makeWriter(id),
    async drop() {
      messages = [];
      lastSeq = 0;
      incarnation++;
      breakAll("the log was removed");
    },
    heartbeat(beat) {
      beats.push(beat);
      for (const listener of listeners) listener(beat);
    },
    reader: {
      connected: true,
      onHeartbeat: (listener) => void listeners.add(listener),
      rehome: () => breakAll("went to another server"),
      entries: async () => ({ entries: lastEntries(messages), complete: messages.some(({ kind }) => kind === "complete") }),
      async open() {
        if (lastSeq === 0) throw new Error("there is no log");
        const me = { wake: () => {}, broken: false };
        readers.add(me);
        return {
          lastSeq,
          messages: readFrom(() => messages, me),
          close: async () => {
            me.broken = true;
            readers.delete(me);
            me.wake();
          },
        };
      },
      async close() {},
    },
  };
}

function subjectOf(message: StoredMessage): string {
  return message.kind === "change" ? message.subject : message.kind;
}

function lastPerSubject(messages: readonly StoredMessage[]): StoredMessage[] {
  return [...new Map(messages.map((m) => [subjectOf(m), m])).values()].sort((a, b) => a.seq - b.seq);
}

function lastEntries(messages: readonly StoredMessage[]): ReadonlyMap<string, LogEntry> {
  return new Map(lastPerSubject(messages).flatMap((m) => (m.kind === "change" ? [[m.key, m] as const] : [])));
}

async function* readFrom(
  messages: () => readonly StoredMessage[],
  me: { wake: () => void; readonly broken: boolean },
): AsyncGenerator<readonly LogMessage[]> {
  let at = 0;
  let waiting = lastPerSubject(messages());
  for (;;) {
    for (const message of waiting) {
      if (me.broken) throw new Error("disconnected");
      at = Math.max(at, message.seq);
      yield [asLogMessage(message)];
    }
    waiting = messages().filter(({ seq }) => seq > at);
    if (waiting.length > 0) continue;
    if (me.broken) throw new Error("disconnected");
    await new Promise<void>((resolve) => (me.wake = resolve));
  }
}

function asLogMessage(message: StoredMessage): LogMessage {
  const { seq } = message;
  if (message.kind === "fence") return { kind: "other", seq };
  if (message.kind === "complete") return { kind: "complete", seq, revision: message.revision };
  const { key, op, revision, data, seenAt } = message;
  return { kind: "change", seq, key, op, revision, seenAt, data: () => data };
}
