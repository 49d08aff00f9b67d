/** The names on the wire, and a message of the stream as a LogMessage. */
import type { JsMsg } from "@nats-io/jetstream";
import { headers, type MsgHdrs } from "@nats-io/nats-core";
import type { FrameMessage } from "../domain/frame.ts";
import { COMPLETE_SUBJECT } from "../domain/subject.ts";
import type { LogEntry, LogMessage } from "../ports.ts";

export const HEADER = { key: "Calico-Key", revision: "Calico-Revision", op: "Calico-Op", seenAt: "Calico-Seen-At" } as const;

export function encodeHeaders({ op, key, revision, seenAt }: FrameMessage): MsgHdrs {
  const all = headers();
  all.set(HEADER.revision, String(revision));
  if (op !== "put" && op !== "delete") return all;
  all.set(HEADER.key, key);
  all.set(HEADER.op, op);
  all.set(HEADER.seenAt, String(seenAt));
  return all;
}

export function decodeMessage(message: JsMsg): LogMessage {
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

export function decodeEntry(message: JsMsg): LogEntry | undefined {
  const decoded = decodeMessage(message);
  if (decoded.kind !== "change") return undefined;
  const { key, op, revision, seq } = decoded;
  return { key, subject: message.subject, op, revision, seq, atMs: timeOf(message) };
}

/** When the stream took it, in milliseconds with their fraction, by the server's clock. */
export function timeOf(message: JsMsg): number {
  return Number(message.timestampNanos / 1000n) / 1000;
}
