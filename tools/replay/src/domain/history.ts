/**
 * The log as replay sees it: the changes it still keeps, and what it does not keep.
 *
 * The log keeps the last few values of an object, forgets an object a day after its deletion, and begins where it was
 * (re)built. Nothing here fills such holes: they are told.
 */
import { type Kind, type ParsedKey, parseKey } from "@calico/model";

/** A place in the log. */
export type Position = { readonly seq: number; readonly revision: number; readonly atMs: number };

export type LogRecord = Position & {
  readonly key: string;
  readonly ref: ParsedKey;
  readonly op: "put" | "delete";
  /** The JSON as stored; empty for a delete. */
  readonly data: string;
  /** Recorded when the syncer caught up, not when it happened: its revision is true, its time is that of the recording. */
  readonly late: boolean;
};

/** Changes between two revisions were not followed one by one. */
export type Gap = { readonly from: Position; readonly to: Position };

export type History = {
  readonly records: readonly LogRecord[];
  /** Where the log first showed the whole store; undefined: it never did. */
  readonly begin: Position | undefined;
  readonly end: Position;
  /** By key: the first change that is kept, of objects whose earlier ones are not. */
  readonly truncated: ReadonlyMap<string, Position>;
  readonly gaps: readonly Gap[];
  /** The last place where messages are missing: what was deleted before may have been forgotten with all its history. */
  readonly forgotten: (Position & { readonly count: number }) | undefined;
  /** The cluster's GUID, where the store has one. */
  readonly cluster?: string;
  /** Set of an archive: what it was bounded to. Undefined: the live log, all kinds. */
  readonly archived?: { readonly kinds?: readonly Kind[] };
};

export type RawMessage =
  | ({ readonly kind: "change"; readonly seq: number; readonly atMs: number; readonly key: string } & {
      readonly op: "put" | "delete";
      readonly revision: number;
      readonly data: string;
    })
  | { readonly kind: "complete"; readonly seq: number; readonly atMs: number; readonly revision: number }
  | { readonly kind: "fence" | "other"; readonly seq: number; readonly atMs: number };

export interface HistoryBuilder {
  add(message: RawMessage): void;
  readonly size: number;
  finish(): History;
}

const NOWHERE: Position = { seq: 0, revision: 0, atMs: 0 };

/** Takes the log's messages oldest first. `maxPerSubject` is how many the log keeps of one object. */
export function makeHistoryBuilder(options: { readonly maxPerSubject: number }): HistoryBuilder {
  const records: LogRecord[] = [];
  const refs = new Map<string, ParsedKey | undefined>();
  const perKey = new Map<string, { count: number; readonly first: Position; readonly missingBefore: number }>();
  const gaps: Gap[] = [];
  let begin: Position | undefined;
  let last: Position = NOWHERE;
  let session: { readonly from: Position; late: number } | undefined;
  let missing = 0;
  let forgotten: Position | undefined;
  let isForgottenOpen = false;

  /** What is missing is no newer than the next message that is there. */
  function closeForgotten(revision: number): void {
    if (isForgottenOpen && forgotten !== undefined) forgotten = { ...forgotten, revision };
    isForgottenOpen = false;
  }

  function refOf(key: string): ParsedKey | undefined {
    const known = refs.get(key);
    if (known !== undefined || refs.has(key)) return known;
    const ref = parseKey(key);
    refs.set(key, ref);
    return ref;
  }

  function take(message: Extract<RawMessage, { kind: "change" }>): void {
    const { seq, revision, atMs, key, op, data } = message;
    last = { seq, revision: Math.max(last.revision, revision), atMs };
    const ref = refOf(key);
    if (ref === undefined) return;
    const late = session !== undefined;
    if (session !== undefined) session.late++;
    const known = perKey.get(key);
    if (known === undefined) perKey.set(key, { count: 1, first: { seq, revision, atMs }, missingBefore: missing });
    else known.count++;
    records.push({ seq, revision, atMs, key, ref, op, data, late });
  }

  function complete({ seq, revision, atMs }: Position): void {
    last = { seq, revision: Math.max(last.revision, revision), atMs };
    if (session !== undefined && session.late > 0 && begin !== undefined) gaps.push({ from: session.from, to: { seq, revision, atMs } });
    begin ??= { seq, revision, atMs };
    session = undefined;
  }

  return {
    get size() {
      return records.length;
    },
    add(message) {
      if (message.seq > last.seq + 1) {
        missing += message.seq - last.seq - 1;
        forgotten = { seq: message.seq - 1, revision: last.revision, atMs: message.atMs };
        isForgottenOpen = true;
      }
      if (message.kind === "change" || message.kind === "complete") closeForgotten(Math.max(last.revision, message.revision));
      if (message.kind === "change") return take(message);
      if (message.kind === "complete") return complete(message);
      last = { ...last, seq: message.seq, atMs: message.atMs };
      if (message.kind === "fence") session = { from: last, late: session?.late ?? 0 };
    },
    finish() {
      const isCut = ({ count, missingBefore }: { count: number; missingBefore: number }) =>
        options.maxPerSubject > 0 && count >= options.maxPerSubject && missingBefore > 0;
      const truncated = new Map([...perKey].flatMap(([key, of]) => (isCut(of) ? [[key, of.first] as const] : [])));
      const cluster = clusterOf(records);
      return {
        records,
        ...(cluster === undefined ? {} : { cluster }),
        begin,
        end: last,
        truncated,
        gaps,
        forgotten: forgotten && { ...forgotten, count: missing },
      };
    },
  };
}

/** A change's object as stored. */
export function valueOf({ data, key, revision }: Pick<LogRecord, "data" | "key" | "revision">): unknown {
  if (data === "") return undefined;
  try {
    return JSON.parse(data);
  } catch (error) {
    throw new Error(`Cannot read the value of ${key} at revision ${revision}: it is no JSON`, { cause: error });
  }
}

/** The GUID of the newest ClusterInformation. */
function clusterOf(records: readonly LogRecord[]): string | undefined {
  const newest = records.findLast(({ ref, op }) => ref.ref.kind === "ClusterInformation" && op === "put");
  const { spec } = (newest === undefined ? {} : valueOf(newest)) as { readonly spec?: { readonly clusterGUID?: unknown } };
  return typeof spec?.clusterGUID === "string" ? spec.clusterGUID : undefined;
}
