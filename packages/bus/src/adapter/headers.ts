/** The names on the wire, and a message of the stream as a LogMessage. */
import { headers, type MsgHdrs } from "@nats-io/nats-core";
import { type FrameMessage, markOf } from "../domain/frame.ts";
import { COMPLETE_SUBJECT } from "../domain/subject.ts";
import type { LogEntry, LogMessage } from "../ports.ts";

export const HEADER = {
  key: "Calico-Key",
  revision: "Calico-Revision",
  op: "Calico-Op",
  fence: "Calico-Fence",
  seenAt: "Calico-Seen-At",
} as const;

export function encodeHeaders({ op, key, revision, seenAt, data }: FrameMessage): MsgHdrs {
  const all = headers();
  all.set(HEADER.revision, String(revision));
  if (op === "mark") all.set(HEADER.fence, data);
  if (op !== "put" && op !== "delete") return all;
  all.set(HEADER.key, key);
  all.set(HEADER.op, op);
  all.set(HEADER.seenAt, String(seenAt));
  return all;
}

/** What the log tells of a message, by whichever way it was read. */
export interface LoggedMessage {
  readonly seq: number;
  readonly subject: string;
  readonly headers?: MsgHdrs | undefined;
  /** When the stream took it, in nanoseconds since the epoch, by the server's clock. */
  readonly timestampNanos: bigint;
  string(): string;
}

export function decodeMessage(message: LoggedMessage): LogMessage {
  const { seq, headers } = message;
  const revision = Number(headers?.get(HEADER.revision) ?? Number.NaN);
  if (message.subject === COMPLETE_SUBJECT) return { kind: "complete", seq, revision };
  const key = headers?.get(HEADER.key) ?? "";
  const op = headers?.get(HEADER.op);
  if (key === "" || (op !== "put" && op !== "delete") || !Number.isSafeInteger(revision)) return { kind: "other", seq };
  const seenAt = Number(headers?.get(HEADER.seenAt) || Number.NaN);
  const change = { kind: "change", seq, key, op, revision, data: () => message.string() } as const;
  return Number.isFinite(seenAt) ? { ...change, seenAt } : change;
}

export function decodeEntry(message: LoggedMessage): LogEntry | undefined {
  const decoded = decodeMessage(message);
  if (decoded.kind !== "change") return undefined;
  const { key, op, revision, seq } = decoded;
  return { key, subject: message.subject, op, revision, seq, atMs: timeOf(message) };
}

/** See `markOf`: of the log's own message. */
export function markOfLogged(message: LoggedMessage, decoded = decodeMessage(message)): string {
  if (decoded.kind === "change") return markOf({ ...decoded, data: "" });
  if (decoded.kind === "complete") return markOf({ op: "complete", revision: decoded.revision, key: "", data: "" });
  return markOf({ op: "mark", revision: 0, key: "", data: message.headers?.get(HEADER.fence) || message.string() });
}

/** When the stream took it, in milliseconds with their fraction, by the server's clock. */
export function timeOf(message: Pick<LoggedMessage, "timestampNanos">): number {
  return Number(message.timestampNanos / 1000n) / 1000;
}
