import { expect, test } from "vitest";
import { renderChain } from "./render/chain.ts";
import type { RenderedChain } from "./program.ts";
import { planTable, printTableChange } from "./table-state.ts";

const each = (...ifaces: string[]): RenderedChain =>
  renderChain("cali-d", [...ifaces.map((i) => ({ match: `-i ${i}`, action: `--goto cali-fw-${i}` })), { action: "--jump DROP" }], {
    marks: "each",
  });
const chained = (...ifaces: string[]): RenderedChain =>
  renderChain(
    "cali-d",
    ifaces.map((i) => ({ match: `-i ${i}`, action: "--jump DROP" })),
  );

/** The lines that make one of the other, without marks. */
function linesFor(seen: RenderedChain | readonly string[], wanted: RenderedChain): readonly string[] {
  const marks = "hashes" in seen ? seen.hashes : seen;
  const state = { chains: new Map([["cali-d", marks]]), others: new Map(), held: new Set<string>() };
  const change = planTable({ chains: new Map([["cali-d", wanted]]), hooks: [] }, state);
  const text = printTableChange("filter", change, { hooks: [], seen: state });
  return text
    .split("\n")
    .slice(1, -2)
    .map((line) => line.replace(/-m comment --comment "[^"]*" /, ""));
}

test.for<{ name: string; seen: RenderedChain | readonly string[]; wanted: RenderedChain; want: readonly string[] }>([
  { name: "nothing differs", seen: each("a", "c"), wanted: each("a", "c"), want: [] },
  { name: "one in between", seen: each("a", "c"), wanted: each("a", "b", "c"), want: ["-I cali-d 2 -i b --goto cali-fw-b"] },
  {
    name: "several, as their places are when those before them are in",
    seen: each("b"),
    wanted: each("a", "b", "c", "d"),
    want: ["-I cali-d 1 -i a --goto cali-fw-a", "-I cali-d 3 -i c --goto cali-fw-c", "-I cali-d 4 -i d --goto cali-fw-d"],
  },
  {
    name: "one that went: written anew",
    seen: each("a", "b"),
    wanted: each("b"),
    want: [":cali-d - [0:0]", "-A cali-d -i b --goto cali-fw-b", "-A cali-d --jump DROP"],
  },
  {
    name: "somebody's rule in our chain: written anew",
    seen: ["", ...each("a").hashes],
    wanted: each("a", "b"),
    want: [":cali-d - [0:0]", "-A cali-d -i a --goto cali-fw-a", "-A cali-d -i b --goto cali-fw-b", "-A cali-d --jump DROP"],
  },
  { name: "a chain that is not there", seen: [], wanted: each(), want: [":cali-d - [0:0]", "-A cali-d --jump DROP"] },
  {
    name: "chained marks: a change in the middle is one of all below",
    seen: chained("a", "c"),
    wanted: chained("a", "b", "c"),
    want: [":cali-d - [0:0]", "-A cali-d -i a --jump DROP", "-A cali-d -i b --jump DROP", "-A cali-d -i c --jump DROP"],
  },
])("printTableChange: $name", ({ seen, wanted, want }) => {
  expect(linesFor(seen, wanted)).toEqual(want);
});
