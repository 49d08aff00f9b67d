import { recordingLogger } from "@calico/daemon/testing";
import { makeFakeStore } from "@calico/datastore/testing";
import { makeIpam } from "@calico/ipam";
import { disagreements, putNode, putPool } from "@calico/ipam/testing";
import { KubeError, RESOURCES } from "@calico/kube-client";
import { fakeApi } from "@calico/kube-client/testing";
import { keyOf } from "@calico/model";
import { expect, test } from "vitest";
import { makeIpamGc } from "../src/service/ipam-gc.ts";

const MIN = 60_000;

async function world(o: { dryRun?: boolean; graceMin?: number } = {}) {
  const api = fakeApi();
  const store = makeFakeStore();
  let ms = Date.parse("2026-11-23T10:00:00Z");
  const ipam = makeIpam({ store, clock: { now: () => ms } });
  const log = recordingLogger();
  const events: { subject: string; body: Record<string, unknown> }[] = [];
  const gauges = new Map<string, number>();
  const metrics = {
    inc: (name: string, labels = {}) =>
      void gauges.set(`${name} ${Object.values(labels).join()}`, (gauges.get(`${name} ${Object.values(labels).join()}`) ?? 0) + 1),
    set: (name: string, value: number, labels = {}) => void gauges.set(`${name} ${Object.values(labels).join()}`.trim(), value),
  };
  const ports = {
    ...{ kube: api, store, ipam, log, metrics, clock: () => ms, signal: new AbortController().signal },
    event: (subject: string, body: object) => void events.push({ subject, body: body as Record<string, unknown> }),
  };
  const gc = makeIpamGc(ports, { graceMs: (o.graceMin ?? 15) * MIN, dryRun: o.dryRun ?? false });
  await putPool(store, "p", { cidr: "10.0.0.0/26", blockSize: 28 });
  for (const node of ["n1", "n2"]) {
    api.set(RESOURCES.nodes, { metadata: { name: node } });
    await putNode(store, node, { spec: { orchRefs: [{ orchestrator: "k8s", nodeName: node }] } });
  }
  const assign = async (pod: string, node = "n1", handle = `net.${pod}`) => {
    const got = await ipam.autoAssign({ node, num4: 1, num6: 0, handle, attrs: { pod, namespace: "d", node } });
    return got.ok ? (got.value.v4.ips[0]?.address.split("/")[0] ?? "") : "";
  };
  const setPod = (name: string, node = "n1", ips: string[] = []) =>
    api.set(RESOURCES.pods, {
      metadata: { name, namespace: "d" },
      spec: { nodeName: node },
      status: { phase: "Running", podIPs: ips.map((ip) => ({ ip })) },
    });
  api.set(RESOURCES.pods, { metadata: { name: "other", namespace: "kube-system" }, spec: { nodeName: "n1" } });
  const has = async (ip: string) => (await ipam.ownerOf(ip)).ok;
  const scanAfter = async (min: number) => {
    ms += min * MIN;
    await gc.scan();
    expect(disagreements(store.dump())).toEqual([]);
  };
  return { api, store, ipam, gc, log, events, gauges, assign, setPod, has, scanAfter };
}

test("ipam-gc: an address whose pod is gone is released after its grace, with its evidence; one with a pod stays", async () => {
  const w = await world();
  const [live, dead] = [await w.assign("live"), await w.assign("dead")];
  w.setPod("live", "n1", [live]);
  await w.scanAfter(0);
  expect(w.gc.status()).toMatchObject({ inSync: true, pending: 1, failing: 0, allocations: 2 });
  expect(w.events.splice(0)).toMatchObject([{ subject: `ipam.suspect.${dead.replaceAll(".", "%2E")}`, body: { ip: dead, pod: "dead" } }]);
  await w.scanAfter(14);
  expect(await w.has(dead)).toBe(true);
  await w.scanAfter(1);
  expect([await w.has(dead), await w.has(live)]).toEqual([false, true]);
  expect(w.events).toHaveLength(1);
  expect(w.events[0]).toMatchObject({
    subject: `ipam.gc.${dead.replaceAll(".", "%2E")}`,
    body: { ip: dead, handle: "net.dead", pod: "dead", since: "2026-11-23T10:00:00.000Z", at: "2026-11-23T10:15:00.000Z" },
  });
  const kinds = (w.events[0]?.body["evidence"] as { kind: string; revision: string }[]).map((e) => e.kind);
  expect(kinds).toEqual(["podMissing", "endpointMissing", "podMissing", "endpointMissing"]);
  expect(w.gauges.get("ipam_allocations_gc_reclamations p,n1")).toBe(1);
  expect(w.gauges.get("ipam_allocations_gc_candidates p,n1")).toBe(0);
});

test("ipam-gc: a pod that comes back before the release keeps its address, and a later loss begins anew", async () => {
  const w = await world();
  const ip = await w.assign("a");
  await w.scanAfter(0);
  w.setPod("a", "n1", [ip]);
  await w.scanAfter(20);
  w.api.remove(RESOURCES.pods, "d/a");
  await w.scanAfter(1);
  expect(await w.has(ip)).toBe(true);
  await w.scanAfter(15);
  expect(await w.has(ip)).toBe(false);
});

test("ipam-gc: the second look decides: a pod that appears between the looks keeps its address", async () => {
  const w = await world();
  const ip = await w.assign("a");
  await w.scanAfter(0);
  const list = w.api.list;
  let looks = 0;
  w.api.list = async (type, o) => {
    if (type.plural === "pods" && looks++ === 1) w.setPod("a", "n1", [ip]);
    return await list(type, o);
  };
  await w.scanAfter(15);
  expect(looks).toBe(2);
  expect(await w.has(ip)).toBe(true);
});

test("ipam-gc: an address given anew to the same handle between look and release is not taken", async () => {
  const w = await world();
  const ip = await w.assign("a");
  await w.scanAfter(0);
  const release = w.ipam.releaseIps;
  w.ipam.releaseIps = async (requests) => {
    await w.ipam.releaseByHandle("net.a");
    await w.ipam.assignIp({ node: "n1", ip, handle: "net.a", attrs: { pod: "a", namespace: "d", node: "n1" } });
    return await release(requests);
  };
  await w.scanAfter(15);
  expect(await w.has(ip)).toBe(true);
  expect(w.events.filter((e) => e.subject.startsWith("ipam.gc."))).toEqual([]);
});

test("ipam-gc: dry run says what it would do and does nothing", async () => {
  const w = await world({ dryRun: true });
  const ip = await w.assign("a");
  await w.scanAfter(0);
  await w.scanAfter(15);
  expect(await w.has(ip)).toBe(true);
  expect(w.events.filter((e) => e.subject.startsWith("ipam.gc."))).toEqual([]);
  const said = w.log.lines.filter((l) => l.message === "address would be released");
  expect(said).toHaveLength(1);
  expect(said[0]?.fields).toMatchObject({ ip, handle: "net.a", pod: "a" });
});

test("ipam-gc: a node that goes takes its pods', its tunnels' addresses and its blocks with it, at once, and its Calico node last", async () => {
  const w = await world();
  const ip = await w.assign("a", "n2");
  await w.ipam.autoAssign({
    node: "n2",
    num4: 1,
    num6: 0,
    handle: "ipip-tunnel-addr-n2",
    attrs: { node: "n2", type: "ipipTunnelAddress" },
  });
  w.setPod("a", "n2", [ip]);
  await w.scanAfter(0);
  expect(w.gc.status().pending).toBe(0);
  w.api.remove(RESOURCES.nodes, "n2");
  await w.scanAfter(0);
  expect([await w.has(ip), await w.store.get(calicoNode)]).toEqual([true, expect.anything()]);
  w.api.remove(RESOURCES.pods, "d/a");
  const order: string[] = [];
  const remove = w.store.delete;
  w.store.delete = async (key, revision) => {
    if (key === calicoNode) order.push(...[...w.store.dump().keys()].filter((k) => k.startsWith("/calico/ipam/v2/")), "node");
    return await remove(key, revision);
  };
  await w.scanAfter(0);
  expect(order).toEqual(["node"]);
  expect(await w.store.get(calicoNode)).toBeUndefined();
  expect(w.events.map((e) => e.subject.split(".")[1])).toEqual(["suspect", "gc", "suspect", "gc", "host"]);
});

const calicoNode = keyOf({ kind: "Node", name: "n2" });

test("ipam-gc: a Calico node whose Kubernetes node was never seen waits for the grace; another process sees it so anew", async () => {
  const w = await world();
  w.api.remove(RESOURCES.nodes, "n2");
  const ip = await w.assign("a", "n2");
  await w.scanAfter(0);
  await w.scanAfter(14);
  expect([await w.has(ip), await w.store.get(calicoNode)]).toEqual([true, expect.anything()]);
  await w.scanAfter(1);
  expect([await w.has(ip), await w.store.get(calicoNode)]).toEqual([false, undefined]);
});

test("ipam-gc: dry run leaves the node that is gone where it is, and says so", async () => {
  const w = await world({ dryRun: true });
  await w.assign("a", "n1");
  await w.scanAfter(0);
  w.api.remove(RESOURCES.nodes, "n2");
  await w.scanAfter(0);
  expect(await w.store.get(calicoNode)).toBeDefined();
  expect(w.log.lines.find((l) => l.message === "node would be removed")?.fields).toMatchObject({ node: "n2" });
});

test("ipam-gc: a Calico node that changed after the look stays", async () => {
  const w = await world();
  await w.scanAfter(0);
  w.api.remove(RESOURCES.nodes, "n2");
  const removeHost = w.ipam.removeHost;
  w.ipam.removeHost = async (host) => {
    await putNode(w.store, "n2", { spec: { orchRefs: [{ orchestrator: "k8s", nodeName: "n2" }] }, labels: { back: "yes" } });
    return await removeHost(host);
  };
  await w.scanAfter(0);
  expect(await w.store.get(calicoNode)).toBeDefined();
});

test("ipam-gc: an endpoint that outlived its pod goes before its address does; one that changed meanwhile stops the release", async () => {
  const w = await world();
  const ip = await w.assign("a");
  const key = keyOf({ kind: "WorkloadEndpoint", namespace: "d", name: "n1-k8s-a-eth0" });
  const wep = { spec: { node: "n1", pod: "a", ipNetworks: [`${ip}/32`] } };
  await w.store.put(key, JSON.stringify(wep));
  await w.scanAfter(0);
  const remove = w.store.delete;
  w.store.delete = async (k, revision) => {
    await w.store.put(key, JSON.stringify({ ...wep, touched: true }));
    w.store.delete = remove;
    return await remove(k, revision);
  };
  await w.scanAfter(15);
  expect(await w.has(ip)).toBe(true);
  await w.scanAfter(1);
  expect([await w.has(ip), await w.store.get(key)]).toEqual([false, undefined]);
});

test.for([
  { name: "without any node", empty: ["n1", "n2"], want: /the Kubernetes API knows no node at all/ },
  { name: "with nodes, but none of ours", empty: ["n1", "n2"], add: "n7", want: /knows none; is it the right one/ },
  { name: "without any pod", pods: true, want: /the Kubernetes API knows no pod at all; was it emptied or restored/ },
])("ipam-gc: an API $name is no evidence; nothing is released, no node removed", async ({ empty = [], add, pods, want }) => {
  const w = await world();
  const ip = await w.assign("a");
  await w.scanAfter(0);
  for (const node of empty) w.api.remove(RESOURCES.nodes, node);
  if (add !== undefined) w.api.set(RESOURCES.nodes, { metadata: { name: add } });
  if (pods) w.api.remove(RESOURCES.pods, "kube-system/other");
  const before = [...w.store.dump().keys()];
  await expect(w.scanAfter(15)).rejects.toThrow(want);
  expect(await w.has(ip)).toBe(true);
  expect([...w.store.dump().keys()]).toEqual(before);
});

test("ipam-gc: an API whose history went back was restored: what was seen before is void, and all grace begins anew", async () => {
  const w = await world();
  const ip = await w.assign("a", "n2");
  w.setPod("a", "n2", [ip]);
  await w.scanAfter(0);
  const list = w.api.list;
  w.api.list = async (type, o) => {
    const { items } = await list(type, o);
    return { items: items.filter(({ metadata: { name } }) => name !== "n2" && name !== "a"), resourceVersion: "1" };
  };
  await w.scanAfter(30);
  await w.scanAfter(14);
  expect([await w.has(ip), await w.store.get(calicoNode)]).toEqual([true, expect.anything()]);
  expect(w.log.lines.filter((l) => l.message.startsWith("the kubernetes api's history is older"))).toHaveLength(1);
  await w.scanAfter(1);
  expect([await w.has(ip), await w.store.get(calicoNode)]).toEqual([false, undefined]);
});

test("ipam-gc: of a node's empty blocks one stays, the others go after the grace", async () => {
  const w = await world();
  await w.ipam.claimAffinity("10.0.0.0/27", "n1");
  await w.scanAfter(0);
  await w.scanAfter(14);
  expect(w.gauges.get("ipam_blocks_per_node n1")).toBe(2);
  await w.scanAfter(1);
  await w.scanAfter(30);
  expect(w.gauges.get("ipam_blocks_per_node n1")).toBe(1);
});

const VM = "net.vmi.d.vm1";
const launcher = (pod: string, node: string) => ({ pod, namespace: "d", node, container: `c-${pod}`, "vmi-name": "vm1", "vmi-uid": "L" });

async function machineWorld(o: Parameters<typeof world>[0] = {}) {
  const w = await world(o);
  const got = await w.ipam.autoAssign({
    node: "n1",
    num4: 1,
    num6: 0,
    handle: VM,
    attrs: launcher("virt-launcher-vm1-a", "n1"),
    maxPerHandle: 1,
  });
  const ip = got.ok ? (got.value.v4.ips[0]?.address.split("/")[0] ?? "") : "";
  w.api.set(RESOURCES.virtualMachines, { metadata: { name: "vm1", namespace: "d" } });
  return { ...w, ip };
}

test("ipam-gc: a machine's address outlives its pods and its node, for as long as there is the machine; then its grace, with evidence", async () => {
  const w = await machineWorld({ graceMin: 1 });
  await w.scanAfter(0);
  expect(w.gc.status().pending).toBe(0);
  w.api.remove(RESOURCES.nodes, "n1");
  await w.scanAfter(60);
  expect([await w.has(w.ip), (await w.store.get(keyOf({ kind: "Node", name: "n1" }))) === undefined]).toEqual([true, true]);
  await w.ipam.disown({
    handle: VM,
    owner: { namespace: "d", pod: "virt-launcher-vm1-a", container: "c-virt-launcher-vm1-a" },
    isEnding: false,
  });
  await w.scanAfter(60);
  expect(await w.has(w.ip)).toBe(true);
  w.api.remove(RESOURCES.virtualMachines, "d/vm1");
  await w.scanAfter(0);
  await w.scanAfter(4);
  expect(await w.has(w.ip)).toBe(true);
  await w.scanAfter(1);
  expect(await w.has(w.ip)).toBe(false);
  const said = w.events.filter((e) => e.subject.startsWith("ipam.gc."));
  expect(said).toMatchObject([{ body: { ip: w.ip, handle: VM, machine: "d/vm1" } }]);
  expect((said[0]?.body["evidence"] as { text: string }[])[0]?.text).toBe("no VirtualMachine or VirtualMachineInstance d/vm1");
});

test("ipam-gc: dry run says of a machine's address what it would do", async () => {
  const w = await machineWorld({ dryRun: true });
  w.api.remove(RESOURCES.virtualMachines, "d/vm1");
  await w.scanAfter(0);
  await w.scanAfter(15);
  expect(await w.has(w.ip)).toBe(true);
  expect(w.log.lines.filter((l) => l.message === "address would be released").map((l) => l.fields)).toMatchObject([
    { ip: w.ip, machine: "d/vm1" },
  ]);
});

test("ipam-gc: an instance without a machine keeps its address; a pod that outlives both does too", async () => {
  const w = await machineWorld();
  w.api.remove(RESOURCES.virtualMachines, "d/vm1");
  w.api.set(RESOURCES.virtualMachineInstances, { metadata: { name: "vm1", namespace: "d" } });
  await w.scanAfter(0);
  await w.scanAfter(60);
  w.api.remove(RESOURCES.virtualMachineInstances, "d/vm1");
  w.setPod("virt-launcher-vm1-a", "n1", [w.ip]);
  await w.scanAfter(0);
  await w.scanAfter(60);
  expect(await w.has(w.ip)).toBe(true);
});

test.for([
  { name: "has no virtual machines", code: 404, reason: "NotFound" },
  { name: "does not let us see them", code: 403, reason: "Forbidden" },
])("ipam-gc: a machine's address is not judged while the API $name; other addresses are", async ({ code, reason }) => {
  const w = await machineWorld();
  const other = await w.assign("gone");
  const list = w.api.list;
  w.api.list = (type, o) =>
    type.group === "kubevirt.io" ? Promise.reject(new KubeError("list", { code, reason, message: "no" })) : list(type, o);
  await w.scanAfter(0);
  await w.scanAfter(60);
  expect([await w.has(w.ip), await w.has(other)]).toEqual([true, false]);
});

test("ipam-gc: nobody asks for virtual machines where no address is one's", async () => {
  const w = await world();
  await w.assign("a");
  const list = w.api.list;
  const asked: string[] = [];
  w.api.list = (type, o) => (asked.push(type.plural), list(type, o));
  await w.scanAfter(0);
  expect(asked).toEqual(["nodes", "pods"]);
});

test("ipam-gc: a machine that was started again between look and release keeps its address", async () => {
  const w = await machineWorld();
  w.api.remove(RESOURCES.virtualMachines, "d/vm1");
  await w.scanAfter(0);
  const release = w.ipam.releaseIps;
  w.ipam.releaseIps = async (requests) => {
    await w.ipam.own({ handle: VM, role: "active", attrs: launcher("virt-launcher-vm1-b", "n2") });
    return await release(requests);
  };
  await w.scanAfter(15);
  expect(await w.has(w.ip)).toBe(true);
});

test("ipam-gc: an endpoint that a machine left on a dead node goes after the grace; those of its owners, and of pods that live, stay", async () => {
  const w = await machineWorld();
  const wep = async (pod: string, node: string) => {
    const key = keyOf({ kind: "WorkloadEndpoint", namespace: "d", name: `${node}-k8s-${pod.replaceAll("-", "--")}-eth0` });
    await w.store.put(key, JSON.stringify({ spec: { node, pod, ipNetworks: [`${w.ip}/32`] } }));
    return key;
  };
  const left = await wep("virt-launcher-vm1-a", "n1");
  await w.ipam.own({ handle: VM, role: "active", attrs: launcher("virt-launcher-vm1-b", "n2") });
  const owners = await wep("virt-launcher-vm1-b", "n2");
  const living = await wep("virt-launcher-vm1-c", "n1");
  w.setPod("virt-launcher-vm1-c", "n1", [w.ip]);
  await w.scanAfter(0);
  await w.scanAfter(14);
  expect(await w.store.get(left)).toBeDefined();
  await w.scanAfter(1);
  expect([await w.store.get(left), await w.store.get(owners), await w.store.get(living)]).toEqual([
    undefined,
    expect.anything(),
    expect.anything(),
  ]);
  expect(await w.has(w.ip)).toBe(true);
  expect(w.log.lines.filter((l) => l.message === "endpoint without a pod removed").map((l) => l.fields)).toMatchObject([
    { key: left, ip: w.ip, machine: "d/vm1", evidence: { kind: "podMissing" } },
  ]);
});
