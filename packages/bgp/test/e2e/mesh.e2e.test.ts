import type { ChildProcess } from "node:child_process";
import { affinityKey, keyOf } from "@calico/model";
import { aNode, aPool, anObject } from "@calico/model/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { killChild, missingFor, openLab, until } from "./lab.ts";
import type { Lab, LabNode } from "./lab.ts";

const missing = missingFor("ip", "nsenter", "etcd", "etcdctl", "nats-server");
if (missing !== undefined) console.log(`bgp mesh e2e skipped: ${missing}`);

describe.skipIf(missing !== undefined)("two nodes", () => {
  let lab: Lab;
  let one: LabNode;
  let two: LabNode;
  let bgp1: ChildProcess;
  let bgp2: ChildProcess;

  const routes = (node: LabNode) =>
    lab
      .ip(node, "route", "show", "proto", "179")
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "");
  const established = async (node: LabNode) => (await lab.status(node)).peers.every((peer) => peer.state === "up");
  const write = (object: { kind: string; metadata: { name: string } }) =>
    lab.put(keyOf({ kind: object.kind as "Node", name: object.metadata.name }), object);

  beforeAll(async () => {
    lab = openLab("mesh");
    one = lab.addNode("node1", "192.168.81.101");
    two = lab.addNode("node2", "192.168.81.102");
    await lab.startBus();
    write(aNode("node1", "192.168.81.101/24"));
    write(aNode("node2", "192.168.81.102/24"));
    write(aPool("pool", "192.200.0.0/16"));
    lab.put(affinityKey("node1", "192.200.59.192/26"), { state: "confirmed", deleted: false });
    lab.put(affinityKey("node2", "192.200.203.0/26"), { state: "confirmed", deleted: false });
    bgp1 = lab.startBgp(one);
    bgp2 = lab.startBgp(two);
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  test("each has its own block as a blackhole and the other's through the other", async () => {
    await until("routes at node1", () => routes(one).length === 2);
    await until("routes at node2", () => routes(two).length === 2);
    expect(routes(one)).toEqual(["blackhole 192.200.59.192/26", "192.200.203.0/26 via 192.168.81.102 dev eth0"]);
    expect(routes(two)).toEqual(["192.200.59.192/26 via 192.168.81.101 dev eth0", "blackhole 192.200.203.0/26"]);
  });

  test("status says what calicoctl shows", async () => {
    await until("session", () => established(one));
    const { peers } = await lab.status(one);
    expect(peers).toMatchObject([
      { address: "192.168.81.102", type: "node-to-node mesh", state: "up", info: "Established", name: "Mesh_192_168_81_102" },
    ]);
    const health = JSON.parse(lab.exec(one, "curl", "-s", "http://127.0.0.1:9100/readiness")) as { ready: boolean };
    expect(health.ready).toBe(true);
  });

  test("a new block is told, a released one is withdrawn", async () => {
    lab.put(affinityKey("node1", "192.200.7.0/26"), { state: "pending", deleted: false });
    lab.put(affinityKey("node1", "192.200.8.0/26"), { state: "confirmed", deleted: false });
    await until("the new block at node2", () => routes(two).includes("192.200.8.0/26 via 192.168.81.101 dev eth0"));
    expect(routes(two).some((route) => route.includes("192.200.7.0"))).toBe(false);
    lab.remove(affinityKey("node1", "192.200.8.0/26"));
    await until("the block is gone", () => routes(two).length === 2 && routes(one).length === 2);
  });

  test("others' routes are not touched, ours are repaired", async () => {
    lab.ip(one, "route", "add", "10.99.0.0/16", "via", "192.168.81.102", "proto", "static");
    lab.ip(one, "route", "del", "192.200.203.0/26");
    await until("the route is back", () => routes(one).length === 2, 5_000);
    expect(lab.ip(one, "route", "show", "10.99.0.0/16")).toContain("proto static");
  });

  test("kill -9 of one: no route moves, and the session is back within seconds of its start", async () => {
    const before = [routes(one), routes(two)];
    await using watch = watchRoutes(lab, one);
    await killChild(bgp2);
    await until("node1 sees it", async () => !(await established(one)));
    expect([routes(one), routes(two)]).toEqual(before);
    expect((await lab.status(one)).peers[0]?.info).toContain("its routes are kept");
    bgp2 = lab.startBgp(two);
    const backMs = await until("session back", async () => (await established(one)) && (await established(two)), 10_000);
    console.log(`session back ${backMs} ms after the restart`);
    await until("recovered", async () => !(await lab.status(two)).restarting);
    expect([routes(one), routes(two)]).toEqual(before);
    expect((await lab.status(one)).rib.stale).toBe(0);
    expect(watch.seen()).toBe("");
  });

  test("while one is away, its released block stays; when it is back, the block goes", async () => {
    lab.put(affinityKey("node2", "192.200.9.0/26"), { state: "confirmed", deleted: false });
    await until("told", () => routes(one).length === 3);
    await killChild(bgp2);
    lab.remove(affinityKey("node2", "192.200.9.0/26"));
    await until("node1 sees it", async () => !(await established(one)));
    expect(routes(one)).toHaveLength(3);
    bgp2 = lab.startBgp(two);
    await until("swept at both", () => routes(one).length === 2 && routes(two).length === 2);
  });

  test("a stopped daemon leaves its routes", async () => {
    const before = routes(one);
    bgp1.kill("SIGTERM");
    await until("ended", () => bgp1.exitCode !== null);
    expect(bgp1.exitCode).toBe(0);
    expect(routes(one)).toEqual(before);
    bgp1 = lab.startBgp(one);
    await until("back", () => established(two), 10_000);
  });

  test("the loss of bus and store changes nothing, and what happened meanwhile is caught up with", async () => {
    await using watch = watchRoutes(lab, one);
    const before = [routes(one), routes(two)];
    await lab.killBus();
    await killChild(bgp2);
    await until("node1 sees the other's death", async () => !(await established(one)));
    bgp2 = lab.startBgp(two);
    await until(
      "node2 waits for the bus",
      () => lab.output("node2").lastIndexOf("starting") > lab.output("node2").lastIndexOf("feed in sync"),
    );
    expect([routes(one), routes(two)]).toEqual(before);
    await lab.startBus();
    await until("back", async () => (await established(one)) && (await established(two)), 20_000);
    expect([routes(one), routes(two)]).toEqual(before);
    expect(watch.seen()).toBe("");
  });

  test("peers that are configured no more take their routes with them", async () => {
    write(anObject("BGPConfiguration", { name: "default" }, { nodeToNodeMeshEnabled: false }));
    await until("no peers", async () => (await lab.status(one)).peers.length === 0);
    await until("only own blocks", () => routes(one).length === 1 && routes(two).length === 1);
  });
});

let watches = 0;

/** What `ip monitor route` says meanwhile in a node's main table. */
function watchRoutes(lab: Lab, node: LabNode) {
  const label = `watch-${node.name}-${watches++}`;
  const child = lab.start(node, label, ["ip", "monitor", "route"]);
  return {
    seen: () => lab.output(label),
    [Symbol.asyncDispose]: () => killChild(child),
  };
}
