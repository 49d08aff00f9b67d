/** Calls that meet: about one container, about one pod, and those that were answered before they were over. */
import { StoreUnavailable } from "@calico/datastore";
import { addFakeNetns } from "@calico/linux/testing";
import { afterEach, expect, test, vi } from "vitest";
import { aNetconf, anEnvironment, endpointsOf, leftIn, makeFakeWorld } from "../testing.ts";
import type { FakeWorld } from "../testing.ts";
import type { Datastore } from "../ports.ts";
import { makeAgent } from "./agent.ts";
import type { AgentOptions } from "./agent.ts";

afterEach(() => void vi.useRealTimers());

const C2 = { CNI_CONTAINERID: "c2", CNI_NETNS: "/run/netns/pod2" };
const DEL = { CNI_COMMAND: "DEL" };
const HANDLE = "/calico/ipam/v2/handle/k8s-pod-network.c1";
const GONE = { CNI_COMMAND: "DEL", CNI_NETNS: "" };

async function makeNode(o: Partial<AgentOptions> = {}) {
  const world = await makeFakeWorld();
  addFakeNetns(world.fakeKernel, "/run/netns/pod2");
  const agent = makeAgent(world, { settings: world.settings, log: world.log, ...o });
  /** `env` may name another plugin, too. */
  const ask = async (env: object = {}, conf: Record<string, unknown> = {}) => {
    const fields = new Map(Object.entries({ PLUGIN: "calico", STDIN: aNetconf(conf), ...anEnvironment(env) }));
    const { exit, stdout } = await agent.answer({ fields });
    return { exit, json: stdout === "" ? undefined : JSON.parse(stdout) };
  };
  return { world, agent, ask };
}

type Step = "create" | "releaseByHandle" | "delete" | "list" | "allocationsOf";

/** The first such step, or the one that is said, waits until the gate is opened, before or after it is done. */
function hold(world: FakeWorld, step: Step, { when = "before", nth = 1 }: { when?: "before" | "after"; nth?: number } = {}) {
  const gate = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  let left = nth;
  const held =
    <A extends unknown[], R>(action: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      const isMeant = step !== "create" || (args[0] as { kind?: string }).kind === "WorkloadEndpoint";
      if (!isMeant || --left !== 0) return await action(...args);
      const early = when === "after" ? await action(...args) : undefined;
      reached.resolve();
      await gate.promise;
      return when === "after" ? (early as R) : await action(...args);
    };
  const { resources, ipam, ...rest } = world.datastoreOf(undefined);
  const datastore: Datastore = {
    ...rest,
    ...(step === "allocationsOf" ? { allocationsOf: held(rest.allocationsOf) } : {}),
    ipam: step === "releaseByHandle" ? { ...ipam, releaseByHandle: held(ipam.releaseByHandle) } : ipam,
    resources: {
      ...resources,
      ...(step === "create" ? { create: held(resources.create) as typeof resources.create } : {}),
      ...(step === "list" ? { list: held(resources.list) as typeof resources.list } : {}),
      ...(step === "delete" ? { delete: held(resources.delete) as typeof resources.delete } : {}),
    },
  };
  world.datastoreOf = () => datastore;
  return { open: () => gate.resolve(), reached: reached.promise };
}

/** Whatever can go on does. */
async function settleDown(): Promise<void> {
  for (let i = 0; i < 50; i++) await new Promise(setImmediate);
}

const owners = (world: FakeWorld) => endpointsOf(world).map((e) => e.spec["containerID"]);
const podDevices = (world: FakeWorld, netns: string) =>
  world.fakeKernel.namespaces
    .get(netns)
    ?.links.map((l) => l.name)
    .filter((name) => name !== "lo");

test("a second DEL of an old container while the new one's ADD has its device but no endpoint yet: the device stays", async () => {
  const { world, ask } = await makeNode();
  const { open, reached } = hold(world, "create");
  const adding = ask(C2);
  await reached;
  const deleting = ask(GONE);
  await settleDown();
  open();
  expect([(await adding).exit, (await deleting).exit]).toEqual([0, 0]);
  expect(podDevices(world, "/run/netns/pod2")).toEqual(["eth0"]);
  expect(owners(world)).toEqual(["c2"]);
});

test("an ADD that comes to itself after its deadline: the device and the endpoint of the pod's newer container stay", async () => {
  const { world, ask } = await makeNode({ deadlinesMs: { ADD: 50 } });
  const gate = Promise.withResolvers<void>();
  const { podOf } = world;
  let isFirst = true;
  const { ipam, ...rest } = world.datastoreOf(undefined);
  let asked = 0;
  world.datastoreOf = () => ({ ...rest, ipam: { ...ipam, autoAssign: async (request) => (asked++, await ipam.autoAssign(request)) } });
  world.podOf = async (...args) => {
    if (isFirst) await ((isFirst = false), gate.promise);
    return await podOf(...args);
  };
  expect((await ask()).json.code).toBe(11);
  expect((await ask(C2)).exit).toBe(0);
  const changes = world.fakeKernel.recorded.length;
  gate.resolve();
  await settleDown();
  expect(asked).toBe(1);
  expect(world.fakeKernel.recorded).toHaveLength(changes);
  expect(podDevices(world, "/run/netns/pod2")).toEqual(["eth0"]);
  expect(owners(world)).toEqual(["c2"]);
  expect(leftIn(world)).not.toContain(HANDLE);
});

test("an ADD that a newer container of the pod overtook gives up, and takes back what is its own", async () => {
  const { world, ask } = await makeNode();
  const { open, reached } = hold(world, "create");
  const older = ask();
  await reached;
  const newer = ask(C2);
  await settleDown();
  open();
  expect((await older).json).toMatchObject({ code: 11, msg: "container c2 of the same pod came meanwhile" });
  expect((await newer).exit).toBe(0);
  expect(podDevices(world, "/run/netns/pod1")).toEqual([]);
  expect(podDevices(world, "/run/netns/pod2")).toEqual(["eth0"]);
  expect(owners(world)).toEqual(["c2"]);
  expect(leftIn(world)).not.toContain(HANDLE);
});

test("a late ADD takes its endpoint back, too", async () => {
  const { world, ask } = await makeNode({ deadlinesMs: { ADD: 30, DEL: 5000 } });
  const { open } = hold(world, "create", { when: "after" });
  expect((await ask()).json.code).toBe(11);
  expect(owners(world)).toEqual(["c1"]);
  open();
  await settleDown();
  expect(leftIn(world)).toEqual([]);
});

test("an ADD whose endpoint cannot be taken back keeps its address, until DEL", async () => {
  const { world, ask } = await makeNode();
  const { resources, ...rest } = world.datastoreOf(undefined);
  let isAway = true;
  const away = async () => Promise.reject(new StoreUnavailable("away", { outcome: "unknown" }));
  world.datastoreOf = () => ({
    ...rest,
    resources: {
      ...resources,
      async create(object) {
        const made = await resources.create(object);
        return object.kind === "WorkloadEndpoint" ? await away() : made;
      },
      delete: (...args) => (isAway ? away() : resources.delete(...args)),
    },
  });
  expect((await ask()).json.code).toBe(11);
  expect(owners(world)).toEqual(["c1"]);
  expect(leftIn(world)).toContain(HANDLE);
  isAway = false;
  expect((await ask(DEL)).exit).toBe(0);
  expect(leftIn(world)).toEqual([]);
});

test.for(["calico", "calico-ipam"])(
  "a DEL by %s that was put aside and still runs: ADD waits for it, and has its address for itself",
  async (PLUGIN) => {
    const { world, ask } = await makeNode();
    await ask({ PLUGIN });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const { open, reached } = hold(world, "releaseByHandle");
    const deleting = ask({ ...DEL, PLUGIN });
    await reached;
    await vi.advanceTimersByTimeAsync(3000);
    expect((await deleting).exit).toBe(0);
    expect(world.deletes.list()).toHaveLength(1);
    const adding = ask({ PLUGIN });
    await settleDown();
    open();
    expect((await adding).exit).toBe(0);
    await settleDown();
    expect(world.deletes.list()).toEqual([]);
    expect(owners(world)).toEqual(PLUGIN === "calico" ? ["c1"] : []);
    expect(leftIn(world)).toContain(HANDLE);
  },
);

test("a DEL that is put aside at once, its device still going: the agent lives", async () => {
  const { world, ask } = await makeNode();
  await ask();
  world.datastoreOf = () => {
    throw new StoreUnavailable("away", { outcome: "unknown" });
  };
  const gate = Promise.withResolvers<void>();
  const { pod } = world.kernel;
  world.kernel.pod = (path) => {
    const netlink = pod(path);
    const deleteLink = async (name: string) => (await gate.promise, await netlink?.deleteLink(name));
    return netlink && Object.assign(Object.create(netlink) as typeof netlink, { deleteLink });
  };
  const deleting = ask(DEL);
  await settleDown(); // a rejection that nobody waits for would end the process here
  gate.resolve();
  expect((await deleting).exit).toBe(0);
  expect(world.deletes.list()).toHaveLength(1);
});

test("a DEL that is put aside and never ends keeps no ADD beyond its deadline", async () => {
  const { world, ask } = await makeNode();
  await ask();
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const { reached } = hold(world, "releaseByHandle");
  const deleting = ask(DEL);
  await reached;
  await vi.advanceTimersByTimeAsync(3000);
  await deleting;
  const adding = ask();
  await vi.advanceTimersByTimeAsync(80_000);
  expect((await adding).json.code).toBe(11);
});

test("a call that waited beyond its deadline is not begun any more", async () => {
  const { world, ask } = await makeNode({ deadlinesMs: { ADD: 5000, DEL: 20 } });
  const { open, reached } = hold(world, "create");
  const adding = ask();
  await reached;
  expect((await ask(DEL)).json.code).toBe(11);
  open();
  expect((await adding).exit).toBe(0);
  await settleDown();
  expect(owners(world)).toEqual(["c1"]);
});

test("an ADD during a round of settling makes the container's queued delete void", async () => {
  const { world, agent, ask } = await makeNode();
  const other = { CNI_CONTAINERID: "c0", CNI_NETNS: "/run/netns/pod2", CNI_ARGS: "K8S_POD_NAMESPACE=default;K8S_POD_NAME=other" };
  for (const env of [other, {}]) await ask(env);
  const { datastoreOf } = world;
  world.datastoreOf = () => {
    throw new StoreUnavailable("away", { outcome: "unknown" });
  };
  for (const env of [other, {}]) expect((await ask({ ...env, ...DEL })).exit).toBe(0);
  world.datastoreOf = datastoreOf;
  const { open, reached } = hold(world, "releaseByHandle");
  const settling = agent.settle();
  await reached;
  expect((await ask()).exit).toBe(0);
  open();
  await settling;
  expect(owners(world)).toEqual(["c1"]);
  expect(leftIn(world)).toContain(HANDLE);
  expect(leftIn(world)).not.toContain(HANDLE.replace("c1", "c0"));
});

test("ADD of another interface of the container makes its queued delete void: they share the address's handle", async () => {
  const { world, agent, ask } = await makeNode();
  await ask();
  const { datastoreOf } = world;
  world.datastoreOf = () => {
    throw new StoreUnavailable("away", { outcome: "unknown" });
  };
  await ask(DEL);
  world.datastoreOf = datastoreOf;
  await ask({ CNI_IFNAME: "eth1" });
  expect(await agent.settle()).toEqual({ settled: 0, left: 0 });
  expect(leftIn(world)).toContain(HANDLE);
});

test("a datastore that is away for good, and a record that cannot be read, keep back no others", async () => {
  const { world, agent, ask } = await makeNode();
  await ask();
  const { datastoreOf } = world;
  let tried = 0;
  world.datastoreOf = (target) => {
    if (target?.endpoints[0]?.includes("old") !== true) return datastoreOf(target);
    tried++;
    throw new StoreUnavailable("away", { outcome: "unknown" });
  };
  const entry = (id: string, etcd: string) => ({
    plugin: "calico" as const,
    env: anEnvironment({ ...GONE, CNI_CONTAINERID: id }),
    conf: JSON.parse(aNetconf({ etcd_endpoints: etcd })) as Record<string, unknown>,
    queuedAt: "2026-08-01T10:00:00Z",
  });
  for (const id of ["a", "b"]) world.deletes.put(entry(id, "http://old:2379"));
  world.deletes.put(entry("c1", "http://127.0.0.1:2379"));
  const { list } = world.deletes;
  world.deletes = { ...world.deletes, list: () => [{ name: "z.json", entry: undefined, problem: new Error("EISDIR") }, ...list()] };
  expect(await agent.settle()).toEqual({ settled: 1, left: 3 });
  expect(tried).toBe(1);
  expect(leftIn(world)).not.toContain(HANDLE);
  expect(world.lines.filter((l) => l.message === "queued delete not settled").map((l) => l.fields["reason"])).toEqual(["EISDIR"]);
});

test("a queue that cannot be read ends no agent", async () => {
  const { world, agent } = await makeNode();
  world.deletes = {
    ...world.deletes,
    list: () => {
      throw new Error("EIO");
    },
  };
  expect(await agent.settle()).toEqual({ settled: 0, left: 0 });
  expect(world.lines.map((l) => l.message)).toContain("queued deletes cannot be read");
});

test("a delete that cannot be put aside: DEL says try again", async () => {
  const { world, ask } = await makeNode();
  world.datastoreOf = () => {
    throw new StoreUnavailable("away", { outcome: "unknown" });
  };
  world.deletes = {
    ...world.deletes,
    put: () => {
      throw new Error("ENOSPC");
    },
  };
  expect((await ask(DEL)).json).toMatchObject({ code: 11, details: expect.stringContaining("ENOSPC") });
});

test.for([
  { name: "another pod's", netns: "/run/netns/pod2" },
  { name: "the node's own", netns: "/proc/1/ns/net" },
])("DEL with a path that is $name by now: only its own device goes", async ({ netns }) => {
  const { world, ask } = await makeNode();
  await ask({ ...C2, CNI_ARGS: "K8S_POD_NAMESPACE=default;K8S_POD_NAME=other" });
  await ask();
  await world.kernel.host().addLink({ kind: "bridge", name: "eth0", up: true });
  expect((await ask({ ...DEL, CNI_NETNS: netns })).exit).toBe(0);
  expect(podDevices(world, "/run/netns/pod2")).toEqual(["eth0"]);
  expect(podDevices(world, "/run/netns/pod1")).toEqual([]);
  expect((await world.kernel.host().links()).map((l) => l.name)).toContain("eth0");
  expect(owners(world)).toEqual(["c2"]);
});

test("ADD with the node's own namespace is refused", async () => {
  const { world, ask } = await makeNode();
  expect((await ask({ CNI_NETNS: "/proc/1/ns/net" })).json).toMatchObject({ code: 8 });
  expect(leftIn(world)).toEqual([]);
});

const NOTHING_VALID = { cniVersion: "1.1.0", "cni.dev/valid-attachments": [] };

test("GC: a pod that was added while it worked is not in its list, and stays", async () => {
  const { world, ask } = await makeNode();
  const { open, reached } = hold(world, "allocationsOf");
  const collecting = ask({ CNI_COMMAND: "GC" }, NOTHING_VALID);
  await reached;
  expect((await ask()).exit).toBe(0);
  open();
  expect((await collecting).exit).toBe(0);
  expect(owners(world)).toEqual(["c1"]);
  expect(leftIn(world)).toContain(HANDLE);
  expect(podDevices(world, "/run/netns/pod1")).toEqual(["eth0"]);
});

test("GC: ADD of a container that is being collected comes after, and loses nothing", async () => {
  const { world, ask } = await makeNode();
  await ask();
  const { open, reached } = hold(world, "releaseByHandle");
  const collecting = ask({ CNI_COMMAND: "GC" }, NOTHING_VALID);
  await reached;
  const adding = ask();
  await settleDown();
  open();
  expect((await collecting).exit).toBe(0);
  expect((await adding).exit).toBe(0);
  expect(owners(world)).toEqual(["c1"]);
  expect(leftIn(world)).toContain(HANDLE);
  expect(podDevices(world, "/run/netns/pod1")).toEqual(["eth0"]);
});

test("GC: an address of a container that was added while GC looked who has it stays", async () => {
  const { world, ask } = await makeNode();
  const leaked = { node: "node1", num4: 1, num6: 0, handle: "k8s-pod-network.c1", attrs: { node: "node1" } };
  await world.datastoreOf(undefined).ipam.autoAssign(leaked);
  const { open, reached } = hold(world, "list", { when: "after" });
  const PLUGIN = "calico-ipam";
  const collecting = ask({ PLUGIN, CNI_COMMAND: "GC" }, NOTHING_VALID);
  await reached;
  expect((await ask({ PLUGIN })).exit).toBe(0);
  open();
  expect((await collecting).exit).toBe(0);
  expect(leftIn(world)).toContain(HANDLE);
});

test("GC: a container whose DEL does not get on is left to that, and the others are collected", async () => {
  const { world, ask } = await makeNode();
  await ask();
  await ask({ ...C2, CNI_ARGS: "K8S_POD_NAMESPACE=default;K8S_POD_NAME=other" });
  const { open, reached } = hold(world, "delete");
  const deleting = ask(DEL);
  await reached;
  expect((await ask({ CNI_COMMAND: "GC" }, NOTHING_VALID)).exit).toBe(0);
  expect(owners(world)).toEqual(["c1"]);
  open();
  expect((await deleting).exit).toBe(0);
  expect(leftIn(world)).toEqual([]);
});

test("DEL without the pod's namespace: the address is free when the device is gone, which it takes from the node's side", async () => {
  const { world, ask } = await makeNode();
  await ask();
  const { open, reached } = hold(world, "releaseByHandle");
  const deleting = ask(GONE);
  await reached;
  expect(podDevices(world, "/run/netns/pod1")).toEqual([]);
  open();
  expect((await deleting).exit).toBe(0);
});

test.for([
  { name: "is longer than the call may take", wait: 100, deadlineMs: 5000, want: [expect.any(Number)] },
  { name: "does not fit in any more", wait: 100, deadlineMs: 1000, want: [0] },
])("a policy wait that $name ends before the call does", async ({ wait, deadlineMs, want }) => {
  const { world, ask } = await makeNode({ deadlinesMs: { ADD: deadlineMs } });
  expect((await ask({}, { policy_setup_timeout_seconds: wait })).exit).toBe(0);
  const waited = world.waits.map((w) => w.timeoutMs);
  expect(waited).toEqual(want);
  expect(Math.max(...waited)).toBeLessThan(deadlineMs);
});

test("a folder that cannot be watched keeps no pod from starting", async () => {
  const { world, ask } = await makeNode();
  world.untilFile = async () => Promise.reject(new Error("ENOSPC: no inotify watches left"));
  expect((await ask()).exit).toBe(0);
  expect(world.lines.some((l) => l.level === "warn" && l.fields["reason"] === "ENOSPC: no inotify watches left")).toBe(true);
});

const PLAIN = { CNI_ARGS: "" };

test("outside of Kubernetes: DEL of a network that joined leaves the first one's device; the first one's takes it", async () => {
  const { world, ask } = await makeNode();
  for (const name of ["n1", "n2"]) expect((await ask(PLAIN, { policy: {}, name })).exit).toBe(0);
  expect((await ask({ ...PLAIN, ...DEL }, { policy: {}, name: "n2" })).exit).toBe(0);
  expect(podDevices(world, "/run/netns/pod1")).toEqual(["eth0"]);
  expect(endpointsOf(world).map((e) => e.spec["profiles"])).toEqual([["n1"]]);
  expect(leftIn(world)).toContain("/calico/ipam/v2/handle/n1.c1");
  expect((await ask({ ...PLAIN, ...DEL }, { policy: {}, name: "n1" })).exit).toBe(0);
  expect(leftIn(world)).toEqual([]);
});

test("outside of Kubernetes: DEL that does not know of a datastore takes the device all the same, and says what is wrong", async () => {
  const { world, ask } = await makeNode();
  await ask(PLAIN, { policy: {} });
  world.datastoreOf = () => {
    throw new Error("etcd_endpoints is missing");
  };
  expect((await ask({ ...PLAIN, ...DEL }, { policy: {} })).json).toMatchObject({ code: 100, msg: "etcd_endpoints is missing" });
  expect(podDevices(world, "/run/netns/pod1")).toEqual([]);
});

test("outside of Kubernetes: joining is tried again when the endpoint changed meanwhile", async () => {
  const { world, ask } = await makeNode();
  await ask(PLAIN, { policy: {}, name: "n1" });
  const { resources, ...rest } = world.datastoreOf(undefined);
  let isFirst = true;
  world.datastoreOf = () => ({
    ...rest,
    resources: {
      ...resources,
      async update(object) {
        if (isFirst) {
          isFirst = false;
          const { resourceVersion: _, ...metadata } = object.metadata;
          const spec = { ...(object.spec as object), profiles: ["n1", "other"] };
          const changed = await resources.apply({ ...object, metadata, spec } as typeof object);
          expect(changed.ok).toBe(true);
        }
        return await resources.update(object);
      },
    },
  });
  expect((await ask(PLAIN, { policy: {}, name: "n2" })).exit).toBe(0);
  expect(isFirst).toBe(false);
  expect(endpointsOf(world).map((e) => e.spec["profiles"])).toEqual([["n1", "other", "n2"]]);
});
