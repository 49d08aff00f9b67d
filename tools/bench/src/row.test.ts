import { expect, test } from "vitest";
import { percentile, plain } from "./row.ts";

test.for([
  { p: 50, want: 2 },
  { p: 99, want: 4 },
  { p: 1, want: 1 },
])("percentile: nearest rank, p$p of 4, 1, 3, 2 is $want", ({ p, want }) => {
  expect(percentile([4, 1, 3, 2], p)).toBe(want);
});

test("plain: ok compares with the goal, and is null without one", () => {
  expect(plain("a", 31, "s", 30)).toMatchObject({ goal: "≤ 30", ok: false, peer: null });
  expect(plain("a", 31, "s")).toMatchObject({ goal: null, ok: null });
});
