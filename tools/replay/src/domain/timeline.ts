/** Who changed what, when. */
import { formatRef } from "@calico/model";
import { type FieldChange, diffFields } from "./field-diff.ts";
import { type History, type LogRecord, valueOf } from "./history.ts";
import { isFirstKept } from "./limits.ts";
import { formatTime, isAt, type Point } from "./point.ts";

/** `found`: it was there when the history begins, and what came before is not known. */
export type Entry = {
  readonly time: string;
  readonly revision: number;
  readonly change: "created" | "updated" | "deleted" | "found";
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  readonly object: string;
  readonly author: string;
  readonly fields: readonly FieldChange[];
  /** The time is that of a later recording, not of the change. */
  readonly late: boolean;
};

export type Range = { readonly since?: Point; readonly until?: Point };

/** In the log's order. Writes that changed nothing but bookkeeping are left out. */
export function timeline(history: History, { since, until }: Range, wants: (record: LogRecord) => boolean): readonly Entry[] {
  const before = new Map<string, LogRecord>();
  const entries: Entry[] = [];
  for (const record of history.records) {
    if (!wants(record)) continue;
    const previous = before.get(record.key);
    before.set(record.key, record);
    if ((since !== undefined && isBefore(record, since)) || (until !== undefined && !isAt(record, until))) continue;
    const entry = entryOf(history, record, previous);
    if (entry.change !== "updated" || entry.fields.length > 0) entries.push(entry);
  }
  return entries;
}

/** Since a revision or time: itself included. */
function isBefore(record: LogRecord, since: Point): boolean {
  if (since.by === "newest") return true;
  return since.by === "revision" ? record.revision < since.revision : record.atMs < since.atMs;
}

function entryOf(history: History, record: LogRecord, previous: LogRecord | undefined): Entry {
  const { ref } = record.ref;
  const was = previous === undefined ? undefined : valueOf(previous);
  const value = valueOf(record);
  const change = changeOf(history, record, previous);
  return {
    time: formatTime(record.atMs),
    revision: record.revision,
    change,
    kind: ref.kind,
    ...(ref.namespace === undefined ? {} : { namespace: ref.namespace }),
    name: ref.name,
    object: formatRef(ref),
    author: (value === undefined ? undefined : authorOf(value)) ?? "unknown",
    fields: change === "updated" ? diffFields(was, value) : [],
    late: record.late,
  };
}

function changeOf(history: History, record: LogRecord, previous: LogRecord | undefined): Entry["change"] {
  if (record.op === "delete") return "deleted";
  if (previous?.op === "put") return "updated";
  const wasThere = previous === undefined && (isFirstKept(history, record) || isFromBefore(history, record));
  return wasThere ? "found" : "created";
}

/** Part of the state that the history begins with. */
function isFromBefore({ begin }: History, record: LogRecord): boolean {
  return begin === undefined || record.seq <= begin.seq;
}

/** Who says of himself that he wrote it. Nothing in the datastore proves it. */
const AUTHOR_ANNOTATION = "projectcalico.org/changed-by";

/** From the annotation, else the newest of Kubernetes' managedFields. */
export function authorOf(value: unknown): string | undefined {
  const metadata = field(value, "metadata");
  const annotated = field(field(metadata, "annotations"), AUTHOR_ANNOTATION);
  if (typeof annotated === "string" && annotated !== "") return annotated;
  const managed = field(metadata, "managedFields");
  if (!Array.isArray(managed)) return undefined;
  const time = (entry: unknown) => String(field(entry, "time") ?? "");
  const newest = managed.reduce<unknown>((a: unknown, b: unknown) => (a === undefined || time(b) >= time(a) ? b : a), undefined);
  const manager = field(newest, "manager");
  return typeof manager === "string" && manager !== "" ? manager : undefined;
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
}
