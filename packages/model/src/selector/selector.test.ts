import fc from "fast-check";
import { expect, test } from "vitest";
import { prefixLabels } from "./ast.ts";
import { labelGetter } from "./match.ts";
import { labelRestrictions } from "./restrictions.ts";
import { parseSelector, selectorOf } from "./selector.ts";
import type { SelectorNode } from "./ast.ts";

function canonical(text: string): string {
  const parsed = parseSelector(text);
  return parsed.ok ? parsed.value.canonical : `${parsed.error.at}: ${parsed.error.reason}`;
}

test.for([
  ["", "all()"],
  [" \t", "all()"],
  ["! has(x)&&a=='b'", '(!has(x) && a == "b")'],
  ["a in {'b', 'a', 'b'}", 'a in {"a", "b"}'],
  ["a in {'b',}", 'a in {"b"}'],
  ["a notin{}", "a not in {}"],
  ["a not  in {'x'}", 'a not in {"x"}'],
  ["a startswith 'x' || a ends \t with 'y'", '(a starts with "x" || a ends with "y")'],
  ["!!has(a)", "has(a)"],
  ["!(!has(a))", "has(a)"],

  ["has(a) || b == 'c' && d == 'e'", '(has(a) || (b == "c" && d == "e"))'],
  ["((has(a)))", "has(a)"],
  ["a == '\"'", "a == '\"'"],
  ["all()", "all()"],
  ["global( )", "global()"],
  ["has( a.b/c-d_e )", "has(a.b/c-d_e)"],
  ["in == 'in'", 'in == "in"'],
  ["has == 'x'", 'has == "x"'],
  ["a in{'b'}", 'a in {"b"}'],
])("parseSelector: %j is %s", ([text, want]) => {
  expect(canonical(text as string)).toBe(want);
});

test.for([
  { text: "a = 'b'", want: "2: expected ==" },
  { text: "a & b", want: "2: expected &&" },
  { text: "a || has(b)", want: "2: expected ||" },
  { text: "has(a) & has(b)", want: "7: expected &&" },
  { text: "has(a) | has(b)", want: "7: expected ||" },
  { text: "a == 'b", want: "5: unterminated string" },
  { text: "a == b", want: "5: expected string" },
  { text: "a b", want: '2: expected operator after label "a"' },
  { text: "a inx {'b'}", want: '2: expected operator after label "a"' },
  { text: "a", want: '1: expected operator after label "a"' },
  { text: "has(a", want: "5: no closing ')' after has(" },
  { text: "has()", want: "4: expected identifier" },
  { text: "has (a)", want: '4: expected operator after label "has"' },
  { text: "all(x)", want: "4: no closing ')' after all(" },
  { text: "a in 'b'", want: "5: expected set literal" },
  { text: "a in {'b' 'c'}", want: "10: expected }" },
  { text: "a in {,}", want: "6: expected string" },
  { text: "(has(a)", want: "7: expected )" },
  { text: "has(a))", want: '6: unexpected content at end of selector ")"' },
  { text: "has(a) &&", want: "9: expected identifier" },
  { text: "a ==\n'b'", want: "4: expected string" },
  { text: `${"x".repeat(513)} == 'b'`, want: "0: label too long (513 > 512)" },
])("parseSelector: $text is refused with the place", ({ text, want }) => {
  expect(canonical(text)).toBe(want);
});

test("parseSelector: ten thousand parentheses are refused, not a stack overflow", () => {
  expect(canonical("(".repeat(10_000))).toBe("201: more than 200 nested parentheses");
});

test.for([
  ['a == "b"', "s:flMh0m0X_BowkAK_W3j3MgH8oQOsj3WxGDoXCQ"],
  ["all()", "s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug"],
])("uniqueId: %s has the identifier that Calico gives it", ([text, want]) => {
  const parsed = parseSelector(text as string);
  expect(parsed.ok && parsed.value.uniqueId).toBe(want);
});

test.for<{ text: string; yes: Record<string, string>; no: Record<string, string> }>([
  { text: "a == 'b'", yes: { a: "b" }, no: {} },
  { text: "a != 'b'", yes: {}, no: { a: "b" } },
  { text: "a not in {'b'}", yes: {}, no: { a: "b" } },
  { text: "a in {'b', 'c'}", yes: { a: "c" }, no: {} },
  { text: "a contains 'x'", yes: { a: "1x2" }, no: {} },
  { text: "a starts with 'x'", yes: { a: "x2" }, no: { a: "1x" } },
  { text: "a ends with 'x'", yes: { a: "1x" }, no: { a: "x1" } },
  { text: "has(a) && !has(b)", yes: { a: "" }, no: { a: "", b: "" } },
  { text: "has(a) || has(b)", yes: { b: "" }, no: { c: "" } },
  { text: "has(constructor)", yes: { constructor: "1" }, no: {} },
])("matches: $text", ({ text, yes, no }) => {
  const parsed = parseSelector(text);
  if (!parsed.ok) throw new Error(parsed.error.reason);
  expect(parsed.value.matches(yes)).toBe(true);
  expect(parsed.value.matches(no)).toBe(false);
  expect(parsed.value.matches(new Map(Object.entries(yes)))).toBe(true);
});

test("prefixLabels: every label gets the prefix", () => {
  const parsed = parseSelector("a == 'x' && (!has(b) || c in {'d'})");
  expect(parsed.ok && selectorOf(prefixLabels(parsed.value.ast, "pcns.")).canonical).toBe(
    '(pcns.a == "x" && (!has(pcns.b) || pcns.c in {"d"}))',
  );
});

const label = fc.constantFrom("a", "b", "in", "has", "x.y/z-1");
const value = fc.constantFrom("", "a", "b", "it's", 'say "x"');
const { node } = fc.letrec<{ node: SelectorNode }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 4 },
    fc.constant<SelectorNode>({ op: "all" }),
    label.map((text): SelectorNode => ({ op: "has", label: text })),
    fc
      .tuple(fc.constantFrom("eq", "ne", "contains", "startsWith", "endsWith"), label, value)
      .map(([op, l, v]): SelectorNode => ({ op, label: l, value: v })),
    fc
      .tuple(fc.constantFrom("in", "notIn"), label, fc.uniqueArray(value))
      .map(([op, l, v]): SelectorNode => ({ op, label: l, values: v.sort() })),
    tie("node").map((of): SelectorNode => (of.op === "not" ? of : { op: "not", of })),
    fc
      .tuple(fc.constantFrom("and", "or"), fc.array(tie("node"), { minLength: 2, maxLength: 3 }))
      .map(([op, of]): SelectorNode => ({ op, of })),
  ),
}));
const labels = fc.dictionary(label, value);

test("canonical: parsing it gives the same tree", () => {
  fc.assert(
    fc.property(node, (tree) => {
      const selector = selectorOf(tree);
      const again = parseSelector(selector.canonical);
      if (!again.ok) throw new Error(`${selector.canonical} at ${again.error.at}: ${again.error.reason}`);
      expect(again.value.canonical).toBe(selector.canonical);
      expect(again.value.ast).toEqual(tree);
    }),
  );
});

test("parseSelector: no text makes it throw, and an error is inside of the text", () => {
  const soup = fc
    .array(
      fc.constantFrom("a", "b", " ", "!", "(", ")", "has(", "all(", "==", "=", "'", '"', "{", "}", ",", "in", "not", "&&", "||", "é"),
      { maxLength: 14 },
    )
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(fc.oneof(fc.string(), soup), (text) => {
      const parsed = parseSelector(text);
      if (parsed.ok) expect(canonical(parsed.value.canonical)).toBe(parsed.value.canonical);
      else expect(parsed.error.at >= 0 && parsed.error.at <= text.length).toBe(true);
    }),
    { numRuns: 1000 },
  );
});

test("labelRestrictions: what matches meets every restriction", () => {
  fc.assert(
    fc.property(node, labels, (tree, have) => {
      if (!selectorOf(tree).matches(have)) return;
      const get = labelGetter(have);
      for (const [name, want] of labelRestrictions(tree)) {
        if (want.mustBePresent) expect(get(name)).toBeDefined();
        if (want.mustBeAbsent) expect(get(name)).toBeUndefined();
        if (want.oneOf) expect(want.oneOf).toContain(get(name));
      }
    }),
    { numRuns: 500 },
  );
});

test.for([
  { text: "a == 'b' && c in {'d', 'e'}", want: { a: ["b"], c: ["d", "e"] } },
  { text: "a == 'b' || a == 'c'", want: { a: ["b", "c"] } },
  { text: "a == 'b' || c == 'd'", want: {} },
  { text: "a == 'b' && a == 'c'", want: { a: [] } },
  { text: "has(a)", want: { a: "present" } },
  { text: "!has(a)", want: { a: "absent" } },
  { text: "a != 'b'", want: {} },
])("labelRestrictions: $text", ({ text, want }) => {
  const parsed = parseSelector(text);
  if (!parsed.ok) throw new Error(parsed.error.reason);
  const got = [...labelRestrictions(parsed.value.ast)].map(([name, r]) => [name, r.oneOf ?? (r.mustBeAbsent ? "absent" : "present")]);
  expect(Object.fromEntries(got)).toEqual(want);
});
