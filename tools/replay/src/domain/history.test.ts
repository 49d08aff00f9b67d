import fc from "fast-check";
import { expect, test } from "vitest";
import { aHistory, at } from "../testing.ts";
import { boundHistory } from "./bounds.ts";
import { fold } from "./fold.ts";
import type { History } from "./history.ts";
import { limitsAt, limitsSince } from "./limits.ts";
import { parsePoint, type Point, upTo } from "./point.ts";
import { timeline } from "./timeline.ts";

const r = (revision: number): Point => ({ by: "revision", revision });
const t = (n: number): Point => ({ by: "time", atMs: at(n) });
const all = () => true;
const state = (history: History, point: Point) =>
  [...fold(upTo(history, point)).values()]
    .map(({ ref, data }) => `${ref.ref.name}=${(JSON.parse(data) as { n: string }).n}`)
    .toSorted()
    .join(" ");

test.for([
  { at: r(4), want: "a=1 b=3" },
  { at: r(5), want: "a=5 b=3" },
  { at: r(6), want: "a=5" },
  { at: t(4.5), want: "a=1 b=3" },
  { at: t(7), want: "a=7" },
  { at: { by: "newest" } as const, want: "a=7" },
])("state at $at: $want", ({ at: point, want }) => {
  expect(state(aHistory("? a1 b3 ok4 a5 -b6 a7"), point)).toBe(want);
});

test.for([
  { name: "nothing is wrong", log: "? a1 ok2 a3", at: r(3), missing: "", notes: "" },
  {
    name: "before it begins",
    log: "? a1 ok2 a3",
    at: r(1),
    missing: "the history begins at revision 2 (2026-01-01T00:00:03.000Z), there is nothing of revision 1",
    notes: "",
  },
  {
    name: "never complete",
    log: "? a1",
    at: r(1),
    missing: "the log has never shown the whole store yet: its syncer has not caught up",
    notes: "",
  },
  {
    name: "older values of an object are gone",
    log: "? b1 ok2 . a4 a5",
    max: 2,
    at: r(3),
    missing: "the history of IPPool(a) begins at revision 4 (2026-01-01T00:00:05.000Z)",
    notes: "1 change up to revision 4 (2026-01-01T00:00:05.000Z) is no longer kept",
  },
  { name: "older values of another one are gone, after them", log: "? b1 ok2 . a4 a5", max: 2, at: r(5), missing: "", notes: "" },
  { name: "full, but nothing is gone", log: "? b1 ok2 a4 a5", max: 2, at: r(3), missing: "", notes: "" },
  { name: "a forgotten object", log: "? a1 ok2 . . a5", at: r(2), missing: "", notes: "2 changes up to revision 5" },
  { name: "while nobody followed", log: "? a1 ok2 a3 ? a8 ok9 a10", at: r(5), missing: "", notes: "changes between revision 3" },
  { name: "a new leader that found nothing new", log: "? a1 ok2 a3 ? ok9 a10", at: r(5), missing: "", notes: "" },
  { name: "after the end", log: "? a1 ok2", at: r(9), missing: "", notes: "the history ends at revision 2" },
])("limits: $name", ({ log, max, at: point, missing, notes }) => {
  const limits = limitsAt(aHistory(log, max), point, all);
  expect([...(limits.beyond === undefined ? [] : [limits.beyond]), ...limits.missing].join("\n")).toBe(missing);
  if (notes === "") expect(limits.notes).toEqual([]);
  else expect(limits.notes.join("\n")).toContain(notes);
});

test("limits: only of what is asked for", () => {
  expect(limitsAt(aHistory("? b1 ok2 . a4 a5", 2), r(3), ({ ref }) => ref.name === "b").missing).toEqual([]);
  expect(limitsSince(aHistory("? b1 ok2 . a4 a5", 2), r(2), all).join("\n")).toContain("IPPool(a) begins at revision 4");
  expect(limitsSince(aHistory("? b1 ok2 a4 a5"), r(3), all)).toEqual([]);
});

test.for([
  { log: "? a1 ok2 b3 b4=x -b5 b6", since: undefined, want: "found a1, created b3, updated b4 n, deleted b5, created b6" },
  { log: "? a1 ok2 b3 b4=x -b5 b6", since: r(4), want: "updated b4 n, deleted b5, created b6" },
  { log: "? ok2 b3=x b4=x", since: undefined, want: "created b3" },
  { log: "? ok2 . b4 b5", max: 2, since: undefined, want: "found b4, updated b5 n" },
  { log: "? ok2 a3 ? a8 -b9 ok9", since: undefined, want: "created a3, updated a8 n*, deleted b9*" },
])("timeline: $log → $want", ({ log, max, since, want }) => {
  const entries = timeline(aHistory(log, max), since === undefined ? {} : { since }, all);
  const words = entries.map(
    (e) => [e.change, `${e.name}${e.revision}`, ...e.fields.map((f) => f.path)].join(" ") + (e.late && e.change !== "found" ? "*" : ""),
  );
  expect(words.join(", ")).toBe(want);
});

test.for([
  ["17", r(17)],
  ["now", { by: "newest" }],
  ["2026-01-01", t(0)],
  ["2026-01-01 00:01", t(60)],
  ["2026-01-01T00:01:00Z", t(60)],
  ["2026-01-01T01:01:02.5+01:00", t(62.5)],
  ["-2m", t(100 - 120)],
  ["2026-13-01", undefined],
  ["yesterday", undefined],
  ["", undefined],
  ["-1", undefined],
] as const)("parsePoint: %s", ([text, want]) => {
  const parsed = parsePoint(text, () => at(100));
  expect(parsed.ok ? parsed.value : undefined).toEqual(want);
});

test("bounds: a part of the history shows the same states in it", () => {
  const op = fc.tuple(fc.constantFrom("a", "b", "c"), fc.constantFrom("", "", "-"));
  fc.assert(
    fc.property(fc.array(op, { maxLength: 12 }), fc.nat(12), fc.nat(12), (ops, x, y) => {
      const whole = aHistory(["?", "a1", "ok2", ...ops.map(([name, minus], i) => `${minus}${name}${i + 3}`)].join(" "));
      const [since, until] = [Math.min(x, y) + 2, Math.max(x, y) + 2];
      const part = boundHistory(whole, { since: r(since), until: r(until) }, at(100));
      for (let revision = since; revision <= until; revision++) {
        expect(state(part, r(revision))).toBe(state(whole, r(revision)));
        expect(limitsAt(part, r(revision), all)).toMatchObject({ missing: [] });
        expect(limitsAt(part, r(revision), all).beyond).toBeUndefined();
      }
      if (since > 2) expect(limitsAt(part, r(since - 1), all).beyond).toContain("the history begins");
    }),
  );
});
