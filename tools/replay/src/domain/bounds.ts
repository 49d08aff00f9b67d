/** A part of the history, which is a history: the state at its beginning, then what followed. */
import type { Kind } from "@calico/model";
import { fold } from "./fold.ts";
import type { History, LogRecord, Position } from "./history.ts";
import { isAt, type Point, upTo } from "./point.ts";

export type Bounds = { readonly since?: Point; readonly until?: Point; readonly kinds?: readonly Kind[] };

/** `nowMs` is where an unbounded history ends. */
export function boundHistory(history: History, { since, until, kinds }: Bounds, nowMs: number): History {
  const kept = kinds === undefined ? undefined : new Set<string>(kinds);
  const all = (until === undefined ? history.records : upTo(history, until)).filter(({ ref }) => kept?.has(ref.ref.kind) ?? true);
  const begin = since === undefined ? history.begin : beginAt(history, since);
  const isOld = (place: Position) => since !== undefined && isAt(place, since);
  const base = new Set(since === undefined ? [] : fold(all.filter(isOld)).values());
  const records = all.filter((record) => !isOld(record) || base.has(record));
  return {
    ...history,
    records,
    begin,
    end: endAt(history, records, until, nowMs),
    truncated: new Map([...history.truncated].filter(([key, first]) => !isOld(first) && records.some((r) => r.key === key))),
    gaps: history.gaps.filter(({ to }) => !isOld(to)),
    forgotten: history.forgotten !== undefined && isOld(history.forgotten) ? undefined : history.forgotten,
    archived: kinds === undefined ? {} : { kinds },
  };
}

/** The place of `since`, but no earlier than where the history begins. */
function beginAt({ begin, records }: History, since: Point): Position | undefined {
  if (begin === undefined || !isAt(begin, since) || since.by === "newest") return begin;
  const last = records.findLast((record) => isAt(record, since));
  const place = last === undefined || last.seq < begin.seq ? begin : { seq: last.seq, revision: last.revision, atMs: last.atMs };
  return since.by === "revision" ? { ...place, revision: since.revision } : { ...place, atMs: since.atMs };
}

function endAt({ end }: History, records: readonly LogRecord[], until: Point | undefined, nowMs: number): Position {
  if (until === undefined || until.by === "newest") return { ...end, atMs: Math.max(end.atMs, nowMs) };
  if (isAt(end, until)) return end;
  const last = records.at(-1);
  const place = { seq: last?.seq ?? 0, revision: last?.revision ?? 0, atMs: last?.atMs ?? 0 };
  return until.by === "revision" ? { ...place, revision: until.revision } : { ...place, atMs: until.atMs };
}
