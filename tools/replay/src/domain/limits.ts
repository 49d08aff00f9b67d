/** What the log cannot say about a point in time. `beyond`: all of it; `missing`: the answer would lack something for sure; `note`: it may. */
import { formatRef, type Kind, type ParsedKey, parseKey } from "@calico/model";
import type { History, LogRecord, Position } from "./history.ts";
import { formatPoint, formatTime, isAt, type Point } from "./point.ts";

export type Limits = {
  /** Why there is no answer at all. */
  readonly beyond?: string;
  readonly missing: readonly string[];
  readonly notes: readonly string[];
};

const NEVER_COMPLETE = "the log has never shown the whole store yet: its syncer has not caught up";

const at = ({ revision, atMs }: Position): string => `revision ${revision} (${formatTime(atMs)})`;

/** Limits of an answer about the objects of `wants` at `point`. */
export function limitsAt(history: History, point: Point, wants: (ref: ParsedKey) => boolean): Limits {
  const { begin, truncated, gaps, forgotten, end, archived } = history;
  if (begin === undefined) {
    return { beyond: NEVER_COMPLETE, missing: [], notes: [] };
  }
  if (!isAt(begin, point)) {
    return {
      beyond: `the history begins at ${at(begin)}, there is nothing of ${formatPoint(point)}`,
      missing: [],
      notes: [],
    };
  }
  const cut = [...truncated].filter(([key, first]) => !isAt(first, point) && wantsKey(key, wants));
  const missing = cut.map(([key, first]) => `the history of ${nameOf(key)} begins at ${at(first)}`);
  const notes = gaps
    .filter(({ from, to }) => isAt(from, point) && !isAt(to, point))
    .map(({ from, to }) => `changes between ${at(from)} and ${at(to)} were recorded late: values in between may be missing`);
  if (forgotten !== undefined && !isAt(forgotten, point)) {
    notes.push(`${lost(forgotten)} no longer kept: objects that were deleted between ${formatPoint(point)} and then may be missing`);
  }
  const isPast =
    point.by === "revision" ? point.revision > end.revision : point.by === "time" && archived !== undefined && point.atMs > end.atMs;
  if (isPast) notes.push(`the history ends at ${at(end)}: that is what is shown`);
  return { missing: missing.toSorted(), notes };
}

/** Limits of the changes since a point. */
export function limitsSince(history: History, point: Point | undefined, wants: (ref: ParsedKey) => boolean): readonly string[] {
  const { begin, truncated, gaps, forgotten } = history;
  if (begin === undefined) return [NEVER_COMPLETE];
  const isBefore = (place: Position) => point === undefined || !isAt(place, point);
  return [
    ...(isBefore(begin) ? [`the history begins at ${at(begin)}`] : []),
    ...[...truncated]
      .filter(([key, first]) => isBefore(first) && wantsKey(key, wants))
      .map(([key, first]) => `the history of ${nameOf(key)} begins at ${at(first)}`)
      .toSorted(),
    ...gaps
      .filter(({ to }) => isBefore(to))
      .map(({ from, to }) => `changes between ${at(from)} and ${at(to)} were recorded late: values in between may be missing`),
    ...(forgotten !== undefined && isBefore(forgotten)
      ? [`${lost(forgotten)} no longer kept, perhaps all of objects that were deleted more than a day ago`]
      : []),
  ];
}

function lost(forgotten: NonNullable<History["forgotten"]>): string {
  return `${forgotten.count === 1 ? "1 change" : `${forgotten.count} changes`} up to ${at(forgotten)} ${forgotten.count === 1 ? "is" : "are"}`;
}

/** What happened before its first kept change is not known of these. */
export function isFirstKept(history: History, record: LogRecord): boolean {
  return history.truncated.get(record.key)?.seq === record.seq;
}

function wantsKey(key: string, wants: (ref: ParsedKey) => boolean): boolean {
  const ref = parseKey(key);
  return ref !== undefined && wants(ref);
}

function nameOf(key: string): string {
  const ref = parseKey(key);
  return ref === undefined ? key : formatRef(ref.ref);
}

/** Objects by kind, name and namespace; what is not given is any. */
export type Wanted = { readonly kinds?: readonly Kind[]; readonly name?: string; readonly namespace?: string };

export function wantedBy({ kinds, name, namespace }: Wanted): (ref: ParsedKey) => boolean {
  const set = kinds === undefined ? undefined : new Set(kinds);
  return ({ ref }) =>
    (set === undefined || set.has(ref.kind)) &&
    (name === undefined || ref.name === name) &&
    (namespace === undefined || ref.namespace === namespace);
}
