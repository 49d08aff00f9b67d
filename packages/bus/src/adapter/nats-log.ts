import { type Logger, pause } from "@calico/daemon";
import { JetStreamApiError, type PubAck } from "@nats-io/jetstream";
import { TimeoutError } from "@nats-io/nats-core";
import { MAX_DATA_OCTETS, maxDataOctets } from "../domain/publication.ts";
import { COMPLETE_SUBJECT, FENCE_SUBJECT, GAP_SUBJECTS, HEARTBEAT_SUBJECT, STREAM } from "../domain/subject.ts";
import { type EventLog, LogFault, type LogWriter, type Publication } from "../ports.ts";
import type { FrameMessage } from "../domain/frame.ts";
import { readValue } from "./entries.ts";
import { makeFrames } from "./frames.ts";
import { encodeHeaders } from "./headers.ts";
import { type LogMirror, makeLogMirror } from "./log-mirror.ts";
import { asking, type Nats, type NatsHandle, REQUEST_TIMEOUT_MS } from "./nats.ts";
import { ensureIpamStream, ensureLogStream, ensureNodeStream, type StreamOptions } from "./stream.ts";

/** JetStream's answer to a publish whose Nats-Expected-Last-Sequence does not hold. */
const WRONG_LAST_SEQUENCE = 10071;

/** How late a standby is: so much it has to read when it takes over. */
const STANDBY_MS = 5000;

export interface NatsLogOptions extends StreamOptions {
  readonly signal: AbortSignal;
  readonly log?: Logger;
}

/** The event log on JetStream. */
export function makeNatsLog(nats: Nats, options: NatsLogOptions): EventLog {
  const mirror = makeLogMirror(nats);
  return {
    async standBy(signal) {
      const over = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      while (!signal.aborted) {
        // Nothing to read yet, or no way to it: then the claim reads it. Who is elected does not wait for this.
        const refreshed = nats.use(signal).then((handle) => mirror.refresh(handle));
        await Promise.race([refreshed.catch(() => {}), over]);
        await pause(STANDBY_MS, signal);
      }
    },
    async claim(leader) {
      const handle = await nats.use(options.signal);
      const { created } = await asking("look at the log", ensureLogStream(handle.jsm, options)).catch((error: unknown) => {
        if (error instanceof TimeoutError) nats.rehome(); // it may be cut off from the others
        throw error;
      });
      warnOfPayload(handle, options);
      const fence = JSON.stringify({ ...leader, at: new Date().toISOString() });
      const { seq } = await asking("put a fence on the log", handle.js.publish(FENCE_SUBJECT, fence));
      void ensureReportStreams(handle, options);
      return makeWriter(nats, handle, { created, fenceSeq: seq, fence, mirror });
    },
    async drop() {
      const { jsm } = await nats.use(options.signal);
      await jsm.streams.delete(STREAM);
    },
    heartbeat(beat) {
      nats.handle?.nc.publish(HEARTBEAT_SUBJECT, JSON.stringify(beat));
    },
  };
}

function warnOfPayload({ nc }: NatsHandle, { log }: NatsLogOptions): void {
  const largest = maxDataOctets(nc.info?.max_payload);
  if (largest < MAX_DATA_OCTETS)
    log?.warn("nats-server's max_payload is small: larger values are passed over; set max_payload: 2MB in its configuration", { largest });
}

/** Nodes may not make streams. Where these cannot be made now, the log goes on all the same; the next claim tries again. */
async function ensureReportStreams({ jsm }: NatsHandle, options: NatsLogOptions): Promise<void> {
  for (const make of [ensureNodeStream, ensureIpamStream]) {
    await make(jsm, options).catch((error: unknown) => options.log?.warn("stream of reports not made, reports may be lost", { error }));
  }
}

interface Claim {
  readonly created: string;
  readonly fenceSeq: number;
  /** The fence's text. */
  readonly fence: string;
  readonly mirror: LogMirror;
}

async function makeWriter(nats: Nats, handle: NatsHandle, { mirror, ...start }: Claim): Promise<LogWriter> {
  const { nc, js, jsm } = handle;
  const broken = new AbortController();
  const frames = makeFrames(nc, { created: start.created, after: start.fenceSeq - 1, over: broken.signal });
  const mark: FrameMessage = { op: "mark", revision: 0, seenAt: 0, key: "", data: start.fence };
  frames.stored(start.fenceSeq, mark);
  let sentSeq = start.fenceSeq;
  let ackedSeq = start.fenceSeq;
  let completeSeq: number | undefined;
  const fail = (fault: LogFault): never => {
    broken.abort(fault);
    throw fault;
  };
  const waiting = new Set<(fault: unknown) => void>();
  broken.signal.addEventListener("abort", () => waiting.forEach((reject) => reject(broken.signal.reason)), { once: true });
  /** Settles with the answer, or at once when the writer breaks: an answer that is lost would only time out. */
  const orBroken = <T>(answer: Promise<T>) =>
    new Promise<T>((resolve, reject) => {
      waiting.add(reject);
      answer.then(resolve, reject).finally(() => waiting.delete(reject));
    });
  const unlisten = nats.onDisconnect(() => broken.abort(new LogFault("gone", "Cannot write the log: nats disconnected")));
  broken.signal.addEventListener("abort", unlisten, { once: true });

  /**
   * No Nats-Msg-Id: the sequence keeps duplicates out, and nats-server 2.9 looks for ids on each replica by itself, so replicas could differ.
   * Each message is taken only at the sequence after ours; with the gap that is only right after ours (domain/fence.ts).
   */
  async function send(subject: string, message: FrameMessage): Promise<number> {
    if (broken.signal.aborted) throw broken.signal.reason;
    const expected = sentSeq++;
    let ack: PubAck;
    try {
      const options = { headers: encodeHeaders(message), expect: { lastSequence: expected }, timeout: REQUEST_TIMEOUT_MS };
      ack = await orBroken(js.publish(subject, message.data, options));
    } catch (error) {
      return fail(faultOf(subject, error));
    }
    if (ack.duplicate || ack.seq !== expected + 1)
      return fail(new LogFault("gone", `Cannot publish ${subject}: expected sequence ${expected + 1}, got ${ack.seq}`));
    ackedSeq = Math.max(ackedSeq, ack.seq);
    frames.stored(ack.seq, message);
    mirror.wrote(ack.seq, subject, message);
    return ack.seq;
  }

  async function complete(revision: number): Promise<void> {
    const message: FrameMessage = { op: "complete", revision, seenAt: 0, key: "", data: "" };
    completeSeq = await send(COMPLETE_SUBJECT, message);
  }

  await Promise.all(GAP_SUBJECTS.map((subject) => send(subject, mark)));
  return {
    broken: broken.signal,
    maxDataOctets: maxDataOctets(nc.info?.max_payload),
    entries: () => mirror.entriesAt(handle, { created: start.created, lastSeq: ackedSeq }),
    value: (subject) => readValue(nats, subject),
    append: ({ key, subject, op, revision, data, seenAt }: Publication) => send(subject, { op, revision, seenAt, key, data }),
    complete,
    async check() {
      const acked = ackedSeq; // what was stored before we ask must be there when we are answered
      const { created, state } = await jsm.streams.info(STREAM).catch((error: unknown) => fail(faultOf("the log", error)));
      if (created !== start.created) fail(new LogFault("gone", "Cannot go on writing the log: it was removed and made again"));
      if (state.last_seq > sentSeq)
        fail(new LogFault("fenced", `Cannot go on writing the log: it is at ${state.last_seq}, we at ${sentSeq}`));
      if (state.last_seq < acked) fail(new LogFault("gone", `Cannot go on writing the log: it lost messages after ${state.last_seq}`));
      if (completeSeq !== undefined && state.first_seq > completeSeq)
        fail(new LogFault("gone", "Cannot go on writing the log: it was emptied"));
      frames.tell();
    },
    async forget({ subject, seq, revision }) {
      if (seq >= sentSeq) await complete(revision);
      await jsm.streams.purge(STREAM, { filter: subject, seq: seq + 1 });
      mirror.forgot(subject, seq);
    },
    async [Symbol.asyncDispose]() {
      broken.abort(new LogFault("gone", "Cannot write the log: this writer was closed"));
    },
  };
}

function faultOf(what: string, error: unknown): LogFault {
  if (error instanceof LogFault) return error;
  if (error instanceof JetStreamApiError && error.code === WRONG_LAST_SEQUENCE) {
    return new LogFault("fenced", `Cannot publish ${what}: another writer was there before`, error);
  }
  return new LogFault("gone", `Cannot publish ${what}: ${error instanceof Error ? error.message : String(error)}`, error);
}
