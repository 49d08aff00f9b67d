import { expect, test } from "vitest";
import { renderNode } from "../src/mod.ts";
import { updated } from "../src/testing.ts";
import { NODE } from "./cluster.ts";
import { everyKind } from "./every-kind.ts";

test("renderNode: a cluster with every kind of rule gives this program, in any order of events", async () => {
  const events = everyKind().map(updated);
  const text = renderNode(events, NODE);
  await expect(text).toMatchFileSnapshot("golden/every-kind.txt");
  // Nodes are there twice, the later counts: so not the events but the objects are turned round.
  const last = new Map(events.map((e) => ["key" in e ? e.key : "", e]));
  expect(renderNode([...last.values()].toReversed(), NODE)).toBe(text);
});

test("renderNode: a node without workloads has the fixed chains, and drops what any interface of ours sends", async () => {
  await expect(renderNode([], NODE)).toMatchFileSnapshot("golden/empty.txt");
});
