/** Tunnels on a real kernel: the VXLAN device with its ends and routes; IPIP where the kernel has it, a clear word where not. Needs root. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { aNode, aPool } from "@calico/model/testing";
import { blockKey, parseKey } from "@calico/model";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { FeedEvent } from "../../src/domain/feed-event.ts";
import { deleted, updated } from "../../src/testing.ts";
import { makeNode, until } from "./node.ts";
import type { TestNode } from "./node.ts";

let node: TestNode;
let felix: ReturnType<TestNode["startFelix"]>;
beforeAll(async () => {
  node = await makeNode("vxlan");
  felix = node.startFelix({ backend: "nft", refreshMs: 300 });
});
afterAll(async () => {
  await felix?.stop();
  await node?.remove();
});

function block(cidr: string, owner: string): FeedEvent {
  const key = blockKey(cidr);
  return {
    kind: "updated",
    key,
    ref: parseKey(key)!,
    value: { cidr, affinity: `host:${owner}`, allocations: [], unallocated: [], attributes: [] },
    revision: 5,
  };
}
const pool = (spec: object) => updated(aPool("pods", "10.0.0.0/16", spec));
const change = async (...events: FeedEvent[]) => {
  const before = felix.applied.length;
  felix.feed.push(...events);
  await until("the change is in the kernel", () => felix.applied.length > before);
};
const node2 = aNode("node2", "192.168.81.102/24", { ipv4VXLANTunnelAddr: "10.0.1.0" });
const node3 = aNode("node3", "172.16.0.3/24", { ipv4VXLANTunnelAddr: "10.0.2.0", vxlanTunnelMACAddr: "66:00:00:00:00:03" });

test("VXLAN: device, address, ends, routes, MTU file", async () => {
  const events = [
    pool({ vxlanMode: "CrossSubnet" }),
    updated(aNode("node1", "192.168.81.101/24", { ipv4VXLANTunnelAddr: "10.0.0.0" })),
    updated(node2),
    updated(node3),
  ];
  await change(...events, block("10.0.0.0/26", "node1"), block("10.0.1.0/26", "node2"), block("10.0.2.0/26", "node3"), {
    kind: "inSync",
    revision: 9,
  });
  expect(felix.log.lines.filter((l) => l.message.includes("failed"))).toEqual([]);
  const link = node.sh("ip -d link show vxlan.calico");
  expect(link).toContain("vxlan id 4096 local 192.168.81.101 dev eth0 srcport 0 0 dstport 4789 nolearning");
  expect(link).toContain("link/ether 66:f9:37:c3:7e:94");
  expect(link).toContain("mtu 1450");
  expect(node.sh("ip addr show dev vxlan.calico")).toContain("inet 10.0.0.0/32");
  expect(node.sh("bridge fdb show dev vxlan.calico")).toContain("66:00:00:00:00:03 dst 172.16.0.3 self permanent");
  expect(node.sh("ip neigh show dev vxlan.calico")).toContain("10.0.2.0 lladdr 66:00:00:00:00:03 PERMANENT");
  const routes = node.sh("ip -N route");
  expect(routes).toContain("10.0.2.0/26 via 10.0.2.0 dev vxlan.calico proto 80 onlink");
  expect(routes).toContain("10.0.1.0/26 via 192.168.81.102 dev eth0 proto 80");
  expect(routes).not.toContain("10.0.0.0/26");
  expect(readFileSync(join(node.dir, "mtu"), "utf8")).toBe("1450\n");
});

test("VXLAN: a deleted device comes back with all that is on it, and is reported", async () => {
  node.sh("ip link del vxlan.calico");
  await until("the route is back", () => node.sh("ip -N route").includes("10.0.2.0/26 via 10.0.2.0 dev vxlan.calico"));
  await until("it is reported", () => felix.applied.some((a) => a.repaired.includes("device vxlan.calico")));
  expect(node.sh("bridge fdb show dev vxlan.calico")).toContain("66:00:00:00:00:03 dst 172.16.0.3 self permanent");
});

test("VXLAN: a node that goes takes its end and route with it", async () => {
  await change(deleted(node3));
  expect(node.sh("ip -N route")).not.toContain("10.0.2.0/26");
  expect(node.sh("bridge fdb show dev vxlan.calico")).not.toContain("66:00:00:00:00:03");
});

test("IPIP: tunl0 is up with its address, or the status says why not; the VXLAN device is gone", async () => {
  await change(
    pool({ ipipMode: "Always" }),
    updated(aNode("node1", "192.168.81.101/24", { bgp: { ipv4Address: "192.168.81.101/24", ipv4IPIPTunnelAddr: "10.0.0.1" } })),
  );
  expect(node.sh("ip link")).not.toContain("vxlan.calico");
  expect(node.sh("ip -N route")).not.toContain("proto 80");
  const faults = (felix.felix.health().detail as { tunnelFaults: Record<string, string> }).tunnelFaults;
  if (node.sh("ip link").includes("tunl0")) expect(node.sh("ip addr show tunl0")).toContain("inet 10.0.0.1/32");
  else {
    expect(faults["ipip"]).toMatch(/this kernel makes no IPIP device: .+/);
    expect(felix.log.lines.filter((l) => l.message === "tunnel not available")).toHaveLength(1);
  }
  expect(felix.felix.health().ready).toBe(true);
});
