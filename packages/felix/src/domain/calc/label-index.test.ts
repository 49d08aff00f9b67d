import { parseSelector } from "@calico/model";
import type { Selector } from "@calico/model";
import fc from "fast-check";
import { expect, test } from "vitest";
import { LabelIndex } from "./label-index.ts";
import { restrictionsOf } from "./label-restriction.ts";

function selector(text: string): Selector {
  const parsed = parseSelector(text);
  if (!parsed.ok) throw new Error(parsed.error.reason);
  return parsed.value;
}

test.for([
  { name: "equality", text: "a == 'x'", want: "a=x" },
  { name: "a set", text: "a in {'x','y'}", want: "a=x|y" },
  { name: "presence", text: "has(a)", want: "a=*" },
  { name: "a word in the value", text: "a contains 'x'", want: "a=*" },
  { name: "absence says nothing", text: "a != 'x'", want: "" },
  { name: "negation says nothing", text: "!has(a)", want: "" },
  { name: "all", text: "all()", want: "" },
  { name: "and narrows", text: "has(a) && a in {'x','y'} && a in {'y','z'} && b == '1'", want: "a=y b=1" },
  { name: "and that cannot hold", text: "a == 'x' && a == 'y'", want: "a=" },
  { name: "or keeps what every branch needs", text: "(a == 'x' && b == '1') || a == 'y'", want: "a=x|y" },
  { name: "or with a free branch", text: "a == 'x' || b != '1'", want: "" },
])("restrictionsOf: $name", ({ text, want }) => {
  const got = [...restrictionsOf(selector(text).ast)].map(
    ([label, values]) => `${label}=${values === "any" ? "*" : [...values].sort().join("|")}`,
  );
  expect(got.join(" ")).toBe(want);
});

const TEXTS = [
  "all()",
  "a == 'x'",
  "a != 'x'",
  "has(b)",
  "!has(b)",
  "a in {'x','y'} && b == 'x'",
  "a == 'x' || b == 'y'",
  "a not in {'x'}",
  "a == 'x' && a == 'y'",
  "b starts with 'x'",
];
const labels = fc.dictionary(fc.constantFrom("a", "b"), fc.constantFrom("x", "y", "xy"));
const item = fc.constantFrom("i1", "i2", "i3");
const parent = fc.constantFrom("p1", "p2");
const action = fc.oneof(
  fc.record({ do: fc.constant("setItem" as const), item, labels, parents: fc.uniqueArray(parent) }),
  fc.record({ do: fc.constant("deleteItem" as const), item }),
  fc.record({ do: fc.constant("setParent" as const), parent, labels }),
  fc.record({ do: fc.constant("setSelector" as const), id: fc.constantFrom("s1", "s2", "s3"), text: fc.constantFrom(...TEXTS) }),
  fc.record({ do: fc.constant("deleteSelector" as const), id: fc.constantFrom("s1", "s2", "s3") }),
);

test("LabelIndex: after any changes, the matches that were told are those of asking every selector about every item", () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
      const told = new Set<string>();
      const index = new LabelIndex({
        matchStarted(s, i) {
          expect(told.has(`${s} ${i}`)).toBe(false);
          told.add(`${s} ${i}`);
        },
        matchStopped: (s, i) => void expect(told.delete(`${s} ${i}`)).toBe(true),
      });
      const items = new Map<string, { labels: Record<string, string>; parents: readonly string[] }>();
      const parents = new Map<string, Record<string, string>>();
      const selectors = new Map<string, Selector>();
      for (const a of actions) {
        switch (a.do) {
          case "setItem":
            items.set(a.item, a);
            index.setItem(a.item, a.labels, a.parents);
            break;
          case "deleteItem":
            items.delete(a.item);
            index.deleteItem(a.item);
            break;
          case "setParent":
            parents.set(a.parent, a.labels);
            index.setParentLabels(a.parent, a.labels);
            break;
          case "setSelector":
            selectors.set(a.id, selector(a.text));
            index.setSelector(a.id, selector(a.text));
            break;
          case "deleteSelector":
            selectors.delete(a.id);
            index.deleteSelector(a.id);
        }
      }
      const want = [...selectors].flatMap(([s, sel]) =>
        [...items].flatMap(([i, { labels: own, parents: ps }]) => {
          const effective = Object.assign({}, ...ps.toReversed().map((p) => parents.get(p)), own) as Record<string, string>;
          return sel.matches(effective) ? [`${s} ${i}`] : [];
        }),
      );
      expect([...told].sort()).toEqual(want.sort());
    }),
    { numRuns: 500 },
  );
});

test("LabelIndex: a change asks only selectors whose required labels the item has", () => {
  const index = new LabelIndex({ matchStarted() {}, matchStopped() {} });
  for (let i = 0; i < 1000; i++) index.setSelector(`s${i}`, selector(`ns == 'n${i}' && has(app)`));
  index.setItem("i", { ns: "n7", app: "web" }, []);
  expect(index.evaluations).toBeLessThanOrEqual(2);
});
