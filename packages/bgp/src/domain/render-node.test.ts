import { affinityKey, keyOf, parseKey } from "@calico/model";
import { aNode, anObject, aPool } from "@calico/model/testing";
import { expect, test } from "vitest";
import type { ObjectEvent } from "./config/world.ts";
import { renderNode } from "./render-node.ts";

type Item = { readonly kind: Parameters<typeof keyOf>[0]["kind"]; readonly metadata: { readonly name: string } };
function put(key: string, value: unknown): ObjectEvent {
  return { kind: "updated", key, ref: parseKey(key)!, value };
}
const object = (o: Item) => put(keyOf({ kind: o.kind, name: o.metadata.name }), o);
const block = (node: string, cidr: string) => put(affinityKey(node, cidr), { state: "confirmed", deleted: false });
const pool = (ipipMode: string) => object(aPool("pods", "10.0.0.0/16", { ipipMode }));
const nodes = ["one", "two", "three"].map((name, i) => aNode(name, `192.168.81.${101 + i}/24`));
const blocks = [block("one", "10.0.1.0/26"), block("two", "10.0.2.0/26"), block("three", "10.0.3.0/26")];
const reflector = aNode(
  "rr",
  "192.168.81.50/24",
  { bgp: { ipv4Address: "192.168.81.50/24", routeReflectorClusterID: "1.0.0.1" } },
  { role: "rr" },
);
const noMesh = object(anObject("BGPConfiguration", { name: "default" }, { nodeToNodeMeshEnabled: false }));
const toReflector = object(anObject("BGPPeer", { name: "rr" }, { nodeSelector: "!has(role)", peerSelector: "has(role)" }));
const router = object(anObject("BGPPeer", { name: "tor" }, { peerIP: "192.168.81.1", asNumber: 65000 }));
const far = aNode("three", "192.168.82.3/24");

const MESH = [
  "blackhole 10.0.1.0/26 proto 179",
  "10.0.2.0/26 proto 179 via 192.168.81.102 dev eth0",
  "10.0.3.0/26 proto 179 via 192.168.81.103 dev eth0",
];

test.for<{ name: string; events: readonly ObjectEvent[]; want: readonly string[] }>([
  { name: "no such node", events: [], want: [] },
  { name: "mesh, no encapsulation", events: [...nodes.map(object), pool("Never"), ...blocks], want: MESH },
  {
    name: "mesh, IPIP",
    events: [...nodes.map(object), pool("Always"), ...blocks],
    want: MESH.map((line) => line.replace("dev eth0", "dev tunl0 onlink")),
  },
  { name: "no mesh, no peers", events: [...nodes.map(object), noMesh, pool("Never"), ...blocks], want: MESH.slice(0, 1) },
  {
    name: "through a reflector",
    events: [...nodes.map(object), object(reflector), noMesh, toReflector, pool("Never"), ...blocks],
    want: MESH,
  },
  {
    name: "a pool that is not exported",
    events: [...nodes.map(object), object(aPool("pods", "10.0.0.0/16", { disableBGPExport: true })), ...blocks],
    want: MESH.slice(0, 1),
  },
])("renderNode: $name", ({ events, want }) => {
  const routes = (text: string) => text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const text = renderNode(events, "one", { device: "eth0" });
  expect(routes(text).toSorted()).toEqual(want.toSorted());
  expect(renderNode(events.toReversed(), "one", { device: "eth0" })).toBe(text);
});

test("renderNode: what events cannot say is a comment", () => {
  const text = renderNode([...[...nodes.slice(0, 2), far].map(object), router, pool("Never"), ...blocks], "one");
  expect(text).toBe(`# AS 64512, router id 192.168.81.101
# peer Global_192_168_81_1 192.168.81.1 AS 65000: no node of the datastore: its routes are not known
# peer Mesh_192_168_81_102 192.168.81.102 AS 64512
# peer Mesh_192_168_82_3 192.168.82.3 AS 64512
blackhole 10.0.1.0/26 proto 179
10.0.2.0/26 proto 179 via 192.168.81.102
# 10.0.3.0/26 by the kernel's own way to 192.168.82.3
`);
});

test("renderNode: a plain mesh, of which only sessions with the node are looked at, gives what all sessions give", () => {
  const events = [...nodes.map(object), pool("CrossSubnet"), ...blocks];
  const configured = object(anObject("BGPConfiguration", { name: "node.nobody" }, {}));
  const text = renderNode(events, "one", { device: "eth0" });
  expect(text).toContain("10.0.2.0/26 proto 179 via 192.168.81.102 dev eth0");
  expect(renderNode([...events, configured], "one", { device: "eth0" })).toBe(text);
});
