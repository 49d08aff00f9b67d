import process from "node:process";
import { openEtcd, type Store } from "@calico/datastore";
import { makeIpam } from "@calico/ipam";
import { disagreements } from "@calico/ipam/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exec } from "../src/adapter/exec.ts";
import { planTopology } from "../src/domain/topology.ts";
import { type Lab, openLab } from "../src/service/lab.ts";
import { startControllers } from "./controllers-process.ts";

/**
 * A virtual machine of KubeVirt in a cluster of two nodes, with KubeVirt's part played by the test: it makes the machine's objects and its
 * launcher pods, as virt-controller does. Who gives, keeps and releases the machine's address is real.
 */
const id = `vm-${process.pid}`;
const topology = planTopology(id);
const HANDLE = "k8s-pod-network.vmi.default.vm1";
const poll = { timeout: 60_000, interval: 100 };

let lab: Lab;
let store: Store;
let ipam: ReturnType<typeof makeIpam>;

beforeAll(async () => {
  lab = await openLab({ topology, encap: "auto" });
  store = openEtcd({ endpoints: [lab.endpoints.etcd] });
  ipam = makeIpam({ store });
});
afterAll(async () => {
  await store?.close();
  await lab?.[Symbol.asyncDispose]();
});

const machine = (kind: "VirtualMachine" | "VirtualMachineInstance", more: object = {}) => ({
  apiVersion: "kubevirt.io/v1",
  kind,
  metadata: { name: "vm1", namespace: "default", ...more },
});

async function kubectl(args: readonly string[], input?: object): Promise<string> {
  const ran = await lab.kubectl(args, input === undefined ? undefined : JSON.stringify(input));
  expect(`${ran.code} ${ran.stderr}`).toMatch(/^0 /);
  return ran.stdout.trim();
}
const apply = (item: object) => kubectl(["apply", "--validate=false", "-f", "-"], item);
const uidOf = (kind: string) => kubectl(["get", kind, "vm1", "-o", "jsonpath={.metadata.uid}"]);

/** As virt-controller makes them: the machine's instance, and a pod that it controls. */
async function startInstance(): Promise<void> {
  await apply(machine("VirtualMachineInstance", { ownerReferences: [await ownerOf("VirtualMachine", "vm")] }));
}
async function ownerOf(kind: string, plural: string): Promise<object> {
  return { apiVersion: "kubevirt.io/v1", kind, name: "vm1", uid: await uidOf(plural), controller: true };
}
async function launch(suffix: string, nodeName: string, migration?: string): Promise<string> {
  const name = `virt-launcher-vm1-${suffix}`;
  const labels = { "kubevirt.io": "virt-launcher", ...(migration === undefined ? {} : { "kubevirt.io/migrationJobUID": migration }) };
  await apply({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", labels, ownerReferences: [await ownerOf("VirtualMachineInstance", "vmi")] },
    spec: { nodeName, containers: [{ name: "compute", image: "busybox", command: ["sleep", "3600"] }] },
  });
  const ready = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}';
  await expect.poll(() => kubectl(["get", "pod", name, "-o", ready]), poll).toBe("True");
  return lab.pod(`default/${name}`)?.ips[0]?.split("/")[0] ?? "";
}
const end = (suffix: string) => kubectl(["delete", "pod", `virt-launcher-vm1-${suffix}`, "--grace-period=1"]);

/** The machine's address and the pods that have it and are to have it; "none" if it has none. */
async function owners(): Promise<string> {
  const held = await ipam.ipsByHandle(HANDLE);
  if (!held.ok) return "none";
  expect(held.value).toHaveLength(1);
  const owner = await ipam.ownerOf(held.value[0]?.split("/")[0] ?? "");
  const pods = owner.ok ? [owner.value.attrs, owner.value.alternate] : [];
  return pods.map((a) => `${a["pod"]?.replace("virt-launcher-vm1-", "") ?? "-"}`).join(" ");
}
/** Where each node sends what is for the machine. */
async function routes(ip: string): Promise<readonly string[]> {
  const found = topology.nodes.map(async (node) => (await exec(["ip", "-n", node.netns, "-o", "route", "get", ip])).stdout);
  return (await Promise.all(found)).map((text) => (/ dev (cali)/.test(text) ? "here" : "away"));
}
const agreed = async () => disagreements(new Map((await store.list("/calico/")).items.map((i) => [i.key, i])));

let address = "";

test("a machine is stopped and started on another node: the same address, which nobody got meanwhile", async () => {
  await apply(machine("VirtualMachine"));
  await startInstance();
  address = await launch("aaaaa", "node1");
  expect(address).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
  await end("aaaaa");
  await kubectl(["delete", "vmi", "vm1"]);
  expect(await owners()).toBe("- -");
  await startInstance();
  expect(await launch("bbbbb", "node2")).toBe(address);
  expect(await owners()).toBe("bbbbb -");
  await expect.poll(() => routes(address), poll).toEqual(["away", "here"]);
  expect(await agreed()).toEqual([]);
});

test("a live migration that fails leaves the address, and all traffic, with the source", async () => {
  expect(await launch("ccccc", "node1", "m1")).toBe(address);
  expect(await owners()).toBe("bbbbb ccccc");
  expect(await routes(address)).toEqual(["away", "here"]);
  await end("ccccc");
  expect(await owners()).toBe("bbbbb -");
  expect(await routes(address)).toEqual(["away", "here"]);
});

test("a live migration that succeeds: both pods have the address, and when the source goes the target has it, and the traffic", async () => {
  expect(await launch("ddddd", "node1", "m2")).toBe(address);
  expect(await owners()).toBe("bbbbb ddddd");
  await end("bbbbb");
  expect(await owners()).toBe("ddddd -");
  await expect.poll(() => routes(address), poll).toEqual(["here", "away"]);
  expect(await launch("fffff", "node2", "m3")).toBe(address);
  expect(await routes(address)).toEqual(["here", "away"]);
  await end("fffff");
  expect(await owners()).toBe("ddddd -");
  expect(await routes(address)).toEqual(["here", "away"]);
  expect(await agreed()).toEqual([]);
});

test("a machine whose node hangs is started on the other: the address goes there, and what the first node says later changes nothing", async () => {
  const hung = lab.running().filter((p) => p.node === "node1" && ["node1/kubelet", "node1/cni", "node1/ipam"].includes(p.name));
  expect(hung).toHaveLength(3);
  for (const { pid } of hung) process.kill(pid, "SIGSTOP");
  await kubectl(["delete", "pod", "virt-launcher-vm1-ddddd", "--force", "--grace-period=0", "--wait=false"]);
  await kubectl(["delete", "vmi", "vm1"]);
  await startInstance();
  expect(await launch("ggggg", "node2")).toBe(address);
  expect(await owners()).toBe("ggggg -");
  await expect.poll(() => routes(address), poll).toEqual(["away", "here"]);
  for (const { pid } of hung) process.kill(pid, "SIGCONT");
  await expect.poll(() => lab.pod("default/virt-launcher-vm1-ddddd"), poll).toBeUndefined();
  await expect.poll(async () => (await store.list("/calico/resources/")).items.some(({ key }) => key.includes("ddddd")), poll).toBe(false);
  expect(await owners()).toBe("ggggg -");
  expect(await routes(address)).toEqual(["away", "here"]);
  expect(await agreed()).toEqual([]);
});

test("the machine is deleted while it runs: the last pod's DEL releases the address", async () => {
  await kubectl([
    "patch",
    "vm",
    "vm1",
    "--type=merge",
    "-p",
    '{"metadata":{"finalizers":["kubevirt.io/virtualMachineControllerFinalize"]}}',
  ]);
  await kubectl(["delete", "vm", "vm1", "--wait=false"]);
  await end("ggggg");
  expect(await owners()).toBe("none");
  await kubectl(["patch", "vm", "vm1", "--type=merge", "-p", '{"metadata":{"finalizers":null}}']);
  await kubectl(["delete", "vmi", "vm1"]);
  expect(await agreed()).toEqual([]);
});

test("a machine that is deleted while it is stopped: the collector releases its address, on evidence; dry run and explain tell", async () => {
  await apply(machine("VirtualMachine"));
  await startInstance();
  const ip = await launch("eeeee", "node1");
  await kubectl(["delete", "vmi", "vm1"]);
  await end("eeeee");
  const flags = ["--ipam-gc-grace-seconds", "1", "--ipam-gc-machine-grace-seconds", "1"];
  {
    await using run = await startControllers(lab, lab.kubeconfig, flags);
    await expect.poll(async () => (await run.metric('ipam_gc_scans_total{outcome="ok"}'))[0] ?? "", poll).toMatch(/ [5-9]$/);
    expect(await owners()).toBe("- -");
    expect(await run.status("ipam-audit")).toMatchObject({ failing: 0, unowned: 0 });
    expect(await run.end("SIGTERM")).toBe(0);
  }
  await kubectl(["delete", "vm", "vm1"]);
  {
    await using dry = await startControllers(lab, lab.kubeconfig, [...flags, "--ipam-gc-dry-run"]);
    await expect
      .poll(
        () =>
          dry
            .said("address would be released")
            .map((l) => l["ip"])
            .at(0),
        poll,
      )
      .toBe(ip);
    expect(await owners()).toBe("- -");
    expect(await dry.end("SIGTERM")).toBe(0);
  }
  await using run = await startControllers(lab, lab.kubeconfig, flags);
  await expect.poll(owners, poll).toBe("none");
  expect(await agreed()).toEqual([]);
  const explained = async () => (await lab.calicoctl(["ipam", "explain", ip, "--nats", lab.endpoints.nats])).stdout;
  await expect.poll(explained, { ...poll, interval: 1000 }).toMatch(/released by the garbage collector[^]*because no VirtualMachine or/);
  expect(await run.end("SIGTERM")).toBe(0);
});
