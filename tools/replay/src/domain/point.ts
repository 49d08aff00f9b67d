/** A moment that a person names: an etcd revision, a time, so long ago, or the newest. */
import { err, ok, type Result } from "@calico/model";
import type { History, LogRecord } from "./history.ts";

export type Point =
  { readonly by: "revision"; readonly revision: number } | { readonly by: "time"; readonly atMs: number } | { readonly by: "newest" };

export const POINT_HELP =
  'an etcd revision (1234), a time in UTC (2026-11-17T10:00:00Z, "2026-11-17 10:00", 2026-11-17), so long ago (-15m, -2h, -7d), or now';

const UNIT_MS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const TIME = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2}(?:\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?$/;

/** `nowMs` is asked only for what is relative. A time without a zone is UTC, wherever this runs. */
export function parsePoint(text: string, nowMs: () => number): Result<Point, string> {
  if (text === "now") return ok({ by: "newest" });
  if (/^\d{1,15}$/.test(text)) return ok({ by: "revision", revision: Number(text) });
  const ago = /^-(\d{1,9})([smhd])$/.exec(text);
  if (ago !== null) return ok({ by: "time", atMs: nowMs() - Number(ago[1]) * UNIT_MS[ago[2] as keyof typeof UNIT_MS] });
  const time = TIME.exec(text);
  const atMs = time === null ? Number.NaN : Date.parse(`${time[1]}T${time[2] ?? "00:00"}${time[3] ?? ":00"}${time[4] ?? "Z"}`);
  return Number.isNaN(atMs) ? err(`Cannot understand the time "${text}": expected ${POINT_HELP}`) : ok({ by: "time", atMs });
}

/** Whether a place is no later than the point. */
export function isAt(place: { readonly revision: number; readonly atMs: number }, point: Point): boolean {
  if (point.by === "newest") return true;
  return point.by === "revision" ? place.revision <= point.revision : place.atMs <= point.atMs;
}

/** Whether one point is surely later than another; a revision and a time cannot be compared. */
export function isAfter(a: Point, b: Point): boolean {
  if (a.by === "newest") return b.by !== "newest";
  if (a.by === "revision") return b.by === "revision" && a.revision > b.revision;
  return b.by === "time" && a.atMs > b.atMs;
}

/** The log's changes up to the point, in order. */
export function upTo(history: History, point: Point): readonly LogRecord[] {
  return point.by === "newest" ? history.records : history.records.filter((record) => isAt(record, point));
}

export function formatTime(atMs: number): string {
  return new Date(Math.floor(atMs)).toISOString();
}

export function formatPoint(point: Point): string {
  if (point.by === "newest") return "now";
  return point.by === "revision" ? `revision ${point.revision}` : formatTime(point.atMs);
}
