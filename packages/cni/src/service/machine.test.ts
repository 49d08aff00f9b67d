import { makeFakeStore } from "@calico/datastore/testing";
import { makeIpam } from "@calico/ipam";
import { disagreements } from "@calico/ipam/testing";
import { expect, test } from "vitest";
import type { PodFacts, VmiFacts } from "../domain/pod.ts";
import { callPlugin, makeFakeWorld } from "../testing.ts";
import type { FakeWorld } from "../testing.ts";

const HANDLE = "/calico/ipam/v2/handle/k8s-pod-network.vmi.default.vm1";

type Launcher = { readonly life?: string; readonly migration?: string; readonly node?: FakeWorld; readonly container?: string };

/** Two nodes on one datastore, a machine vm1 that is of a VirtualMachine, and what the API server is asked. */
async function makeMachines() {
  const store = makeFakeStore();
  const nodes = [await makeFakeWorld({ store, node: "node1" }), await makeFakeWorld({ store, node: "node2" })] as const;
  const pods = new Map<string, PodFacts>();
  const vmis = new Map<string, VmiFacts>();
  const vms = new Map<string, { isDeleting: boolean }>([["vm1", { isDeleting: false }]]);
  const asked: string[] = [];
  for (const node of nodes) {
    const podOf = node.podOf;
    node.podOf = async (conf, place) => pods.get(place.name) ?? (await podOf(conf, place));
    node.vmiOf = async (_conf, { name }) => (asked.push(`vmi ${name}`), vmis.get(name));
    node.vmOf = async (_conf, { name }) => (asked.push(`vm ${name}`), vms.get(name));
  }
  const env = (pod: string, container: string, more: object = {}) => ({
    CNI_CONTAINERID: container,
    CNI_ARGS: `K8S_POD_NAMESPACE=default;K8S_POD_NAME=${pod}`,
    ...more,
  });
  const add = async (suffix: string, o: Launcher & { conf?: Record<string, unknown>; args?: string } = {}) => {
    const pod = `virt-launcher-vm1-${suffix}`;
    const { node = nodes[0], life = "L1", migration, container = `c-${suffix}`, conf = {}, args = "" } = o;
    vmis.set("vm1", { uid: life, isDeleting: false, vm: { name: "vm1", uid: "V" } });
    const labels: Record<string, string> = migration === undefined ? {} : { "kubevirt.io/migrationJobUID": migration };
    const pod1 = { labels, annotations: {}, generateName: undefined, serviceAccount: undefined, ports: [] };
    pods.set(pod, { ...pod1, vmi: { name: "vm1", uid: life } });
    const variables = env(pod, container);
    return await callPlugin(node, { conf, env: { ...variables, CNI_ARGS: `${variables.CNI_ARGS}${args}` } });
  };
  const del = (suffix: string, o: Pick<Launcher, "node" | "container"> = {}) => {
    const { node = nodes[0], container = `c-${suffix}` } = o;
    return callPlugin(node, { env: env(`virt-launcher-vm1-${suffix}`, container, { CNI_COMMAND: "DEL", CNI_NETNS: "" }) });
  };
  const owners = async () => {
    const ipam = makeIpam({ store });
    const held = await ipam.ipsByHandle("k8s-pod-network.vmi.default.vm1");
    if (!held.ok) return "none";
    const owner = await ipam.ownerOf(held.value[0]?.split("/")[0] ?? "");
    if (!owner.ok) return owner.error.message;
    return [owner.value.attrs, owner.value.alternate].map((a) => a["pod"]?.slice("virt-launcher-vm1-".length) ?? "-").join(" ");
  };
  return { store, nodes, vmis, vms, pods, asked, add, del, owners };
}

const ipOf = ({ json }: { json: { ips?: { address: string }[] } | undefined }) => json?.ips?.[0]?.address;
const hostRoutes = (world: FakeWorld, ip: string | undefined) =>
  world.fakeKernel.recorded.filter(({ op }) => op.do === "addRoute" && op.route.dst === ip && op.route.scope === "link").length;

test("a machine that is stopped and started on another node has the same address, and nobody else had it meanwhile", async () => {
  const { nodes, vmis, vms, asked, add, del, owners, store } = await makeMachines();
  const ip = ipOf(await add("aaaaa"));
  expect(ip).toMatch(/^192\.200\.\d+\.\d+\/32$/);
  expect(new Set(asked)).toEqual(new Set(["vmi vm1"]));
  vmis.set("vm1", { uid: "L1", isDeleting: true, vm: { name: "vm1", uid: "V" } });
  expect((await del("aaaaa")).exit).toBe(0);
  expect(await owners()).toBe("- -");
  vmis.delete("vm1");
  for (const container of ["x1", "x2"]) expect(ipOf(await callPlugin(nodes[0], { env: { CNI_CONTAINERID: container } }))).not.toBe(ip);
  const again = await add("bbbbb", { node: nodes[1], life: "L2" });
  expect(ipOf(again)).toBe(ip);
  expect(hostRoutes(nodes[1], ip)).toBe(1);
  const stored = JSON.stringify([...store.dump().values()].map((kv) => kv.value));
  expect(stored).toMatch(/\\"vm-uid\\":\\"V\\",\\"vmi-name\\":\\"vm1\\",\\"vmi-uid\\":\\"L2\\"/);
  vms.set("vm1", { isDeleting: true });
  expect((await del("bbbbb", { node: nodes[1] })).exit).toBe(0);
  expect(await owners()).toBe("none");
  expect(store.dump().has(HANDLE)).toBe(false);
  expect(disagreements(store.dump())).toEqual([]);
});

test("the target of a live migration has the source's address and no host route; the source's DEL leaves it the target", async () => {
  const { nodes, add, del, owners, store } = await makeMachines();
  const ip = ipOf(await add("aaaaa"));
  const target = await add("ttttt", { node: nodes[1], migration: "M" });
  expect([ipOf(target), target.json.routes]).toEqual([ip, undefined]);
  expect([hostRoutes(nodes[0], ip), hostRoutes(nodes[1], ip)]).toEqual([1, 0]);
  expect(await owners()).toBe("aaaaa ttttt");
  const check = {
    CNI_COMMAND: "CHECK",
    CNI_CONTAINERID: "c-ttttt",
    CNI_ARGS: "K8S_POD_NAMESPACE=default;K8S_POD_NAME=virt-launcher-vm1-ttttt",
  };
  const conf = { cniVersion: "0.4.0", prevResult: target.json };
  expect((await callPlugin(nodes[1], { env: check, conf })).exit).toBe(0);
  for (let n = 0; n < 2; n++) expect((await del("aaaaa")).exit).toBe(0);
  expect(await owners()).toBe("ttttt -");
  expect(JSON.stringify([...store.dump().values()])).toContain("vmim-uid");
});

test("a migration that failed: the target's DEL leaves the address with the source", async () => {
  const { nodes, add, del, owners } = await makeMachines();
  await add("aaaaa");
  await add("ttttt", { node: nodes[1], migration: "M" });
  for (let n = 0; n < 2; n++) expect((await del("ttttt", { node: nodes[1] })).exit).toBe(0);
  expect(await owners()).toBe("aaaaa -");
});

test("ADD that was held up while its machine was started again elsewhere does not take the address back", async () => {
  const { nodes, vmis, add, del, owners } = await makeMachines();
  const ip = ipOf(await add("aaaaa"));
  await del("aaaaa");
  const vmiOf = nodes[0].vmiOf;
  let isHeldUp = true;
  nodes[0].vmiOf = async (...args) => {
    const found = await vmiOf(...args);
    if (!isHeldUp) return found;
    isHeldUp = false;
    expect(ipOf(await add("ccccc", { node: nodes[1], life: "L3" }))).toBe(ip);
    return found;
  };
  expect((await add("bbbbb", { life: "L2" })).json).toMatchObject({ code: 11, msg: expect.stringMatching(/is not the one that owns pod/) });
  expect(vmis.get("vm1")?.uid).toBe("L3");
  expect(await owners()).toBe("ccccc -");
});

test("DEL of a container of a pod that was set up again since leaves the address with the pod", async () => {
  const { add, del, owners } = await makeMachines();
  await add("aaaaa", { container: "c1" });
  await add("aaaaa", { container: "c2" });
  await del("aaaaa", { container: "c1" });
  expect(await owners()).toBe("aaaaa -");
});

test("DEL: no API server is needed for it, and with a datastore that is away it is done later", async () => {
  const { nodes, add, del, owners, store } = await makeMachines();
  await add("aaaaa");
  nodes[0].vmiOf = () => Promise.reject(new Error("no API server"));
  store.failNext({ when: "before", op: "get" });
  expect((await del("aaaaa")).exit).toBe(0);
  expect(nodes[0].deletes.list()).toHaveLength(1);
  expect((await del("aaaaa")).exit).toBe(0);
  expect(await owners()).toBe("- -");
});

test("DEL of a pod whose name is too short for its machine's finds the machine by its owner", async () => {
  const { nodes, store, vmis, pods } = await makeMachines();
  const vm = "v".repeat(50);
  const pod = `virt-launcher-${"v".repeat(44)}aaaaa`;
  expect(pod).toHaveLength(63);
  vmis.set(vm, { uid: "L", isDeleting: false, vm: undefined });
  pods.set(pod, {
    labels: {},
    annotations: {},
    generateName: undefined,
    serviceAccount: undefined,
    ports: [],
    vmi: { name: vm, uid: "L" },
  });
  const env = { CNI_ARGS: `K8S_POD_NAMESPACE=default;K8S_POD_NAME=${pod}` };
  const ip = ipOf(await callPlugin(nodes[0], { env }));
  expect((await callPlugin(nodes[0], { env: { ...env, CNI_COMMAND: "DEL", CNI_NETNS: "" } })).exit).toBe(0);
  const owner = await makeIpam({ store }).ownerOf(ip?.split("/")[0] ?? "");
  expect(owner).toMatchObject({ value: { handle: `k8s-pod-network.vmi.default.${vm}`, attrs: {} } });
});

test.for([
  {
    name: "an instance that is of no machine goes with its address",
    vmi: { uid: "L1", isDeleting: true, vm: undefined },
    vm: undefined,
    want: "none",
  },
  { name: "an instance that stays keeps it", vmi: { uid: "L1", isDeleting: false, vm: undefined }, vm: undefined, want: "- -" },
  { name: "the instance goes, its machine stays", vmi: undefined, vm: { isDeleting: false }, want: "- -" },
  { name: "instance and machine are gone: the collector waits for another of the name", vmi: undefined, vm: undefined, want: "- -" },
  { name: "the instance is gone, its machine is going", vmi: undefined, vm: { isDeleting: true }, want: "none" },
])("DEL: $name", async ({ vmi, vm, want }) => {
  const { add, del, owners, vmis, vms } = await makeMachines();
  await add("aaaaa");
  vmis.clear();
  vms.clear();
  if (vmi !== undefined) vmis.set("vm1", vmi);
  if (vm !== undefined) vms.set("vm1", vm);
  await del("aaaaa");
  expect(await owners()).toBe(want);
});

test.for([
  { name: "its instance is not there", vmi: undefined, want: "11 the API server knows no VirtualMachineInstance default/vm1" },
  {
    name: "its instance is another by now",
    vmi: { uid: "L9", isDeleting: false, vm: undefined },
    want: "11 VirtualMachineInstance default/vm1 is not the one that owns pod default/virt-launcher-vm1-zzzzz",
  },
])("ADD: a pod that claims a machine is refused: $name", async ({ vmi, want }) => {
  const { nodes, add, store } = await makeMachines();
  nodes[0].vmiOf = async () => vmi;
  const { json } = await add("zzzzz");
  expect(`${json.code} ${json.msg}`).toBe(want);
  expect([...store.dump().keys()].filter((k) => k.includes("/handle/"))).toEqual([]);
});

test("ADD: a target without a source's address is refused; a pod that has only the name is a pod like others", async () => {
  const { nodes, add, asked, store } = await makeMachines();
  expect((await add("ttttt", { migration: "M" })).json).toMatchObject({
    code: 101,
    msg: expect.stringMatching(/^migration target pod but no IP/),
  });
  asked.length = 0;
  const alike = { CNI_ARGS: "K8S_POD_NAMESPACE=default;K8S_POD_NAME=virt-launcher-alike-aaaaa" };
  expect((await callPlugin(nodes[0], { env: alike })).exit).toBe(0);
  expect([...store.dump().keys()].filter((k) => k.includes("/handle/"))).toEqual(["/calico/ipam/v2/handle/k8s-pod-network.c1"]);
  expect((await callPlugin(nodes[0], { env: { ...alike, CNI_COMMAND: "DEL", CNI_NETNS: "" } })).exit).toBe(0);
  expect([...store.dump().keys()].filter((k) => k.includes("/handle/"))).toEqual([]);
  expect(asked).toEqual([]);
});

test("persistence Disabled: a launcher is a pod like others, and a migration's target is refused", async () => {
  const { add, del, nodes, store } = await makeMachines();
  await makeIpam({ store }).setConfig({ kubeVirtPersistence: "Disabled" });
  expect((await add("aaaaa")).exit).toBe(0);
  expect([...store.dump().keys()].filter((k) => k.includes("/handle/"))).toEqual(["/calico/ipam/v2/handle/k8s-pod-network.c-aaaaa"]);
  expect((await add("ttttt", { migration: "M", node: nodes[1] })).json).toMatchObject({
    code: 101,
    msg: "live migration target pod is not allowed when KubeVirtVMAddressPersistence is disabled",
  });
  expect((await del("aaaaa")).exit).toBe(0);
  expect([...store.dump().keys()].filter((k) => k.includes("/handle/"))).toEqual([]);
});

test("ADD: an address that is asked for is the machine's from then on, and no other is given beside it", async () => {
  const { add, del } = await makeMachines();
  expect(ipOf(await add("aaaaa", { args: ";IP=192.200.7.7" }))).toBe("192.200.7.7/32");
  await del("aaaaa");
  expect(ipOf(await add("bbbbb", { life: "L2" }))).toBe("192.200.7.7/32");
  await del("bbbbb");
  expect((await add("ccccc", { life: "L3", args: ";IP=192.200.7.8" })).json).toMatchObject({
    code: 101,
    msg: "virtual machine default/vm1 has the address 192.200.7.7, and not 192.200.7.8 that its pod asks for",
  });
});

test("ADD: a family that is switched on later is given beside the one that the machine has; without a pool for it nothing is lost", async () => {
  const { add, del, owners } = await makeMachines();
  const ip = ipOf(await add("aaaaa"));
  await del("aaaaa");
  const both = { ipam: { type: "calico-ipam", assign_ipv6: "true" } };
  expect((await add("bbbbb", { conf: both })).json.code).toBe(101);
  expect(await owners()).toBe("- -");
  expect(ipOf(await add("ccccc"))).toBe(ip);
});

test("CHECK and GC: a machine's container has the machine's address; a container that is not valid loses it, the machine does not", async () => {
  const { nodes, add, owners } = await makeMachines();
  await add("aaaaa");
  const conf = { cniVersion: "1.1.0", "cni.dev/valid-attachments": [{ containerID: "c-aaaaa", ifname: "eth0" }] };
  const gc = (valid: object[]) =>
    callPlugin(nodes[0], { env: { CNI_COMMAND: "GC" }, conf: { ...conf, "cni.dev/valid-attachments": valid } });
  const check = {
    env: { CNI_COMMAND: "CHECK", CNI_CONTAINERID: "c-aaaaa", CNI_ARGS: "K8S_POD_NAMESPACE=default;K8S_POD_NAME=virt-launcher-vm1-aaaaa" },
  };
  expect((await gc(conf["cni.dev/valid-attachments"])).exit).toBe(0);
  expect(await owners()).toBe("aaaaa -");
  expect((await callPlugin(nodes[0], { ...check, conf, plugin: "calico-ipam" })).exit).toBe(0);
  expect((await gc([])).exit).toBe(0);
  expect(await owners()).toBe("- -");
  expect((await callPlugin(nodes[0], { ...check, conf, plugin: "calico-ipam" })).json.code).toBe(104);
});

test("ADD: a datastore that fails at any one operation loses no address, doubles none, and the next ADD has it", async () => {
  const first = await makeMachines();
  const ip = ipOf(await first.add("aaaaa"));
  expect(ip).toBeDefined();
  for (let n = 0; n < 24; n++) {
    const { nodes, store, add, del, owners } = await makeMachines();
    const before = n % 2 === 0 ? ipOf(await add("aaaaa")) : undefined;
    const real = store.txn;
    let untilFault = n >> 1;
    store.txn = async (txn) => {
      if (untilFault-- === 0) store.failNext({ when: n % 4 < 2 ? "before" : "after", op: "txn" });
      return await real(txn);
    };
    await add("ttttt", { node: nodes[1], ...(before === undefined ? {} : { migration: "M" }) });
    untilFault = -1;
    await del("ttttt", { node: nodes[1] });
    expect(await owners()).toMatch(before === undefined ? /^(none|- -)$/ : /^aaaaa -$/);
    const again = ipOf(await add("uuuuu", { node: nodes[1] }));
    expect(again).toBe(before ?? again);
    expect(disagreements(store.dump())).toEqual([]);
    expect([...store.dump().keys()].filter((k) => k.includes("/handle/"))).toEqual([HANDLE]);
  }
});
