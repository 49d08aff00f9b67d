import { expect, test } from "vitest";
import { closingLine, completeSuite, countOutcomes, exitCodeOf, summaryLines, type Outcome } from "./outcome.ts";

const outcome = (state: Outcome["state"], detail?: string): Outcome => ({ suite: "unit", file: "a.test.ts", name: "adds", state, detail });

test.for<{ name: string; states: Outcome["state"][]; line: string; code: number }>([
  { name: "all passed", states: ["passed", "passed"], line: "2 passed, 0 failed", code: 0 },
  { name: "one failed", states: ["passed", "failed"], line: "1 passed, 1 failed", code: 1 },
  { name: "skipped ones are named", states: ["passed", "skipped"], line: "1 passed, 0 failed, 1 skipped", code: 0 },
  { name: "nothing ran", states: [], line: "0 passed, 0 failed", code: 1 },
  { name: "all skipped is no success", states: ["skipped"], line: "0 passed, 0 failed, 1 skipped", code: 1 },
])("closingLine: $name", ({ states, line, code }) => {
  const totals = countOutcomes(states.map((s) => outcome(s)));
  expect(closingLine(totals)).toBe(line);
  expect(exitCodeOf(totals)).toBe(code);
});

test("completeSuite: a process that dies without a failed test is a failure; one that failed honestly is counted once", () => {
  expect(countOutcomes(completeSuite("e2e", [outcome("passed")], { code: null, signal: "SIGKILL" }))).toMatchObject({ failed: 1 });
  expect(countOutcomes(completeSuite("e2e", [], { code: 1, signal: null }))).toMatchObject({ failed: 1 });
  expect(countOutcomes(completeSuite("e2e", [outcome("failed")], { code: 1, signal: null }))).toMatchObject({ failed: 1 });
  expect(completeSuite("e2e", [], { code: 0, signal: null })).toEqual([]);
});

test("summaryLines: failures last, skipped ones with their reason", () => {
  expect(summaryLines([outcome("failed"), outcome("skipped", "needs root"), outcome("skipped"), outcome("passed")])).toEqual([
    "skipped  unit › a.test.ts › adds  (needs root)",
    "skipped  unit › a.test.ts › adds  (no reason given)",
    "FAILED   unit › a.test.ts › adds",
  ]);
});
