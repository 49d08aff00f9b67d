import { aNode, aPool } from "@calico/model/testing";
import { expect, test } from "vitest";
import { aWorld } from "../../testing/world.ts";
import { derivePlan } from "../config/plan.ts";
import { LOCAL_PATH } from "../rib/path.ts";
import type { Path } from "../rib/path.ts";
import { desireOf } from "./desire.ts";
import { deriveReachability } from "./next-hop.ts";

const plan = derivePlan(
  aWorld({
    node: "one",
    objects: [
      aNode("one", "192.168.81.101/24"),
      aPool("plain", "10.1.0.0/16"),
      aPool("always", "10.2.0.0/16", { ipipMode: "Always" }),
      aPool("cross", "10.3.0.0/16", { ipipMode: "CrossSubnet" }),
      aPool("vxlan", "10.4.0.0/16", { vxlanMode: "CrossSubnet" }),
      aPool("off", "10.5.0.0/16", { ipipMode: "Always", disabled: true }),
    ],
    affinities: ["one 10.2.9.0/26", "one 10.4.9.0/26", "one 10.1.9.9/32"],
  }),
  { node: "one" },
);

const reach = deriveReachability(
  [
    { link: "enp0s3", cidr: "10.0.2.6/24" },
    { link: "enp0s8", cidr: "192.168.81.101/24" },
    { link: "down0", cidr: "192.168.90.1/24" },
  ],
  [
    { dst: "0.0.0.0/0", type: "unicast", via: "10.0.2.1", dev: "enp0s3", protocol: 3 },
    { dst: "192.168.82.0/24", type: "unicast", via: "192.168.81.1", dev: "enp0s8", protocol: 4 },
    { dst: "192.168.83.0/24", type: "unicast", via: "192.168.81.2", dev: "enp0s8", protocol: 179 },
  ],
  new Set(["enp0s3", "enp0s8"]),
  179,
);

const via = (nextHop: string): Path => ({
  from: { peer: nextHop, address: nextHop, routerId: nextHop, ibgp: true, client: false },
  nextHop,
  attributes: {},
  stale: false,
});

test.for<{ name: string; prefix: string; paths: readonly Path[]; want: string }>([
  { name: "own block", prefix: "10.2.9.0/26", paths: [LOCAL_PATH], want: "blackhole" },
  { name: "own block of a VXLAN pool", prefix: "10.4.9.0/26", paths: [LOCAL_PATH], want: "blackhole" },
  { name: "own block of one address", prefix: "10.1.9.9/32", paths: [LOCAL_PATH], want: "none: a single address: felix has its route" },
  { name: "a borrowed address", prefix: "10.1.7.7/32", paths: [LOCAL_PATH], want: "none: a single address: felix has its route" },
  { name: "no encapsulation", prefix: "10.1.1.0/26", paths: [via("192.168.81.102")], want: "via 192.168.81.102 dev enp0s8" },
  {
    name: "no encapsulation, behind a router of the kernel's own",
    prefix: "10.1.1.0/26",
    paths: [via("192.168.82.5")],
    want: "via 192.168.81.1 dev enp0s8",
  },
  { name: "no encapsulation, by the default route", prefix: "10.1.1.0/26", paths: [via("192.168.83.5")], want: "via 10.0.2.1 dev enp0s3" },
  { name: "IPIP Always", prefix: "10.2.1.0/26", paths: [via("192.168.81.102")], want: "via 192.168.81.102 dev tunl0 onlink" },
  { name: "IPIP of a disabled pool", prefix: "10.5.1.0/26", paths: [via("192.168.81.102")], want: "via 192.168.81.102 dev tunl0 onlink" },
  { name: "IPIP CrossSubnet, same subnet", prefix: "10.3.1.0/26", paths: [via("192.168.81.102")], want: "via 192.168.81.102 dev enp0s8" },
  {
    name: "IPIP CrossSubnet, other subnet",
    prefix: "10.3.1.0/26",
    paths: [via("192.168.82.5")],
    want: "via 192.168.82.5 dev tunl0 onlink",
  },
  { name: "VXLAN", prefix: "10.4.1.0/26", paths: [via("192.168.81.102")], want: "none: felix programs routes of VXLAN pools" },
  { name: "outside of pools", prefix: "172.31.0.0/16", paths: [via("192.168.81.1")], want: "via 192.168.81.1 dev enp0s8" },
  {
    name: "two ways",
    prefix: "172.31.0.0/16",
    paths: [via("192.168.81.1"), via("192.168.81.2")],
    want: "via 192.168.81.1 dev enp0s8 via 192.168.81.2 dev enp0s8",
  },
  {
    name: "one next hop told by two",
    prefix: "172.31.0.0/16",
    paths: [via("192.168.81.1"), via("192.168.81.1")],
    want: "via 192.168.81.1 dev enp0s8",
  },
])("desireOf: $name", ({ prefix, paths, want }) => {
  const desire = desireOf(prefix, paths, { plan, reach });
  const text =
    desire.kind === "none"
      ? `none: ${desire.why}`
      : desire.kind === "unreachable"
        ? `unreachable ${desire.nextHops.join(" ")}`
        : desire.route.type === "blackhole"
          ? "blackhole"
          : desire.route.hops.map((hop) => `via ${hop.via} dev ${hop.dev}${hop.onlink ? " onlink" : ""}`).join(" ");
  expect(text).toBe(want);
});

test("desireOf: a next hop that nothing leads to is said", () => {
  const lonely = deriveReachability([{ link: "down0", cidr: "192.168.90.1/24" }], [], new Set(), 179);
  expect(desireOf("172.31.0.0/16", [via("192.168.90.2")], { plan, reach: lonely })).toEqual({
    kind: "unreachable",
    nextHops: ["192.168.90.2"],
  });
});
