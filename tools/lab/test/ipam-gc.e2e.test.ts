import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import process from "node:process";
import { openEtcd, type Store } from "@calico/datastore";
import { freePort, killChild, startEtcd } from "@calico/datastore/testing";
import { makeIpam } from "@calico/ipam";
import { disagreements } from "@calico/ipam/testing";
import { loadKubeconfig, openKubeClient, RESOURCES } from "@calico/kube-client";
import { keyOf } from "@calico/model";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exec } from "../src/adapter/exec.ts";
import { writeKubeconfig } from "../src/adapter/pki.ts";
import { planTopology } from "../src/domain/topology.ts";
import { podRecords } from "../src/kubelet/records.ts";
import { type Lab, openLab, root } from "../src/service/lab.ts";
import { openApiGate } from "./api-gate.ts";
import { startControllers } from "./controllers-process.ts";

/**
 * Addresses that leak in a running cluster, and the collector that gives them back: on evidence, exactly those, whatever the API server
 * does meanwhile. The lab's own kube-controllers is held still; the tests run theirs, each with the grace that it needs.
 */
const id = `gc-${process.pid}`;
const topology = planTopology(id);
const [node1, node2] = [topology.nodes[0]!, topology.nodes[1]!];
const WITHIN_MS = 60_000;
const poll = { timeout: WITHIN_MS, interval: 100 };

let lab: Lab;
let store: Store;
let ipam: ReturnType<typeof makeIpam>;
const PODS = ["keep", "twin", "leak-1", "leak-2", "leak-3", "far-1", "far-2"];
const pki = `${topology.dir}/pki`;

beforeAll(async () => {
  lab = await openLab({ topology, encap: "auto" });
  store = openEtcd({ endpoints: [lab.endpoints.etcd] });
  ipam = makeIpam({ store });
  const answers = async () => (await store.list("/calico/").catch(() => ({ items: [] }))).items.length > 0;
  await until("etcd answers", answers); // a machine that is busy with starting a cluster may be late
  signal("SIGSTOP", "kube-controllers");
  await apply(...PODS.map((name) => pod(name, name.startsWith("far") ? "node2" : "node1")));
  for (const name of PODS) await until(`pod ${name} is ready`, () => isReady(name));
});

afterAll(async () => {
  await store?.close();
  await lab?.[Symbol.asyncDispose]();
});

/** For set-up, where `expect.poll` has no test to belong to. */
async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + WITHIN_MS;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`Cannot go on: not within ${WITHIN_MS / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const pod = (name: string, nodeName: string) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "default" },
  spec: { nodeName, containers: [{ name: "main", image: "busybox", command: ["sleep", "3600"] }] },
});

async function apply(...items: readonly object[]): Promise<void> {
  const ran = await lab.kubectl(["apply", "--validate=false", "-f", "-"], JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  expect(`${ran.code} ${ran.stderr}`).toMatch(/^0 /);
}

async function kubectl(...args: readonly string[]): Promise<void> {
  const ran = await lab.kubectl(args);
  expect(`${ran.code} ${ran.stderr}`).toMatch(/^0 /);
}

const dropFromApi = (...pods: readonly string[]) => kubectl("delete", "pod", ...pods, "--force", "--grace-period=0", "--wait=false");

async function isReady(name: string): Promise<boolean> {
  const ran = await lab.kubectl(["get", "pod", name, "-o", 'jsonpath={.status.conditions[?(@.type=="Ready")].status}']);
  return ran.stdout === "True" && lab.pod(`default/${name}`) !== undefined;
}

function ipOf(name: string): string {
  const ip = lab.pod(`default/${name}`)?.ips[0]?.split("/")[0];
  if (ip === undefined) throw new Error(`pod ${name} has no address`);
  return ip;
}

/** The lab's processes by name, or of a node. */
function signal(name: NodeJS.Signals, ...which: readonly string[]): void {
  const found = lab.running().filter((p) => which.includes(p.name) || (p.node !== undefined && which.includes(p.node)));
  expect(found.length).toBeGreaterThanOrEqual(which.length);
  for (const { pid } of found) process.kill(pid, name);
}

/** The node's agents die while pods are deleted, and come back without any memory of these, as after a new installation. */
async function leak(...pods: readonly string[]): Promise<readonly string[]> {
  const ips = pods.map(ipOf);
  signal("SIGSTOP", "node1/kubelet");
  await dropFromApi(...pods);
  for (const record of podRecords(`${node1.runDir}/pods`)) {
    if (!pods.includes(record.name)) continue;
    for (const { pid } of record.processes) process.kill(pid, "SIGKILL");
    rmSync(`${node1.runDir}/pods/${record.uid}.json`);
  }
  signal("SIGKILL", "node1/kubelet", "node1/cni", "node1/ipam");
  return ips;
}

const has = async (ip: string) => (await ipam.ownerOf(ip)).ok;
const all = async (ips: readonly string[]) => await Promise.all(ips.map(has));
const calicoKeys = async () => (await store.list("/calico/")).items.map((i) => i.key);
const endpointKeys = async () => (await calicoKeys()).filter((k) => k.includes("/workloadendpoints/"));
const agreed = async () => disagreements(new Map((await store.list("/calico/")).items.map((i) => [i.key, i])));
const ips = (lines: readonly { readonly ip?: string }[]) => [...new Set(lines.map((l) => l.ip))].toSorted();

test("a pod that lives on while its API object is made anew keeps its address, however long its kubelet is away", async () => {
  const ip = ipOf("twin");
  const before = await ipam.ownerOf(ip);
  signal("SIGSTOP", "node1/kubelet");
  await dropFromApi("twin");
  await apply(pod("twin", "node1"));
  await using controllers = await startControllers(lab, lab.kubeconfig, ["--ipam-gc-grace-seconds", "1"]);
  const scans = async () => Number((await controllers.metric('ipam_gc_scans_total{outcome="ok"}'))[0]?.split(" ")[1] ?? 0);
  await expect.poll(scans, poll).toBeGreaterThan(5);
  expect(await ipam.ownerOf(ip)).toEqual(before);
  expect(controllers.said("address released")).toEqual([]);
  signal("SIGCONT", "node1/kubelet");
  await expect.poll(async () => (await lab.kubectl(["get", "pod", "twin", "-o", "jsonpath={.status.podIP}"])).stdout, poll).not.toBe("");
  await expect.poll(() => isReady("twin"), poll).toBe(true);
  expect(await has(ipOf("twin"))).toBe(true);
  expect(await agreed()).toEqual([]);
  expect(await controllers.end("SIGTERM")).toBe(0);
});

test("leaked addresses: a dry run names exactly them with evidence, the run releases exactly them, explain tells why", async () => {
  const leaked = (await leak("leak-1", "leak-2")).toSorted();
  const living = ["keep", "twin", "leak-3", "far-1", "far-2"].map(ipOf);
  const before = await calicoKeys();
  {
    await using dry = await startControllers(lab, lab.kubeconfig, ["--ipam-gc-grace-seconds", "2", "--ipam-gc-dry-run"]);
    await expect.poll(() => ips(dry.said("address would be released")), poll).toEqual(leaked);
    const [first] = dry.said("address would be released");
    expect(JSON.stringify(first?.["evidence"])).toMatch(/"kind":"podMissing","text":"no pod default\/leak-[12]"/);
    await expect.poll(async () => (await dry.status("ipam-audit"))["unowned"], poll).toBe(2);
    expect(await dry.metric('ipam_audit_addresses{state="unowned"}')).toEqual(['ipam_audit_addresses{state="unowned"} 2']);
    expect(await dry.end("SIGTERM")).toBe(0);
    expect(await all(leaked)).toEqual([true, true]);
    expect(await calicoKeys()).toEqual(before);
  }
  await using run = await startControllers(lab, lab.kubeconfig, ["--ipam-gc-grace-seconds", "2"]);
  await expect.poll(() => all(leaked), poll).toEqual([false, false]);
  await expect.poll(() => ips(run.said("address released")), poll).toEqual(leaked);
  expect(await all(living)).toEqual(living.map(() => true));
  expect((await endpointKeys()).filter((k) => /leak--[12]-eth0/.test(k))).toEqual([]);
  expect(await endpointKeys()).toHaveLength(living.length);
  expect(await agreed()).toEqual([]);
  await expect.poll(async () => (await run.status("ipam-audit"))["unowned"], poll).toBe(0);
  const explained = async () => (await lab.calicoctl(["ipam", "explain", leaked[0] ?? "", "--nats", lab.endpoints.nats])).stdout;
  await expect.poll(explained, { ...poll, interval: 1000 }).toMatch(/released by the garbage collector[^]*because no pod default\/leak-/);
  expect(await explained()).toMatch(/State: free/);
  expect(await run.end("SIGTERM")).toBe(0);
});

test("an API server with errors, away, or emptied: nothing is released, nothing removed; when it is back, what is due is", async () => {
  const apiPort = Number(new URL(loadKubeconfig(lab.kubeconfig).server).port);
  await using gate = await openApiGate(pki, { to: apiPort });
  writeKubeconfig(topology, `${topology.dir}/kubeconfig.gate`, `https://127.0.0.1:${gate.port}`);
  await using empty = await startEmptyApi();
  await using run = await startControllers(lab, `${topology.dir}/kubeconfig.gate`, ["--ipam-gc-grace-seconds", "6"]);
  await expect.poll(async () => (await run.status("ipam-gc"))["lastScan"], poll).toBeDefined();
  const [leaked = ""] = await leak("leak-3");
  await expect.poll(() => ips(run.said("address without an owner")), poll).toEqual([leaked]);
  const before = await calicoKeys();
  const failed = async () => Number((await run.metric('ipam_gc_scans_total{outcome="failed"}'))[0]?.split(" ")[1] ?? 0);
  for (const mode of [{ status: 500 }, { status: 401 }, "down", { to: empty.port }] as const) {
    gate.set(mode);
    const from = await failed();
    await expect.poll(failed, poll).toBeGreaterThan(from + 3); // three seconds apart: longer than the grace
    expect([mode, await has(leaked), await calicoKeys()]).toEqual([mode, true, before]);
  }
  expect(run.said("kubernetes api is another cluster's, nothing is mirrored, removed or released")).toHaveLength(1);
  expect(await run.status("kubernetes-api")).toMatchObject({
    inSync: false,
    failing: 1,
    problems: [expect.stringMatching(/another cluster's/)],
  });
  gate.set({ to: apiPort });
  await expect.poll(() => has(leaked), poll).toBe(false);
  await expect.poll(() => ips(run.said("address released")), poll).toEqual([leaked]);
  expect(await agreed()).toEqual([]);
  expect(await run.end("SIGTERM")).toBe(0);
});

/** A second API server of the same certificates and tokens, with nothing in it. */
async function startEmptyApi(): Promise<{ readonly port: number } & AsyncDisposable> {
  const etcd = await startEtcd();
  const port = await freePort();
  const files = ["--tls-cert", `${pki}/api.crt`, "--tls-key", `${pki}/api.key`, "--token-file", `${pki}/token`];
  const at = [
    "--etcd",
    etcd.endpoints.join(","),
    "--listen",
    `127.0.0.1:${port}`,
    "--advertise",
    "192.168.81.100",
    "--service-cidr",
    "10.96.0.0/12",
  ];
  const child = spawn(`${root}/setup/run.sh`, ["tools/lab/src/apiserver/main.ts", ...at, ...files], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const dir = mkdtempSync("/tmp/calico-empty-");
  writeKubeconfig(topology, `${dir}/kubeconfig`, `https://127.0.0.1:${port}`);
  const answers = async () => (await exec(["kubectl", "--kubeconfig", `${dir}/kubeconfig`, "get", "namespaces"])).code;
  await expect.poll(answers, poll).toBe(0);
  return {
    port,
    async [Symbol.asyncDispose]() {
      await killChild(child);
      await etcd.stop();
      rmSync(dir, { recursive: true });
    },
  };
}

test("ipam check --kubeconfig: a pod of the API is a user of its address though no endpoint tells of it", async () => {
  const got = await ipam.autoAssign({
    node: "node1",
    num4: 1,
    num6: 0,
    handle: "paper",
    attrs: { node: "node1", pod: "paper", namespace: "default" },
  });
  const ip = (got.ok ? got.value.v4.ips[0]?.address : undefined)?.split("/")[0] ?? "";
  const check = async (...args: readonly string[]) =>
    (await lab.calicoctl(["ipam", "check", "--show-all-ips", "--show-problem-ips", ...args])).stdout;
  const kube = openKubeClient(loadKubeconfig(lab.kubeconfig));
  try {
    await kube.create(RESOURCES.pods, pod("paper", "nowhere"));
    const status = { phase: "Running", podIP: ip, podIPs: [{ ip }] };
    await kube.patch(RESOURCES.pods, { namespace: "default", name: "paper", subresource: "status" }, { type: "merge", body: { status } });
    expect(await check()).toMatch(new RegExp(`${ip} leaked; handle=paper pod=default/paper[^]*Check complete; found 1 problems`));
    expect(await check("--kubeconfig", lab.kubeconfig)).toMatch(
      new RegExp(`${ip} in use by Pod\\(default/paper\\)[^]*Check complete; found 0 problems`),
    );
    const away = await lab.calicoctl(["ipam", "check", "--kubeconfig", "/nowhere/kubeconfig"]);
    expect(`${away.code} ${away.stderr}`).toMatch(/^1 .*\/nowhere\/kubeconfig/);
  } finally {
    kube.close();
    await dropFromApi("paper");
    await ipam.releaseByHandle("paper");
  }
});

test("policies that cannot be converted: the others are, and status, metric and log tell which are not", async () => {
  const policy = (name: string, spec: object) => ({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name, namespace: "default" },
    spec,
  });
  await using run = await startControllers(lab, lab.kubeconfig, []);
  const bad = { matchExpressions: [{ key: "a", operator: "Bogus", values: ["b"] }] };
  await apply(
    policy("bad-selector", { podSelector: bad }),
    policy("bad-port", { podSelector: {}, ingress: [{ ports: [{ port: 70000 }] }, { ports: [{ port: 80 }] }] }),
    policy("good", { podSelector: { matchLabels: { none: "such" } } }),
  );
  const stored = async () =>
    (await calicoKeys()).flatMap((k) => /networkpolicies\/default\/(knp\.default\.(?:bad|good).*)/.exec(k)?.[1] ?? []).toSorted();
  await expect.poll(stored, poll).toEqual(["knp.default.bad-port", "knp.default.good"]);
  expect(await run.status("policy")).toMatchObject({
    inSync: true,
    failing: 2,
    problems: expect.arrayContaining([
      expect.stringMatching(/^default\/bad-selector: .*Bogus/),
      expect.stringMatching(/^default\/bad-port: spec\.ingress\[0\].*70000/),
    ]),
  });
  expect(await run.metric('kube_controllers_objects_with_problems{controller="policy"}')).toEqual([expect.stringMatching(/ 2$/)]);
  expect(run.said("object not converted").map((l) => l["key"])).toEqual(["default/bad-selector"]);
  expect(run.said("parts of an object not converted").map((l) => l["key"])).toEqual(["default/bad-port"]);
  await kubectl("delete", "networkpolicy", "bad-selector", "bad-port", "good");
  await expect.poll(async () => await run.status("policy"), poll).toMatchObject({ failing: 0, problems: [] });
  await expect.poll(stored, poll).toEqual([]);
});

test("kube-controllers killed again and again while it releases: it converges, and at no point are records at odds or the living touched", async () => {
  const ghosts: string[] = [];
  for (let i = 0; i < 24; i++) {
    const attrs = { node: "node1", pod: `ghost-${i}`, namespace: "default" };
    const got = await ipam.autoAssign({ node: "node1", num4: i % 3 === 0 ? 2 : 1, num6: 0, handle: `k8s-pod-network.ghost${i}`, attrs });
    const mine = got.ok ? got.value.v4.ips.map((a) => a.address.split("/")[0] ?? "") : [];
    const name = `node1-k8s-ghost--${i}-eth0`;
    const spec = { node: "node1", orchestrator: "k8s", pod: `ghost-${i}`, endpoint: "eth0", ipNetworks: mine.map((ip) => `${ip}/32`) };
    const wep = { apiVersion: "projectcalico.org/v3", kind: "WorkloadEndpoint", metadata: { name, namespace: "default" }, spec };
    if (i % 2 === 0) await store.put(keyOf({ kind: "WorkloadEndpoint", namespace: "default", name }), JSON.stringify(wep));
    ghosts.push(...mine);
  }
  expect(ghosts).toHaveLength(32);
  const living = ["keep", "twin", "far-1", "far-2"].map(ipOf);
  const owners = await Promise.all(living.map((ip) => ipam.ownerOf(ip)));
  const left = async () => (await all(ghosts)).filter(Boolean).length;
  let kills = 0;
  while ((await left()) > 0) {
    const before = await left();
    await using run = await startControllers(lab, lab.kubeconfig, ["--ipam-gc-grace-seconds", "1"]);
    const releases = () => run.said("address released").length + run.said("endpoint without a pod removed").length;
    // Killed in the middle of the work while there is enough of it, each time after another number of steps.
    await expect.poll(releases, { timeout: WITHIN_MS, interval: 1 }).toBeGreaterThan(Math.min(kills * 2, before - 1));
    await run.end("SIGKILL");
    kills++;
    expect(await agreed()).toEqual([]);
    expect(await Promise.all(living.map((ip) => ipam.ownerOf(ip)))).toEqual(owners);
    expect(kills).toBeLessThan(40);
  }
  expect(kills).toBeGreaterThan(1);
  expect((await endpointKeys()).filter((k) => k.includes("ghost"))).toEqual([]);
});

test("a node that is deleted: its pods' addresses at once, then its claims, its Calico node last; the other node's are untouched", async () => {
  await using run = await startControllers(lab, lab.kubeconfig, ["--ipam-gc-grace-seconds", "3600"]);
  await expect.poll(async () => (await run.status("ipam-gc"))["lastScan"], poll).toBeDefined();
  const gone = ["far-1", "far-2"].map(ipOf).toSorted();
  const { revision } = await store.list("/calico/");
  signal("SIGSTOP", "node2");
  await kubectl("delete", "node", "node2");
  await expect
    .poll(() => run.said("node would be removed").length + run.said("address without an owner").length, { timeout: 3000 })
    .toBe(0);
  expect(await all(gone)).toEqual([true, true]); // its pods are in the API yet
  await dropFromApi("far-1", "far-2");
  await using again = await startControllers(lab, lab.kubeconfig, ["--ipam-gc-grace-seconds", "3600", "--ipam-gc-dry-run"]);
  await expect.poll(async () => (await again.status("ipam-gc"))["lastScan"], poll).toBeDefined();
  expect(again.said("address would be released")).toEqual([]); // never seen by this process: late, not gone
  expect(await again.end("SIGTERM")).toBe(0);
  await expect.poll(() => all(gone), poll).toEqual([false, false]);
  const node = keyOf({ kind: "Node", name: node2.name });
  await expect.poll(async () => await store.get(node), poll).toBeUndefined();
  await expect.poll(() => ips(run.said("address released")), poll).toEqual(gone);
  const deleted: string[] = [];
  const stop = new AbortController();
  for await (const change of store.watch("/calico/", { fromRevision: revision + 1, signal: stop.signal })) {
    if (change.kind === "delete") deleted.push(change.key);
    if (change.kind === "delete" && change.key === node) stop.abort();
  }
  expect(deleted.at(-1)).toBe(node);
  expect((await calicoKeys()).filter((k) => k.includes("node2"))).toEqual([]);
  expect(await agreed()).toEqual([]);
  expect(await all([ipOf("keep"), ipOf("twin")])).toEqual([true, true]);
  expect(await run.end("SIGTERM")).toBe(0);
});
