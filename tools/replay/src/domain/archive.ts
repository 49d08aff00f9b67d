/**
 * An archive's text: a header line, a line per change, a line with the checksum of all before. What comes out of a file is
 * checked to the last field: it may come from anybody.
 */
import { isKind, type Kind, type ParsedKey, parseKey } from "@calico/model";
import { z } from "zod";
import type { History, LogRecord } from "./history.ts";
import { valueOf } from "./history.ts";
import { redact } from "./redact.ts";

export const ARCHIVE_FORMAT = "calico-replay";
export const ARCHIVE_VERSION = 1;

/** Bounds of what is read: a small file may unpack to much. */
export type ArchiveLimits = { readonly maxOctets: number; readonly maxLineOctets: number; readonly maxRecords: number };
export const ARCHIVE_LIMITS: ArchiveLimits = { maxOctets: 2 ** 30, maxLineOctets: 4 * 2 ** 20, maxRecords: 5_000_000 };
const MAX_DEPTH = 100;

/** An archive that cannot be believed. */
export class ArchiveError extends Error {
  override readonly name = "ArchiveError";
}

/** The last moment that a Date can tell. */
const MAX_TIME_MS = 8.64e15;
const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const place = z.strictObject({ seq: count, revision: count, atMs: z.number().min(0).max(MAX_TIME_MS) });
const kind = z.custom<Kind>((value) => typeof value === "string" && isKind(value), "no kind that the log carries");
const key = z
  .string()
  .max(1024)
  .refine((text) => parseKey(text) !== undefined, "no key of an object");

const headerSchema = z.strictObject({
  format: z.literal(ARCHIVE_FORMAT),
  version: z.literal(ARCHIVE_VERSION),
  cluster: z.string().max(128).optional(),
  created: z.iso.datetime(),
  count,
  kinds: z.array(kind).max(100).optional(),
  begin: place,
  end: place,
  truncated: z.array(z.tuple([key, place])),
  gaps: z.array(z.strictObject({ from: place, to: place })),
  forgotten: place.extend({ count }).optional(),
});
export type ArchiveHeader = z.infer<typeof headerSchema>;

/** The lines but for the checksum, each with its line feed. Secrets are taken out here. */
export function* encodeArchive(history: History, createdMs: number): Generator<string> {
  const { records, begin, end, truncated, gaps, forgotten, cluster, archived } = history;
  if (begin === undefined)
    throw new ArchiveError("Cannot export a history that has never shown the whole store: wait for the syncer to catch up");
  const header: ArchiveHeader = {
    format: ARCHIVE_FORMAT,
    version: ARCHIVE_VERSION,
    ...(cluster === undefined ? {} : { cluster }),
    created: new Date(createdMs).toISOString(),
    count: records.length,
    ...(archived?.kinds === undefined ? {} : { kinds: [...archived.kinds] }),
    begin,
    end,
    truncated: [...truncated],
    gaps: [...gaps],
    ...(forgotten === undefined ? {} : { forgotten }),
  };
  yield `${JSON.stringify(header)}\n`;
  for (const record of records) yield `${JSON.stringify(encodeRecord(record))}\n`;
}

function encodeRecord(record: LogRecord): object {
  const { seq, revision, atMs, key: at, op, late } = record;
  const value = op === "put" ? { value: redact(valueOf(record)) } : {};
  return { seq, revision, atMs, key: at, op, ...(late ? { late } : {}), ...value };
}

export function encodeChecksum(sha256: string): string {
  return `${JSON.stringify({ sha256 })}\n`;
}

/** The checksum that the last line claims. */
export function decodeChecksum(line: string): string {
  const claimed = z.strictObject({ sha256: z.string().regex(/^[0-9a-f]{64}$/) }).safeParse(parseLine(line, "the last line"));
  if (!claimed.success) throw new ArchiveError("the last line is no checksum: the archive was cut short");
  return claimed.data.sha256;
}

/** Takes lines after the first; `finish` says what they were. */
export interface ArchiveDecoder {
  add(line: string): void;
  finish(): History;
}

/**
 * `everyValue`: read every object's value too. Else each is read when somebody wants it, and one that is no JSON is refused then: most
 * answers want few of them.
 */
export function makeArchiveDecoder(
  headerLine: string,
  { limits, everyValue }: { readonly limits: ArchiveLimits; readonly everyValue: boolean },
): ArchiveDecoder & { readonly header: ArchiveHeader } {
  const header = decodeHeader(headerLine);
  if (header.count > limits.maxRecords) throw new ArchiveError(`it has ${header.count} changes, more than ${limits.maxRecords}`);
  const kinds = header.kinds === undefined ? undefined : new Set<string>(header.kinds);
  const records: LogRecord[] = [];
  const refs = new Map<string, ParsedKey | undefined>();
  const refOf: RefOf = (text) => {
    const known = refs.get(text);
    if (known !== undefined || refs.has(text)) return known;
    const ref = parseKey(text);
    refs.set(text, ref);
    return ref;
  };
  return {
    header,
    add(line) {
      const fail = (why: string): never => {
        throw new ArchiveError(`line ${records.length + 2}: ${why}`);
      };
      const record = decodeRecord(line, { refOf, everyValue, fail });
      const before = records.at(-1)?.seq ?? 0;
      if (record.seq <= before) fail(`sequence ${record.seq} is not after ${before}`);
      if (record.revision > header.end.revision) fail("its revision is after the end");
      if (kinds?.has(record.ref.ref.kind) === false) fail(`a ${record.ref.ref.kind} should not be in it`);
      if (records.length >= header.count) throw new ArchiveError(`it has more changes than the ${header.count} of its header`);
      records.push(record);
    },
    finish() {
      if (records.length !== header.count) throw new ArchiveError(`it has ${records.length} changes, its header says ${header.count}`);
      return historyOf(header, records);
    },
  };
}

function historyOf({ cluster, begin, end, truncated, gaps, forgotten, kinds }: ArchiveHeader, records: readonly LogRecord[]): History {
  return {
    records,
    ...(cluster === undefined ? {} : { cluster }),
    begin,
    end,
    truncated: new Map(truncated),
    gaps,
    forgotten,
    archived: kinds === undefined ? {} : { kinds },
  };
}

function decodeHeader(line: string): ArchiveHeader {
  const json = parseLine(line, "the first line");
  const { format, version } = (typeof json === "object" && json !== null ? json : {}) as { format?: unknown; version?: unknown };
  if (format !== ARCHIVE_FORMAT) throw new ArchiveError(`the first line is no header of a ${ARCHIVE_FORMAT} archive`);
  if (version !== ARCHIVE_VERSION)
    throw new ArchiveError(`its version is ${JSON.stringify(version)}, this program reads ${ARCHIVE_VERSION}`);
  const header = headerSchema.safeParse(json);
  if (header.success) return header.data;
  const { path = [], message = "" } = header.error.issues[0] ?? {};
  throw new ArchiveError(`its header is wrong at ${path.join(".")}: ${message}`);
}

type RefOf = (key: string) => ParsedKey | undefined;

/** A change as encodeRecord writes it, up to its value. */
const RECORD =
  /^\{"seq":(\d{1,15}),"revision":(\d{1,15}),"atMs":(\d{1,16}(?:\.\d{1,6})?),"key":("(?:[^"\\]|\\.){1,1024}"),"op":"(?:put"(,"late":true)?,"value":|delete"(,"late":true)?\}$)/;

type Reading = { readonly refOf: RefOf; readonly everyValue: boolean; readonly fail: (why: string) => never };

/** The value stays the text that it is. */
function decodeRecord(line: string, { refOf, everyValue, fail }: Reading): LogRecord {
  const found = RECORD.exec(line);
  const [prefix = "", seq, revision, atMs, quotedKey = "", latePut, lateDelete] = found ?? [];
  const isPut = prefix.endsWith(":");
  const data = isPut ? line.slice(prefix.length, -1) : "";
  if (found === null || (isPut && !(line.endsWith("}") && isValue(data, everyValue)))) return fail(whyNoRecord(line));
  const key = quotedKey.includes("\\") ? parseJson(quotedKey) : quotedKey.slice(1, -1);
  const ref = typeof key === "string" ? refOf(key) : undefined;
  const record = { seq: Number(seq), revision: Number(revision), atMs: Number(atMs) };
  if (typeof key !== "string" || ref === undefined) return fail("its key is none of an object");
  if (record.seq === 0 || record.revision === 0) fail("seq and revision count from 1");
  if (record.atMs > MAX_TIME_MS) fail("atMs is no time");
  if (isTooDeep(data)) fail(TOO_DEEP);
  return { ...record, key, ref, op: isPut ? "put" : "delete", data, late: (latePut ?? lateDelete) !== undefined };
}

function isValue(text: string, everyValue: boolean): boolean {
  return everyValue ? !isTooDeep(text) && isObject(parseJson(text)) : text.startsWith("{") && text.endsWith("}");
}

const RECORD_FIELDS: ReadonlySet<string> = new Set(["seq", "revision", "atMs", "key", "op", "late", "value"]);

function whyNoRecord(line: string): string {
  if (isTooDeep(line)) return TOO_DEEP;
  const json = parseJson(line);
  if (json === undefined) return "not JSON";
  if (!isObject(json)) return "it is no object";
  const foreign = Object.keys(json).find((name) => !RECORD_FIELDS.has(name));
  if (foreign !== undefined) return `unknown field ${JSON.stringify(foreign)}`;
  if (json["op"] === "put" && !isObject(json["value"])) return "a put without an object";
  return "it is no change as export writes one (seq, revision, atMs, key, op, late, value, in this order)";
}

function parseLine(line: string, where: string): unknown {
  const json = isTooDeep(line) ? undefined : parseJson(line);
  if (json === undefined) throw new ArchiveError(`${where}: not JSON, or ${TOO_DEEP}`);
  return json;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const TOO_DEEP = `more than ${MAX_DEPTH} levels deep`;

function isTooDeep(text: string): boolean {
  return hasMoreThan(MAX_DEPTH, text) && depthOf(text) > MAX_DEPTH;
}

/** Most values have fewer brackets than would be too deep: then nobody has to look how they nest. */
function hasMoreThan(count: number, text: string): boolean {
  let left = count;
  for (const bracket of ["{", "["])
    for (let at = text.indexOf(bracket); at >= 0; at = text.indexOf(bracket, at + 1)) if (left-- === 0) return true;
  return false;
}

/** How deep brackets nest, those in strings not counted. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (inString) {
      if (c === 92) i++;
      else if (c === 34) inString = false;
    } else if (c === 34) inString = true;
    else if (c === 123 || c === 91) deepest = Math.max(deepest, ++depth);
    else if (c === 125 || c === 93) depth--;
  }
  return deepest;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
