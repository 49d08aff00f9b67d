import { StoreUnavailable } from "@calico/datastore";
import { expect, test } from "vitest";
import { aNetconf, anEnvironment, callPlugin, endpointsOf, leftIn, makeFakeWorld } from "../testing.ts";
import type { FakeWorld } from "../testing.ts";
import { makeAgent } from "./agent.ts";
import type { AgentOptions } from "./agent.ts";

const away = () => Promise.reject(new StoreUnavailable("etcd is away", { outcome: "notApplied" }));

/** The store refuses everything until the answer is called. */
function takeAway(world: FakeWorld): () => void {
  const { get, list, txn, create, update, put, delete: remove } = world.store;
  const real = { get, list, txn, create, update, put, delete: remove };
  Object.assign(world.store, { get: away, list: away, txn: away, create: away, update: away, put: away, delete: away });
  return () => Object.assign(world.store, real);
}

function agentOf(world: FakeWorld, o: Partial<AgentOptions> = {}) {
  const agent = makeAgent(world, { settings: world.settings, log: world.log, ...o });
  const ask = async (env: object = {}, conf: Record<string, unknown> = {}) => {
    const fields = new Map(Object.entries({ PLUGIN: "calico", STDIN: aNetconf(conf), ...anEnvironment(env) }));
    const { exit, stdout } = await agent.answer({ fields });
    return { exit, json: stdout === "" ? undefined : JSON.parse(stdout) };
  };
  return { ...agent, ask };
}

test("DEL while the datastore is away: succeeds, the device is gone; settled when it is back", async () => {
  const world = await makeFakeWorld();
  const agent = agentOf(world);
  await agent.ask();
  const back = takeAway(world);
  for (let i = 0; i < 2; i++) expect((await agent.ask({ CNI_COMMAND: "DEL" })).exit).toBe(0);
  expect(world.fakeKernel.namespaces.get("/run/netns/pod1")?.links.map((l) => l.name)).toEqual(["lo"]);
  expect(await agent.settle()).toEqual({ settled: 0, left: 1 });
  back();
  expect(await agent.settle()).toEqual({ settled: 1, left: 0 });
  expect(leftIn(world)).toEqual([]);
});

test.for([
  { name: "device", op: "deleteLink", msg: "cannot remove interface eth0", held: false },
  { name: "address", op: "deleteAddress", msg: "cannot take the addresses off interface eth0", held: true },
] as const)("DEL whose $name does not go: an address is given back once the pod does not have it", async ({ op: name, msg, held }) => {
  const world = await makeFakeWorld();
  const agent = agentOf(world);
  await agent.ask();
  world.fakeKernel.faults.push({ errno: 16, match: (op) => op.do === name });
  expect((await agent.ask({ CNI_COMMAND: "DEL" })).json).toMatchObject({ code: 102, msg });
  expect(leftIn(world).includes("/calico/ipam/v2/handle/k8s-pod-network.c1")).toBe(held);
  expect((await agent.ask({ CNI_COMMAND: "DEL" })).exit).toBe(0);
  expect(leftIn(world)).toEqual([]);
});

test("DEL whose address does not go, and no datastore: the kernel's error is the answer, and the agent lives", async () => {
  const world = await makeFakeWorld();
  const agent = agentOf(world);
  await agent.ask();
  takeAway(world);
  world.fakeKernel.faults.push({ errno: 1, match: (op) => op.do === "deleteAddress" });
  expect((await agent.ask({ CNI_COMMAND: "DEL" })).json).toMatchObject({ code: 102, msg: "cannot take the addresses off interface eth0" });
  expect((await agent.ask({ CNI_COMMAND: "DEL" })).exit).toBe(0);
});

test("a delete that waits holds no secret", async () => {
  const world = await makeFakeWorld();
  takeAway(world);
  await agentOf(world).ask({ CNI_COMMAND: "DEL" }, { policy: { type: "k8s", k8s_auth_token: "hush" } });
  const [waiting] = world.deletes.list();
  expect(JSON.stringify(waiting)).not.toMatch(/hush|kubeconfig/);
  expect(waiting?.entry?.env).toMatchObject({ CNI_CONTAINERID: "c1", CNI_NETNS: "" });
});

test("too many deletes wait: DEL says try again", async () => {
  const world = await makeFakeWorld();
  world.deletes = { ...world.deletes, put: () => false };
  takeAway(world);
  expect((await agentOf(world).ask({ CNI_COMMAND: "DEL" })).json.code).toBe(11);
});

test("a pod that was made again before its old container's delete is settled keeps what is its own", async () => {
  const world = await makeFakeWorld();
  const agent = agentOf(world);
  const first = await agent.ask();
  const back = takeAway(world);
  await agent.ask({ CNI_COMMAND: "DEL" });
  back();
  const second = await agent.ask({ CNI_CONTAINERID: "c2" });
  expect(second.json.ips).not.toEqual(first.json.ips);
  await agent.settle();
  expect(endpointsOf(world).map((e) => e.spec["containerID"])).toEqual(["c2"]);
  expect(leftIn(world)).toContain("/calico/ipam/v2/handle/k8s-pod-network.c2");
  expect(leftIn(world)).not.toContain("/calico/ipam/v2/handle/k8s-pod-network.c1");
});

test("ADD again of a container whose delete waits: nothing is taken from it later", async () => {
  const world = await makeFakeWorld();
  const agent = agentOf(world);
  await agent.ask();
  const back = takeAway(world);
  await agent.ask({ CNI_COMMAND: "DEL" });
  back();
  await agent.ask();
  expect(await agent.settle()).toEqual({ settled: 0, left: 0 });
  expect(endpointsOf(world)).toHaveLength(1);
});

test("a record that cannot be read, or can never work, does not wait for ever", async () => {
  const world = await makeFakeWorld();
  const removed: string[] = [];
  world.deletes = { ...world.deletes, list: () => [{ name: "odd", entry: undefined }], remove: (name) => void removed.push(name) };
  expect(await agentOf(world).settle()).toEqual({ settled: 1, left: 0 });
  expect(removed).toEqual(["odd"]);
  expect(world.lines.map((l) => l.message)).toContain("queued delete given up");
});

test("deadline: the call is answered, and what a late ADD made is taken back", async () => {
  const world = await makeFakeWorld();
  const gate = Promise.withResolvers<void>();
  const podOf = world.podOf;
  world.podOf = async (...args) => (await gate.promise, await podOf(...args));
  const agent = agentOf(world, { deadlinesMs: { ADD: 20, DEL: 5000 } });
  const late = await agent.ask();
  expect(late.json).toMatchObject({ code: 11, msg: "the call took too long", cniVersion: "0.3.0" });
  gate.resolve();
  // Waits for the container's lock, so until the late ADD is over.
  expect((await agent.ask({ CNI_COMMAND: "DEL" })).exit).toBe(0);
  expect(world.lines.some((l) => l.message === "call failed" && l.fields["details"] === "what it made is taken back")).toBe(true);
  expect(leftIn(world)).toEqual([]);
});

test("GC: an address and a device without an endpoint go; those of an ADD that is under way stay", async () => {
  const world = await makeFakeWorld();
  const agent = agentOf(world);
  const conf = { cniVersion: "1.1.0", "cni.dev/valid-attachments": [] };
  await world.datastoreOf(undefined).ipam.autoAssign({
    node: "node1",
    num4: 1,
    num6: 0,
    handle: "k8s-pod-network.dead",
    attrs: { node: "node1", pod: "x", namespace: "default" },
  });
  await world.kernel.host().addLink({ kind: "veth", name: "cali0dead", mac: "ee:ee:ee:ee:ee:ee", peer: { name: "x" } });
  const gate = Promise.withResolvers<void>();
  const wired = Promise.withResolvers<void>();
  const untilFile = world.untilFile;
  world.untilFile = async (...args) => (wired.resolve(), await gate.promise, await untilFile(...args));
  const adding = agent.ask();
  await wired.promise;
  expect((await agent.ask({ CNI_COMMAND: "GC", CNI_CONTAINERID: "" }, conf)).exit).toBe(0);
  gate.resolve();
  expect((await adding).exit).toBe(0);
  expect(leftIn(world)).toEqual([
    "/calico/ipam/v2/handle/k8s-pod-network.c1",
    "/calico/resources/v3/projectcalico.org/workloadendpoints/default/node1-k8s-nginx-eth0",
    "calic440f455693",
    "eth0",
  ]);
  expect((await agent.ask({ CNI_COMMAND: "GC", CNI_CONTAINERID: "" }, conf)).exit).toBe(0);
  expect(leftIn(world)).toEqual([]);
});

test("GC: addresses of another node and of another network are not ours to take", async () => {
  const world = await makeFakeWorld();
  const assign = (handle: string, node: string) =>
    world.datastoreOf(undefined).ipam.autoAssign({ node, num4: 1, num6: 0, handle, attrs: { node, pod: "x", namespace: "default" } });
  await assign("k8s-pod-network.far", "node2");
  await assign("other.near", "node1");
  const gc = { env: { CNI_COMMAND: "GC" }, conf: { cniVersion: "1.1.0", "cni.dev/valid-attachments": [] } };
  expect((await callPlugin(world, gc)).exit).toBe(0);
  expect(leftIn(world)).toEqual(["/calico/ipam/v2/handle/k8s-pod-network.far", "/calico/ipam/v2/handle/other.near"]);
});
