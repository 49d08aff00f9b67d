import { aNode, anObject } from "@calico/model/testing";
import type { BGPPeer } from "@calico/model";
import { expect, test } from "vitest";
import { aWorld } from "../../testing/world.ts";
import type { WorldInput } from "../../testing/world.ts";
import { derivePeers } from "./topology.ts";
import type { PeerPlan } from "./topology.ts";

const nodes = [
  aNode("one", "192.168.81.9/24", {}, { rack: "a" }),
  aNode("two", "192.168.81.10/24", {}, { rack: "a" }),
  aNode("three", "192.168.82.3/24", { bgp: { ipv4Address: "192.168.82.3/24", asNumber: 64513 } }, { rack: "b" }),
];
const reflector = aNode(
  "rr",
  "192.168.81.50/24",
  { bgp: { ipv4Address: "192.168.81.50/24", routeReflectorClusterID: "1.0.0.1" } },
  { role: "rr" },
);
const config = (spec: object, name = "default") => anObject("BGPConfiguration", { name }, spec);
const peer = (name: string, spec: object): BGPPeer => anObject("BGPPeer", { name }, spec);
const noMesh = config({ nodeToNodeMeshEnabled: false });

function print(p: PeerPlan): string {
  const marks = [
    p.passive && "passive",
    p.rrClient && "client",
    p.nextHopMode !== "auto" && p.nextHopMode,
    p.blocked !== undefined && "blocked",
  ];
  return [p.name, `as ${p.peerAs}`, ...marks.filter((mark) => mark !== false)].join(" ");
}

test.for<{ name: string; node?: string; objects: WorldInput["objects"]; want: readonly string[] }>([
  {
    name: "mesh: the rule compares text, so .9 is above .10 and .10 dials",
    node: "two",
    objects: nodes,
    want: ["Mesh_192_168_81_9 as 64512 passive", "Mesh_192_168_82_3 as 64513 passive"],
  },
  {
    name: "mesh: the other side of it",
    node: "one",
    objects: nodes,
    want: ["Mesh_192_168_81_10 as 64512", "Mesh_192_168_82_3 as 64513 passive"],
  },
  {
    name: "mesh: a node without an address is no peer",
    objects: [...nodes.slice(0, 2), anObject("Node", { name: "bare" }, {})],
    want: ["Mesh_192_168_81_10 as 64512"],
  },
  { name: "mesh: off", objects: [...nodes, noMesh], want: [] },
  { name: "mesh: without reflectors", objects: [...nodes.slice(0, 2), reflector], want: ["Mesh_192_168_81_10 as 64512"] },
  { name: "mesh: a reflector has none", node: "rr", objects: [...nodes, reflector], want: [] },
  {
    name: "mesh: a password is more than we can do",
    objects: [...nodes.slice(0, 2), config({ nodeMeshPassword: { secretKeyRef: { name: "s", key: "k" } } })],
    want: ["Mesh_192_168_81_10 as 64512 blocked"],
  },
  { name: "mesh: the cluster's AS", objects: [...nodes.slice(0, 2), config({ asNumber: 65100 })], want: ["Mesh_192_168_81_10 as 65100"] },
  {
    name: "a global peer",
    objects: [nodes[0]!, peer("tor", { peerIP: "192.168.81.1", asNumber: 65000 })],
    want: ["Global_192_168_81_1 as 65000"],
  },
  {
    name: "a port",
    objects: [nodes[0]!, peer("tor", { peerIP: "192.168.81.1:1790", asNumber: 65000 })],
    want: ["Global_192_168_81_1_port_1790 as 65000"],
  },
  {
    name: "a peer of this node",
    objects: [nodes[0]!, peer("tor", { node: "one", peerIP: "192.168.81.1", asNumber: 65000, nextHopMode: "Self" })],
    want: ["Node_192_168_81_1 as 65000 self"],
  },
  { name: "a peer of another node", objects: [nodes[0]!, peer("tor", { node: "two", peerIP: "192.168.81.1", asNumber: 65000 })], want: [] },
  {
    name: "a peer of some nodes",
    objects: [nodes[0]!, peer("tor", { nodeSelector: "rack == 'a'", peerIP: "192.168.81.1", asNumber: 65000 })],
    want: ["Node_192_168_81_1 as 65000"],
  },
  { name: "oneself is no peer", objects: [nodes[0]!, peer("all", { peerIP: "192.168.81.9", asNumber: 64512 })], want: [] },
  {
    name: "nodes to reflectors",
    objects: [...nodes.slice(0, 2), reflector, noMesh, peer("rr", { nodeSelector: "!has(role)", peerSelector: "role == 'rr'" })],
    want: ["Node_192_168_81_50 as 64512"],
  },
  {
    name: "reflectors to nodes, the other way round by themselves",
    node: "rr",
    objects: [...nodes.slice(0, 2), reflector, noMesh, peer("rr", { nodeSelector: "!has(role)", peerSelector: "role == 'rr'" })],
    want: ["Node_192_168_81_10 as 64512 client", "Node_192_168_81_9 as 64512 client"],
  },
  {
    name: "unless that is turned off",
    node: "rr",
    objects: [
      ...nodes.slice(0, 2),
      reflector,
      noMesh,
      peer("rr", { nodeSelector: "!has(role)", peerSelector: "role == 'rr'", reversePeering: "Manual" }),
    ],
    want: [],
  },
  {
    name: "explicit peers come before the mesh",
    objects: [...nodes.slice(0, 2), peer("x", { peerIP: "192.168.81.10", asNumber: 64512 })],
    want: ["Global_192_168_81_10 as 64512"],
  },
  {
    name: "global before node-specific",
    objects: [
      nodes[0]!,
      peer("a", { node: "one", peerIP: "192.168.81.1", asNumber: 1 }),
      peer("b", { peerIP: "192.168.81.1", asNumber: 2 }),
    ],
    want: ["Global_192_168_81_1 as 2"],
  },
  {
    name: "filters are more than we can do",
    objects: [nodes[0]!, peer("tor", { peerIP: "192.168.81.1", asNumber: 65000, filters: ["f"] })],
    want: ["Global_192_168_81_1 as 65000 blocked"],
  },
])("derivePeers: $name", ({ node = "one", objects, want }) => {
  expect(derivePeers(aWorld({ node, objects }), node).map(print)).toEqual(want);
});

test("derivePeers: a node's own listenPort is where it is dialed", () => {
  const world = aWorld({ node: "one", objects: [...nodes.slice(0, 2), config({ listenPort: 1179 }, "node.two")] });
  expect(derivePeers(world, "one")).toMatchObject([{ id: "192.168.81.10:1179", port: 1179 }]);
});
