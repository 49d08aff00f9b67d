import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { diffFields, formatChanges, formatPaths } from "./field-diff.ts";
import { authorOf } from "./timeline.ts";
import { unifiedDiff } from "./unified-diff.ts";

test.for<{ from: unknown; to: unknown; want: string }>([
  { from: { a: 1 }, to: { a: 1 }, want: "" },
  { from: { spec: { order: 1 } }, to: { spec: { order: 2 } }, want: "spec.order" },
  {
    from: { spec: { ingress: [{ action: "Deny" }] } },
    to: { spec: { ingress: [{ action: "Allow" }, {}] } },
    want: "spec.ingress[0].action, spec.ingress[1]",
  },
  {
    from: { metadata: { resourceVersion: "1", labels: {} } },
    to: { metadata: { resourceVersion: "2", labels: { "a/b": "c" } } },
    want: 'metadata.labels["a/b"]',
  },
  { from: { a: null }, to: {}, want: "a" },
  { from: { a: {} }, to: {}, want: "" },
  { from: { a: [] }, to: {}, want: "a" },
  { from: undefined, to: 1, want: "" },
  { from: { unallocated: [1, 2, 3] }, to: { unallocated: [2, 3] }, want: "unallocated" },
  { from: { allocations: [null, null] }, to: { allocations: [0, null] }, want: "allocations[0]" },
])("diffFields: $want", ({ from, to, want }) => {
  expect(formatPaths(diffFields(from, to), 9)).toBe(want);
});

test("formatChanges: what it was and what it is, long values cut", () => {
  const changes = diffFields({ spec: { order: 1, a: "x" } }, { spec: { order: 2, text: "y".repeat(99) } });
  expect(formatChanges(changes)).toBe(`spec.order: 1 → 2, spec.a: "x" → none, spec.text: none → "${"y".repeat(38)}…`);
});

test("formatPaths: no more than asked for", () => {
  expect(formatPaths(diffFields({}, { a: 1, b: 1, c: 1 }), 2)).toBe("a, b, +1 more");
});

test.for<{ value: unknown; want: string | undefined }>([
  { value: {}, want: undefined },
  {
    value: {
      metadata: {
        managedFields: [
          { manager: "kubectl", time: "2026-01-02T00:00:00Z" },
          { manager: "old", time: "2026-01-01T00:00:00Z" },
        ],
      },
    },
    want: "kubectl",
  },
  { value: { metadata: { annotations: { "projectcalico.org/changed-by": "eve" }, managedFields: [{ manager: "x" }] } }, want: "eve" },
  { value: { metadata: { managedFields: "x" } }, want: undefined },
])("authorOf: $want", ({ value, want }) => {
  expect(authorOf(value)).toBe(want);
});

let dir: string;
beforeAll(() => void (dir = mkdtempSync(join(tmpdir(), "replay-diff-"))));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test("unifiedDiff: patch(1) makes the one text of the other", () => {
  const text = fc
    .array(fc.constantFrom("a", "b", "c", "d: 1", ""), { maxLength: 30 })
    .map((lines) => lines.map((line) => `${line}\n`).join(""));
  fc.assert(
    fc.property(text, text, (from, to) => {
      const diff = unifiedDiff("x", from, to);
      if (from === to) {
        expect(diff).toBe("");
        return;
      }
      const file = join(dir, "x");
      writeFileSync(file, from);
      execFileSync("patch", ["--silent", "--fuzz=0", file], { input: diff });
      let got = "";
      try {
        got = readFileSync(file, "utf8");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error; // patch removes what becomes empty
      }
      expect(got).toBe(to);
    }),
    { numRuns: 40 },
  );
});
