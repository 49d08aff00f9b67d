/**
 * What the leader sends to all readers at once: messages that the log has stored, with their sequences.
 *
 * The log itself hands each message to each reader by a consumer of its own; a frame is one message of plain NATS for all
 * of them, however many changes it holds. It is only ever a copy: who misses one reads the log from there on.
 */
export interface Frame {
  /** When the stream was made, as its server says: which stream the sequences are of. */
  readonly created: string;
  /** The sequence before the first message; of an empty frame the newest one that is stored. */
  readonly after: number;
  /** Of consecutive sequences. */
  readonly messages: readonly FrameMessage[];
}

export interface FrameMessage {
  /** `mark` is a message that is no change: a fence, or the end of a catching up. */
  readonly op: "put" | "delete" | "complete" | "mark";
  readonly revision: number;
  /** Milliseconds since the epoch; 0 if not told. */
  readonly seenAt: number;
  readonly key: string;
  /** The JSON as stored; the fence's own text of a `mark`; empty otherwise. */
  readonly data: string;
}

const OPS = ["put", "delete", "complete", "mark"] as const;

/** Tells a message from every other that could have its sequence; the same of the log's message and of its copy in a frame. */
export function markOf({ op, revision, key, data }: Omit<FrameMessage, "seenAt">): string {
  if (op === "mark") return data;
  return op === "complete" ? `complete ${revision}` : `${op} ${revision} ${key}`;
}

/** The first line lists `[op, revision, seenAt, key, length of the data in UTF-16 units]` of each message; all data follow without a break. */
export function encodeFrame({ created, after, messages }: Frame): string {
  const list = messages.map(({ op, revision, seenAt, key, data }) => [OPS.indexOf(op), revision, seenAt, key, data.length]);
  return `${JSON.stringify([created, after, list])}\n${messages.map(({ data }) => data).join("")}`;
}

/** Undefined for anything that is not wholly a frame. Data are cut out, not parsed. */
export function decodeFrame(text: string): Frame | undefined {
  const end = text.indexOf("\n");
  const head = end < 0 ? undefined : parseJson(text.slice(0, end));
  if (!Array.isArray(head)) return undefined;
  const [created, after, list] = head as readonly unknown[];
  if (typeof created !== "string" || !isCount(after) || !Array.isArray(list)) return undefined;
  let at = end + 1;
  const messages: FrameMessage[] = [];
  for (const item of list as readonly unknown[]) {
    if (!Array.isArray(item)) return undefined;
    const [code, revision, seenAt, key, length] = item as readonly unknown[];
    const op = OPS[code as number];
    if (op === undefined || !isCount(revision) || !isCount(seenAt) || typeof key !== "string" || !isCount(length)) return undefined;
    messages.push({ op, revision, seenAt, key, data: text.slice(at, at + length) });
    at += length;
  }
  return at === text.length ? { created, after, messages } : undefined;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
