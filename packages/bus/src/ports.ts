import type { Heartbeat } from "@calico/model";
import type { Identity } from "./domain/store-identity.ts";

/** One change as it goes onto the log. */
export interface Publication {
  readonly key: string;
  readonly subject: string;
  readonly op: "put" | "delete";
  /** The etcd revision of the change. */
  readonly revision: number;
  /** The JSON as stored; empty for a delete. */
  readonly data: string;
  /** When the syncer learnt of the change, in milliseconds since the epoch. */
  readonly seenAt: number;
}

/** The last message of one subject of the log, without its data. */
export interface LogEntry {
  readonly key: string;
  readonly subject: string;
  readonly op: "put" | "delete";
  readonly revision: number;
  readonly seq: number;
  readonly atMs: number;
}

/** The writer's side of the event log. */
export interface EventLog {
  /** While another leads, learn what is on the log, so that a claim need not read it all. Ends with the signal; nothing is told. */
  standBy(signal: AbortSignal): Promise<void>;
  /** Make the log if it is not there and put a fence: whoever wrote before is refused from here on. */
  claim(leader: { readonly id: string; readonly epoch: number }): Promise<LogWriter>;
  /** Remove the log, so that its readers take a new snapshot. */
  drop(): Promise<void>;
  /** Tell the readers how far the leader is. Lost heartbeats are not repeated. */
  heartbeat(beat: Heartbeat): void;
}

/** Writes after the fence, and only while nobody else does. Every rejection is a LogFault, after which the writer is of no more use. */
export interface LogWriter extends AsyncDisposable {
  /** Fires when the connection broke or an append failed. */
  readonly broken: AbortSignal;
  /** The largest `data` that the log takes. */
  readonly maxDataOctets: number;
  /** The last message of each key, tombstones included. */
  entries(): Promise<ReadonlyMap<string, LogEntry>>;
  /** The data of a subject's last message. */
  value(subject: string): Promise<string | undefined>;
  /** Calls are sent in order without waiting; each resolves with its sequence when the log has stored it. */
  append(publication: Publication): Promise<number>;
  /** Mark that the log shows the whole store as of `revision`. */
  complete(revision: number): Promise<void>;
  /** Reject if the log is no longer the one written to (removed, emptied, written by another). */
  check(): Promise<void>;
  /** Forget a tombstone and what was before it. The newest message is never forgotten: readers wait for it. */
  forget(entry: Pick<LogEntry, "subject" | "seq" | "revision">): Promise<void>;
}

/** Why a writer stopped: `fenced` by another writer, or the log or the way to it is `gone`. */
export class LogFault extends Error {
  override readonly name = "LogFault";
  readonly reason: "fenced" | "gone";
  constructor(reason: "fenced" | "gone", message: string, cause?: unknown) {
    super(message, { cause });
    this.reason = reason;
  }
}

/** A message of the log as a reader gets it. */
export type LogMessage =
  | {
      readonly kind: "change";
      readonly seq: number;
      readonly key: string;
      readonly op: "put" | "delete";
      readonly revision: number;
      /** When the syncer learnt of it, by its clock; a message of an older syncer does not tell. */
      readonly seenAt?: number;
      data(): string;
    }
  | { readonly kind: "complete"; readonly seq: number; readonly revision: number }
  | { readonly kind: "other"; readonly seq: number };

/** Where messages come from: the log, or the store itself. Each session is the newest message of every key, then all that follow. */
export interface EventSource {
  /** Rejects when there is nothing to read yet or no way to it, and on the signal; a store also when it is not the cluster that is `known`. */
  open(signal?: AbortSignal, known?: Identity): Promise<LogSession>;
  /** Give back what it holds; `open` may be called again later. */
  close(): Promise<void>;
}

/** The reader's side of the log. */
export interface LogReader extends EventSource {
  /** `revision` is the store's, as the leader knows it. Also heard while another source is read. */
  onHeartbeat(listener: (beat: { readonly revision: number }) => void): void;
  readonly connected: boolean;
  /** Leave this server for another one. */
  rehome(): void;
  /** The last message of each key, and whether the log says that it is whole. */
  entries(): Promise<{ readonly entries: ReadonlyMap<string, LogEntry>; readonly complete: boolean }>;
}

export interface LogSession {
  /** Sequence of the newest message when the session began. */
  readonly lastSeq: number;
  /** Tells a log from one that was made anew in its place. Undefined: not a log. */
  readonly created?: string;
  /** What came together, in order and without a gap; throws as soon as that cannot be held any more. */
  readonly messages: AsyncIterable<readonly LogMessage[]>;
  close(): Promise<void>;
}
