import { expect, test } from "vitest";
import { seenSince } from "./seen-since.ts";

test.for([
  { name: "the oldest counts", seen: [1000, 990, 995], want: 490 },
  { name: "a snapshot counts from now", seen: [undefined, undefined], want: 500 },
  { name: "a clock ahead of ours counts as now", seen: [1010], want: 500 },
  { name: "snapshot and tail in one batch", seen: [undefined, 980], want: 480 },
  { name: "an empty batch", seen: [], want: 500 },
])("seen since: $name", ({ seen, want }) => {
  const batch = seen.map((seenAt) => (seenAt === undefined ? { kind: "inSync" } : { kind: "updated", seenAt }));
  expect(seenSince(batch, 500, 1000)).toBe(want);
});
