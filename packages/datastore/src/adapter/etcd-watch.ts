import { Buffer } from "node:buffer";
import type { EventEmitter } from "node:events";
import type { Etcd3, IWatchResponse } from "etcd3";
import type { WatchEvent } from "../ports.ts";
import type { EtcdClient } from "./etcd-client.ts";
import { decodeKeyValue, rangeEnd } from "./etcd-kv.ts";
import { faultOf, isLapsed, reasonOf } from "./etcd-faults.ts";
import { pause } from "./pause.ts";
import { makeQueue, type Queue } from "./queue.ts";

export interface WatchLog {
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

const REOPEN_MS = 200;
/** A member that was cut off takes the stream and says nothing. */
const CONFIRM_MS = 3000;
const SECOND_LOOK_MS = 100;
/** gRPC's code. */
const DEADLINE_EXCEEDED = 4;
const LOG_EACH = 150;

/**
 * A watch that opens a new gRPC stream at the revision after the last yielded one whenever the old one breaks.
 *
 * Built on etcd's raw Watch call: etcd3's own watcher loses events when a connection breaks during its replay.
 */
export async function* watchEtcd(
  client: EtcdClient,
  prefix: string,
  options: { readonly fromRevision: number; readonly signal: AbortSignal; readonly log?: WatchLog | undefined },
): AsyncGenerator<WatchEvent> {
  const { signal, log } = options;
  let next = options.fromRevision;
  let broken = 0; // in a row; an etcd that is away is said once, then each half minute
  let opened = false;
  let relogged = false;
  while (!signal.aborted) {
    const left = new AbortController(); // also when the caller leaves its loop: an open stream would keep the process alive
    try {
      for await (const batch of await openStream(client, { prefix, next, opened, signal: AbortSignal.any([signal, left.signal]) })) {
        if (batch.kind === "opened") {
          opened = true;
          relogged = false;
          continue;
        }
        if (batch.kind === "broken") {
          if (isLapsed(batch.reason)) client.relogin();
          if (broken++ % LOG_EACH === 0)
            log?.warn("watch broke, resuming", { prefix, revision: next, error: batch.reason, attempt: broken });
          break;
        }
        if (batch.kind === "refused") {
          // etcd 3.4 says "permission denied" to a lapsed login, too: it is believed when a new one hears it.
          if (relogged || !client.relogin()) throw new Error(`Cannot watch ${prefix}: etcd cancelled it: ${reasonOf(batch.reason)}`);
          relogged = true;
          break;
        }
        broken = 0;
        next = batch.next;
        yield* batch.events;
        if (batch.events.at(-1)?.kind === "compacted") return;
      }
    } finally {
      left.abort();
    }
    await pause(REOPEN_MS, signal);
  }
}

type WatchStream = Awaited<ReturnType<Etcd3["watchClient"]["watch"]>>;

/** Whole revisions only: `next` is where to resume once all `events` are yielded. */
type Batch =
  | { readonly kind: "events"; readonly events: readonly WatchEvent[]; readonly next: number }
  | { readonly kind: "opened" }
  | { readonly kind: "broken"; readonly reason: string }
  | { readonly kind: "refused"; readonly reason: string };

type Opening = { readonly prefix: string; readonly next: number; readonly opened: boolean; readonly signal: AbortSignal };

async function openStream(client: EtcdClient, o: Opening): Promise<AsyncIterable<Batch>> {
  const queue = makeQueue<Batch>();
  let stream: WatchStream;
  try {
    stream = await (await client.raw()).watchClient.watch();
  } catch (error) {
    // Once it was open, a login that is refused is one that is being changed.
    if (faultOf(error) === "refused" && !o.opened) throw new Error(`Cannot watch ${o.prefix}: ${reasonOf(error)}`, { cause: error });
    queue.push({ kind: "broken", reason: String(error) });
    return queue;
  }
  let unconfirmed: ReturnType<typeof setTimeout> | undefined;
  const stop = () => {
    clearTimeout(unconfirmed);
    queue.end();
    stream.end(); // before cancel: etcd3 takes an error on a writable stream for a dead host
    stream.cancel();
  };
  const giveUp = () => {
    // As an error of the stream, from which etcd3 learns that this member is to be left out for a while.
    const late = new Error(`etcd did not confirm the watch within ${CONFIRM_MS / 1000} s`);
    (stream as unknown as EventEmitter).emit("error", Object.assign(late, { code: DEADLINE_EXCEEDED }));
    stop();
  };
  // With a second look, for a confirmation that came while this process was busy.
  unconfirmed = setTimeout(() => (unconfirmed = setTimeout(giveUp, SECOND_LOOK_MS)), CONFIRM_MS);
  o.signal.addEventListener("abort", stop, { once: true });
  const broken = (reason: string) => {
    clearTimeout(unconfirmed);
    o.signal.removeEventListener("abort", stop);
    queue.push({ kind: "broken", reason });
    queue.end();
  };
  stream.on("error", (error) => broken(error.message));
  stream.on("end", () => broken("stream ended"));
  const read = makeReader(queue, o, stop);
  stream.on("data", (response) => {
    clearTimeout(unconfirmed);
    read(response);
  });
  stream.write({
    create_request: {
      key: Buffer.from(o.prefix),
      range_end: rangeEnd(o.prefix),
      start_revision: o.next,
      fragment: true,
      progress_notify: true,
    },
  });
  if (o.signal.aborted) stop();
  return queue;
}

function makeReader(queue: Queue<Batch>, o: { prefix: string; next: number }, stop: () => void): (response: IWatchResponse) => void {
  let { next } = o;
  let fragments: WatchEvent[] = [];
  const compacted = (revision: number) => {
    queue.push({ kind: "events", events: [{ kind: "compacted", revision }], next });
    stop();
  };
  return (response) => {
    const revision = Number(response.header.revision);
    if (Number(response.compact_revision) > 0) return compacted(Number(response.compact_revision));
    // A store that is behind where we already were has lost history (restored or wiped): its next revisions are not ours.
    if (response.created && revision < next - 1) return compacted(revision);
    if (response.canceled) {
      queue.push({ kind: "refused", reason: response.cancel_reason });
      return stop();
    }
    if (response.created) return queue.push({ kind: "opened" });
    const seenAt = Date.now();
    for (const event of response.events) fragments.push(decodeEvent(event, seenAt));
    if (response.fragment) return;
    const events = fragments.map(withMore);
    fragments = [];
    if (events.length === 0) events.push({ kind: "progress", revision });
    next = Math.max(next, lastRevision(events) + 1);
    queue.push({ kind: "events", events, next });
  };
}

/** etcd tells all of a revision at once. */
function withMore(event: WatchEvent, i: number, all: readonly WatchEvent[]): WatchEvent {
  const next = all[i + 1];
  if (!isChange(event) || next === undefined || !isChange(next) || next.modRevision !== event.modRevision) return event;
  return { ...event, more: true };
}

function isChange(event: WatchEvent): event is Extract<WatchEvent, { kind: "put" | "delete" }> {
  return event.kind === "put" || event.kind === "delete";
}

function lastRevision(events: readonly WatchEvent[]): number {
  const last = events.at(-1);
  if (last === undefined) return 0;
  return last.kind === "put" || last.kind === "delete" ? last.modRevision : last.revision;
}

function decodeEvent({ type, kv }: IWatchResponse["events"][number], seenAt: number): WatchEvent {
  // The loader gives enum names in the proto's spelling, whatever the type says.
  if (String(type).toUpperCase() === "DELETE" || Number(type) === 1) {
    return { kind: "delete", key: kv.key.toString(), modRevision: Number(kv.mod_revision), seenAt };
  }
  return { kind: "put", ...decodeKeyValue(kv), seenAt };
}
