import fc from "fast-check";
import { expect, test } from "vitest";
import type { PathAttributes } from "../codec/attribute.ts";
import { bestPaths } from "./best-path.ts";
import { LOCAL_PATH } from "./path.ts";
import type { Path } from "./path.ts";

const seq = (...ases: readonly number[]) => [{ type: "sequence" as const, ases }];

function path(name: string, attributes: PathAttributes = {}, source: { ibgp?: boolean; routerId?: string; address?: string } = {}): Path {
  const { ibgp = true, routerId = "10.0.0.9", address = "10.0.0.9" } = source;
  return {
    from: { peer: name, address, routerId, ibgp, client: false },
    nextHop: address,
    stale: false,
    attributes: { origin: "igp", asPath: [], ...attributes },
  };
}

const name = (p: Path) => p.from?.peer ?? "ours";

test.for<{ rule: string; paths: readonly Path[]; want: string }>([
  { rule: "none", paths: [], want: "" },
  { rule: "our own comes first", paths: [path("a", { localPref: 900 }), LOCAL_PATH], want: "ours" },
  { rule: "higher local preference", paths: [path("a"), path("b", { localPref: 101 })], want: "b" },
  { rule: "no local preference counts as 100", paths: [path("a", { localPref: 99 }), path("b")], want: "b" },
  { rule: "shorter AS path", paths: [path("a", { asPath: seq(1, 2) }), path("b", { asPath: seq(1) })], want: "b" },
  {
    rule: "a set counts as one",
    paths: [path("a", { asPath: [{ type: "set", ases: [1, 2, 3] }] }), path("b", { asPath: seq(1, 2) })],
    want: "a",
  },
  { rule: "lower origin", paths: [path("a", { origin: "incomplete" }), path("b", { origin: "egp" })], want: "b" },
  {
    rule: "lower MED of the same neighbour",
    paths: [path("a", { asPath: seq(1), med: 10 }), path("b", { asPath: seq(1), med: 5 })],
    want: "b",
  },
  {
    rule: "MED of different neighbours is not compared",
    paths: [path("a", { asPath: seq(1), med: 10 }), path("b", { asPath: seq(2), med: 5 }, { routerId: "10.0.0.10" })],
    want: "a b",
  },
  {
    rule: "MED removes before the rest is compared",
    paths: [
      path("a", { asPath: seq(1), med: 10 }, { routerId: "10.0.0.1" }),
      path("b", { asPath: seq(2) }, { routerId: "10.0.0.2" }),
      path("c", { asPath: seq(1), med: 5 }, { routerId: "10.0.0.3" }),
    ],
    want: "b c",
  },
  { rule: "external over internal", paths: [path("a"), path("b", {}, { ibgp: false })], want: "b" },
  {
    rule: "lower identifier first, both are multipath",
    paths: [path("a", {}, { routerId: "10.0.0.2" }), path("b", {}, { routerId: "10.0.0.1" })],
    want: "b a",
  },
  {
    rule: "the originator's identifier counts if reflected",
    paths: [path("a", { originatorId: "10.0.0.1" }, { routerId: "10.0.0.9" }), path("b", {}, { routerId: "10.0.0.2" })],
    want: "a b",
  },
  {
    rule: "shorter cluster list",
    paths: [path("a", { clusterList: ["1.1.1.1", "2.2.2.2"] }), path("b", { clusterList: ["1.1.1.1"] })],
    want: "b a",
  },
  {
    rule: "lower address, by number",
    paths: [path("a", {}, { address: "10.0.0.10" }), path("b", {}, { address: "10.0.0.9" })],
    want: "b a",
  },
])("bestPaths: $rule", ({ paths, want }) => {
  expect(bestPaths(paths).map(name).join(" ")).toBe(want);
});

test("bestPaths: the order in which paths came does not matter", () => {
  const some = fc.record({
    localPref: fc.constantFrom(100, 200),
    med: fc.constantFrom(0, 5, 10),
    asPath: fc.constantFrom([], seq(1), seq(2), seq(1, 2)),
    origin: fc.constantFrom("igp" as const, "egp" as const),
  });
  const list = fc
    .array(fc.record({ attributes: some, ibgp: fc.boolean() }), { maxLength: 8 })
    .map((items) => items.map(({ attributes, ibgp }, i) => path(`p${i}`, attributes, { ibgp, routerId: `10.0.0.${i + 1}` })));
  fc.assert(
    fc.property(list, fc.infiniteStream(fc.nat()), (paths, random) => {
      const keyed = paths.map((p) => ({ p, at: random.next().value as number }));
      const shuffled = keyed.toSorted((a, b) => a.at - b.at).map(({ p }) => p);
      expect(bestPaths(shuffled).map(name)).toEqual(bestPaths(paths).map(name));
    }),
  );
});
