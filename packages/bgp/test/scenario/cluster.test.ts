/** Whole speakers against each other: sessions, routes and restarts, with time in the test's hand. */
import { aNode, aPool, anObject } from "@calico/model/testing";
import { describe, expect, test } from "vitest";
import { makeTestCluster } from "../../src/testing/speakers.ts";
import type { TestCluster, TestNode } from "../../src/testing/speakers.ts";

const A = "192.168.81.101";
const B = "192.168.81.102";
const C = "192.168.81.103";

async function pair(
  pool = aPool("pool", "192.200.0.0/16", { ipipMode: "Always" }),
): Promise<{ cluster: TestCluster; one: TestNode; two: TestNode }> {
  const cluster = makeTestCluster();
  const [one, two] = [cluster.node("one", A), cluster.node("two", B)];
  cluster.write(aNode("one", `${A}/24`), aNode("two", `${B}/24`), pool);
  cluster.affinity("one", "192.200.59.192/26");
  cluster.affinity("two", "192.200.203.0/26");
  await one.boot();
  await two.boot();
  await cluster.clock.advance(3_000);
  return { cluster, one, two };
}

describe("two nodes", () => {
  test("routes are the seed's", async () => {
    const { one, two } = await pair();
    expect(one.routes()).toEqual(["192.200.203.0/26 via 192.168.81.102 dev tunl0 onlink", "blackhole 192.200.59.192/26"]);
    expect(two.routes()).toEqual(["192.200.59.192/26 via 192.168.81.101 dev tunl0 onlink", "blackhole 192.200.203.0/26"]);
    expect(one.status().restarting).toBe(false);
  });

  test("a block taken, pending, and given back", async () => {
    const { cluster, two } = await pair();
    cluster.affinity("one", "192.200.1.0/26");
    cluster.affinity("one", "192.200.2.0/26", "pending");
    await cluster.clock.advance(100);
    expect(two.routes().filter((route) => !route.startsWith("blackhole"))).toHaveLength(2);
    cluster.release("one", "192.200.1.0/26");
    await cluster.clock.advance(100);
    expect(two.routes()).toHaveLength(2);
  });

  test("a killed speaker's routes stay, and its return moves none", async () => {
    const { cluster, one, two } = await pair();
    const before = [one.routes(), two.routes()];
    const writes = [one.kernel.log.length, two.kernel.log.length];
    two.kill();
    await cluster.clock.advance(60_000);
    expect(one.status().peers[0]?.routesStale).toBe(true);
    expect([one.routes(), two.routes()]).toEqual(before);
    await two.boot();
    await cluster.clock.advance(3_000);
    expect(one.status().peers[0]?.state).toBe("up");
    expect([one.routes(), two.routes()]).toEqual(before);
    expect([one.kernel.log.length, two.kernel.log.length]).toEqual(writes);
    expect(one.status().rib.stale).toBe(0);
  });

  test("a block given back while its node's speaker is away goes when that is back", async () => {
    const { cluster, one, two } = await pair();
    two.kill();
    cluster.release("two", "192.200.203.0/26");
    await cluster.clock.advance(10_000);
    expect(one.routes()).toHaveLength(2);
    await two.boot();
    await cluster.clock.advance(3_000);
    expect(one.routes()).toEqual(["blackhole 192.200.59.192/26"]);
    expect(two.routes()).toEqual(["192.200.59.192/26 via 192.168.81.101 dev tunl0 onlink"]);
  });

  test("a speaker that does not come back loses its routes when its restart time is over", async () => {
    const { cluster, one, two } = await pair();
    two.kill();
    await cluster.clock.advance(119_000);
    expect(one.routes()).toHaveLength(2);
    await cluster.clock.advance(2_000);
    expect(one.routes()).toEqual(["blackhole 192.200.59.192/26"]);
  });

  test("a speaker that dies again and again keeps its routes only so long", async () => {
    const { cluster, one, two } = await pair();
    for (let i = 0; i < 4; i++) {
      two.kill();
      await cluster.clock.advance(30_000);
      expect(one.routes()).toHaveLength(2);
      await two.boot();
      await cluster.clock.advance(3_000);
    }
    two.kill();
    await cluster.clock.advance(121_000);
    expect(one.routes()).toHaveLength(1);
  });

  test("a node that vanishes without a word is dead after the hold time", async () => {
    const { cluster, one } = await pair();
    cluster.network.cut(B);
    await cluster.clock.advance(80_000);
    expect(one.routes()).toHaveLength(2);
    await cluster.clock.advance(12_000);
    expect(one.routes()).toHaveLength(1);
    cluster.network.restore(B);
    await cluster.clock.advance(40_000);
    expect(one.routes()).toHaveLength(2);
  });

  test("routes of a former life that nobody tells of any more are removed, after recovery and not before", async () => {
    const { cluster, one, two } = await pair();
    one.kill();
    two.kill();
    one.kernel.own.set("192.200.66.0/26", { dst: "192.200.66.0/26", type: "unicast", hops: [{ via: B, dev: "tunl0", onlink: true }] });
    await one.boot();
    await cluster.clock.advance(5_000);
    expect(one.status()).toMatchObject({ restarting: true, waitingFor: [B] });
    expect(one.routes()).toHaveLength(3);
    await two.boot();
    await cluster.clock.advance(5_000);
    expect(one.routes()).toHaveLength(2);
  });

  test("if the other never comes, recovery ends with the restart time", async () => {
    const { cluster, one, two } = await pair();
    one.kill();
    two.kill();
    await one.boot();
    await cluster.clock.advance(119_000);
    expect(one.routes()).toHaveLength(2);
    await cluster.clock.advance(2_000);
    expect(one.routes()).toEqual(["blackhole 192.200.59.192/26"]);
  });

  test("recovery begins when the node is known, and waits no longer for a dead peer than its restart time", async () => {
    const cluster = makeTestCluster();
    const one = cluster.node("one", A);
    one.kernel.own.set("192.200.66.0/26", { dst: "192.200.66.0/26", type: "unicast", hops: [{ via: B, dev: "eth0" }] });
    await one.boot();
    await cluster.clock.advance(300_000);
    expect(one.status().disabled).toContain('there is no Node "one"');
    cluster.write(aNode("one", `${A}/24`), aNode("two", `${B}/24`));
    await cluster.clock.advance(119_000);
    expect(one.routes()).toHaveLength(1);
    await cluster.clock.advance(2_000);
    expect(one.routes()).toEqual([]);
  });

  test("another's route in our place is left alone and said, and taken when it goes", async () => {
    const { cluster, one } = await pair();
    one.kernel.foreign.add("192.200.3.0/26");
    cluster.affinity("two", "192.200.3.0/26");
    await cluster.clock.advance(1_000);
    expect(one.status().routes.find((route) => route.destination === "192.200.3.0/26")?.problem).toContain("another program's route");
    one.kernel.foreign.clear();
    await cluster.clock.advance(31_000);
    expect(one.routes()).toContain("192.200.3.0/26 via 192.168.81.102 dev tunl0 onlink");
  });

  test("a route that somebody removed comes back, at once if the kernel says so", async () => {
    const { cluster, one } = await pair();
    one.kernel.own.delete("192.200.203.0/26");
    one.kernel.notify({ view: false, gone: ["192.200.203.0/26"] });
    await cluster.clock.advance(200);
    expect(one.routes()).toHaveLength(2);
    one.kernel.own.delete("192.200.203.0/26");
    await cluster.clock.advance(61_000);
    expect(one.routes()).toHaveLength(2);
  });

  test("a pool that changes its mode moves its routes", async () => {
    const { cluster, one } = await pair();
    cluster.write(aPool("pool", "192.200.0.0/16"));
    await cluster.clock.advance(100);
    expect(one.routes()).toContain("192.200.203.0/26 via 192.168.81.102 dev eth0");
    cluster.write(aPool("pool", "192.200.0.0/16", { vxlanMode: "Always" }));
    await cluster.clock.advance(100);
    expect(one.routes()).toEqual(["blackhole 192.200.59.192/26"]);
  });

  test("a pool that is not exported any more is withdrawn", async () => {
    const { cluster, one } = await pair();
    cluster.write(aPool("pool", "192.200.0.0/16", { disableBGPExport: true }));
    await cluster.clock.advance(100);
    expect(one.routes()).toEqual(["blackhole 192.200.59.192/26"]);
  });

  test("the device of the tunnel appears later", async () => {
    const { cluster, one } = await pair();
    one.kernel.devices.delete("tunl0");
    cluster.affinity("two", "192.200.4.0/26");
    await cluster.clock.advance(500);
    expect(one.status().rib.kernel.failed).toBe(1);
    one.kernel.devices.add("tunl0");
    one.kernel.notify({ view: true, gone: [] });
    await cluster.clock.advance(500);
    expect(one.routes()).toHaveLength(3);
  });

  test("the recorder tells a peer's story", async () => {
    const { one } = await pair();
    const story = one.history(B).map((entry) => entry.what);
    expect(story.join("\n")).toMatch(/OPEN as 64512[^]*END-OF-RIB v4/);
  });
});

describe("explicit peers", () => {
  test("a route reflector passes routes between clients, and their next hop stays", async () => {
    const cluster = makeTestCluster();
    const nodes = [cluster.node("one", A), cluster.node("two", B), cluster.node("rr", C)];
    cluster.write(
      aNode("one", `${A}/24`),
      aNode("two", `${B}/24`),
      aNode("rr", `${C}/24`, { bgp: { ipv4Address: `${C}/24`, routeReflectorClusterID: "1.0.0.1" } }, { role: "rr" }),
      aPool("pool", "192.200.0.0/16"),
      anObject("BGPConfiguration", { name: "default" }, { nodeToNodeMeshEnabled: false }),
      anObject("BGPPeer", { name: "to-rr" }, { nodeSelector: "!has(role)", peerSelector: "role == 'rr'" }),
    );
    cluster.affinity("one", "192.200.59.192/26");
    cluster.affinity("two", "192.200.203.0/26");
    for (const node of nodes) await node.boot();
    await cluster.clock.advance(10_000);
    expect(nodes.map((node) => node.status().peers.map((peer) => `${peer.type} ${peer.address} ${peer.state}`))).toEqual([
      [`node specific ${C} up`],
      [`node specific ${C} up`],
      [`node specific ${A} up`, `node specific ${B} up`],
    ]);
    expect(nodes[0]?.routes()).toEqual([`192.200.203.0/26 via ${B} dev eth0`, "blackhole 192.200.59.192/26"]);
    expect(nodes[2]?.routes()).toHaveLength(2);
  });

  test("both ends dial at once, one session comes of it", async () => {
    const cluster = makeTestCluster();
    const nodes = [cluster.node("one", A), cluster.node("two", B)];
    cluster.write(
      aNode("one", `${A}/24`),
      aNode("two", `${B}/24`),
      anObject("BGPConfiguration", { name: "default" }, { nodeToNodeMeshEnabled: false }),
      anObject("BGPPeer", { name: "a" }, { node: "one", peerIP: B }),
      anObject("BGPPeer", { name: "b" }, { node: "two", peerIP: A }),
    );
    for (const node of nodes) await node.boot();
    await cluster.clock.advance(10_000);
    expect(nodes.map((node) => node.status().peers[0]?.bgpState)).toEqual(["Established", "Established"]);
    const sessions = nodes.map((node) => node.log.lines.filter((line) => line.message === "session up").length);
    expect(sessions).toEqual([1, 1]);
  });

  test("a peer that needs what we cannot do is not started, and says so", async () => {
    const cluster = makeTestCluster();
    const one = cluster.node("one", A);
    cluster.write(
      aNode("one", `${A}/24`),
      anObject(
        "BGPPeer",
        { name: "tor" },
        { peerIP: "192.168.81.1", asNumber: 65000, password: { secretKeyRef: { name: "s", key: "k" } } },
      ),
    );
    await one.boot();
    await cluster.clock.advance(1_000);
    expect(one.status().peers).toMatchObject([
      { state: "down", info: 'Idle: BGPPeer "tor" asks for password (TCP MD5): not supported yet' },
    ]);
  });
});
