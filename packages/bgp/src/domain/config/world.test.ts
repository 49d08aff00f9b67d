import { affinityKey, keyOf, parseKey } from "@calico/model";
import { aNode, aPool, anObject } from "@calico/model/testing";
import { expect, test } from "vitest";
import { aWorld } from "../../testing/world.ts";
import { derivePlan } from "./plan.ts";
import { hashToIp4, routerIdOf } from "./router-id.ts";
import { durationSec } from "./settings.ts";
import { makeWorld } from "./world.ts";

const block = (affinity: string | null, owners: readonly (string | undefined)[]) => ({
  cidr: "192.200.203.0/30",
  affinity,
  allocations: [0, 1, 2, null],
  unallocated: [3],
  attributes: owners.map((node) => ({ handle_id: "h", secondary: node === undefined ? {} : { node } })),
});

test.for<{ name: string; affinities?: readonly string[]; blocks?: Record<string, unknown>; want: string }>([
  { name: "confirmed blocks of this node", affinities: ["one 192.200.59.192/26", "two 192.200.203.0/26"], want: "192.200.59.192/26" },
  { name: "no pending ones", affinities: ["one 192.200.59.192/26 pending", "one 192.200.1.0/26 pendingDeletion"], want: "" },
  {
    name: "addresses in others' blocks, one by one",
    blocks: { "192.200.203.0/30": block("host:two", ["two", "one", undefined]) },
    want: "192.200.203.1/32",
  },
  {
    name: "addresses in our own blocks are in the block",
    blocks: { "192.200.203.0/30": block("host:one", ["one", "one", "one"]) },
    want: "",
  },
  {
    name: "addresses in nobody's block",
    blocks: { "192.200.203.0/30": block(null, ["one", "two", "one"]) },
    want: "192.200.203.0/32 192.200.203.2/32",
  },
])("derivePlan: originated: $name", ({ affinities, blocks, want }) => {
  const world = aWorld({ node: "one", objects: [aNode("one")], affinities, blocks });
  expect([...derivePlan(world, { node: "one" }).originated].join(" ")).toBe(want);
});

test.for<{ name: string; objects: Parameters<typeof aWorld>[0]["objects"]; want: string | undefined }>([
  { name: "a node with an address", objects: [aNode("one")], want: undefined },
  { name: "no node", objects: [], want: 'there is no Node "one" in the datastore: create it, or start with the right --node' },
  {
    name: "no IPv4",
    objects: [anObject("Node", { name: "one" }, {})],
    want: 'IPv4 disabled on this node: Node "one" has no spec.bgp.ipv4Address',
  },
])("derivePlan: disabled: $name", ({ objects, want }) => {
  expect(derivePlan(aWorld({ node: "one", objects }), { node: "one" }).disabled).toBe(want);
});

test.for<{ name: string; spec: object; port?: number; want: object }>([
  { name: "all addresses, port 179", spec: {}, want: { port: 179 } },
  { name: "bindMode NodeIP", spec: { bindMode: "NodeIP" }, want: { port: 179, address: "192.168.81.101" } },
  { name: "listenPort", spec: { listenPort: 1179 }, want: { port: 1179 } },
  { name: "the flag comes first", spec: { listenPort: 1179 }, port: 2179, want: { port: 2179 } },
])("derivePlan: listen: $name", ({ spec, port, want }) => {
  const world = aWorld({ node: "one", objects: [aNode("one"), anObject("BGPConfiguration", { name: "default" }, spec)] });
  expect(derivePlan(world, { node: "one", ...(port ? { listenPort: port } : {}) }).listen).toEqual(want);
});

test("makeWorld: says whether anything changed, and what is wrong with a broken object, which then counts as absent", () => {
  const { world, take } = makeWorld("one");
  const key = keyOf({ kind: "IPPool", name: "p" });
  const ref = parseKey(key)!;
  const pool = aPool("p", "10.0.0.0/16");
  expect(take({ kind: "updated", key, ref, value: pool })).toEqual({ changed: true });
  expect(take({ kind: "updated", key, ref, value: pool })).toEqual({ changed: false });
  const broken = take({ kind: "updated", key, ref, value: { ...pool, spec: { ...pool.spec, cidr: "10.0.0.1/16" } } });
  expect(broken).toMatchObject({ changed: true, rejected: { key, errors: [{ field: "spec.cidr" }] } });
  expect(world.pools.size).toBe(0);
  const others = affinityKey("two", "10.0.1.0/26");
  expect(take({ kind: "updated", key: others, ref: parseKey(others)!, value: { state: "confirmed" } })).toEqual({ changed: false });
});

test.for<{ setting: string | undefined; want: string | undefined }>([
  { setting: undefined, want: "192.168.81.101" },
  { setting: "", want: "192.168.81.101" },
  { setting: "1.2.3.4", want: "1.2.3.4" },
  { setting: "hash", want: hashToIp4("one") },
  { setting: "fd00::1", want: undefined },
])("routerIdOf: $setting", ({ setting, want }) => {
  expect(routerIdOf(setting, "one", "192.168.81.101")).toBe(want);
});

test.for<[string, number | undefined]>([
  ["120s", 120],
  ["2m0s", 120],
  ["1h30m", 5400],
  ["1500ms", 2],
  ["x", undefined],
])("durationSec: %s", ([text, want]) => {
  expect(durationSec(text)).toBe(want);
});
