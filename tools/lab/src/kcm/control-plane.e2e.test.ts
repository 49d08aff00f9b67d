import { performance } from "node:perf_hooks";
import process from "node:process";
import { openEtcd } from "@calico/datastore";
import { untilReady } from "@calico/datastore/testing";
import { loadKubeconfig, type KubeClient, openKubeClient, RESOURCES } from "@calico/kube-client";
import { keyOf, prefixOf } from "@calico/model";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ControlPlane, type Program, type Runtime, startControlPlane } from "../apiserver/testing/control-plane.ts";

let cluster: ControlPlane;
let kube: KubeClient;
let store: ReturnType<typeof openEtcd>;
let kcm: Program;
let controllers: Program;

const runtime = (process.env["CALICO_RUNTIME"] ?? "deno") as Runtime;

beforeAll(async () => {
  cluster = await startControlPlane({ runtime });
  kube = openKubeClient(loadKubeconfig(cluster.kubeconfig));
  store = openEtcd({ endpoints: cluster.etcd });
  kcm = cluster.run("tools/lab/src/kcm/main.ts", ["--kubeconfig", cluster.kubeconfig]);
  const args = ["--kubeconfig", cluster.kubeconfig, "--etcd", cluster.etcd.join(), "--health-port", "-1"];
  controllers = cluster.run("packages/kube-controllers/src/main.ts", args);
  const inSync = async () => controllers.output().split('"in sync"').length - 1 === 8;
  await untilReady(controllers.child, inSync, () => `Cannot start kube-controllers: ${controllers.output()}`);
});

afterAll(async () => {
  kube?.close();
  await store?.close();
  await cluster?.stop();
});

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- a test looks into JSON of many shapes
type Any = any;

const at = { namespace: "default" };
const node = (name: string) => ({ metadata: { name }, status: { conditions: [{ type: "Ready", status: "True" }] } });
const pod = (name: string) => ({
  metadata: { name, ...at, labels: { app: "web" } },
  spec: { containers: [{ name: "c", image: "i", ports: [{ name: "http", containerPort: 8080 }] }] },
});
const nodeOf = async (name: string) => ((await kube.get(RESOURCES.pods, { ...at, name }))["spec"] as { nodeName?: string }).nodeName;
const stored = async (key: string) => JSON.parse((await store.get(key))?.value ?? "null") as Record<string, Any> | null;

test("pods are bound to ready nodes, spread; ready ones become endpoints, in Kubernetes and in Calico's datastore", async () => {
  for (const name of ["n1", "n2"]) await kube.create(RESOURCES.nodes, node(name));
  for (const name of ["a", "b"]) await kube.create(RESOURCES.pods, pod(name));
  await expect.poll(async () => [await nodeOf("a"), await nodeOf("b")].toSorted(), { timeout: 10_000 }).toEqual(["n1", "n2"]);
  await kube.create(RESOURCES.services, {
    metadata: { name: "web", ...at },
    spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: "http" }] },
  });
  const ready = (ip: string) => ({
    type: "strategic" as const,
    body: { status: { phase: "Running", podIP: ip, podIPs: [{ ip }], conditions: [{ type: "Ready", status: "True" }] } },
  });
  await kube.patch(RESOURCES.pods, { ...at, name: "a", subresource: "status" }, ready("192.200.0.1"));
  await kube.patch(RESOURCES.pods, { ...at, name: "b", subresource: "status" }, ready("192.200.0.2"));
  const slice = keyOf({ kind: "KubernetesEndpointSlice", namespace: "default", name: "web-0" });
  const addresses = async () =>
    (await stored(slice))?.["endpoints"]?.filter((e: Any) => e.conditions.ready).map((e: Any) => e.addresses[0]);
  await expect.poll(addresses, { timeout: 10_000 }).toEqual(["192.200.0.1", "192.200.0.2"]);
  expect((await stored(slice))?.["ports"]).toEqual([{ name: "", port: 8080, protocol: "TCP" }]);
  expect(await stored(keyOf({ kind: "KubernetesService", namespace: "default", name: "web" }))).toMatchObject({
    spec: { clusterIP: expect.stringMatching(/^10\.96\./) },
  });
  expect(await cluster.kubectl(["get", "endpoints", "web"])).toMatch(/192\.200\.0\.1:8080,192\.200\.0\.2:8080/);
  expect(await cluster.kubectl(["get", "pods", "-o", "wide"])).toMatch(/a +0\/1 +Running +0 +\S+ +192\.200\.0\.1 +n1/);
});

test("a namespace gets its service account and profiles; deleted, it is emptied and goes", async () => {
  expect(await cluster.kubectl(["create", "namespace", "shop"])).toBe("namespace/shop created");
  const profile = (name: string) => keyOf({ kind: "Profile", name });
  await expect.poll(() => stored(profile("ksa.shop.default")), { timeout: 10_000 }).toMatchObject({ kind: "Profile" });
  expect(await stored(profile("kns.shop"))).toMatchObject({ spec: { labelsToApply: { "pcns.projectcalico.org/name": "shop" } } });
  await kube.create(RESOURCES.configMaps, { metadata: { name: "c", namespace: "shop" } });
  expect(await cluster.kubectl(["delete", "namespace", "shop", "--timeout=15s"])).toMatch(/^namespace "shop" deleted/);
  await expect
    .poll(async () => [await stored(profile("kns.shop")), await stored(profile("ksa.shop.default"))], { timeout: 10_000 })
    .toEqual([null, null]);
});

test("a policy that cannot be converted is said; the one beside it is written", async () => {
  const spec = (operator: string) => ({ podSelector: { matchExpressions: [{ key: "a", operator }] } });
  await kube.create(RESOURCES.networkPolicies, { metadata: { name: "bad", ...at }, spec: spec("Bogus") });
  await kube.create(RESOURCES.networkPolicies, { metadata: { name: "good", ...at }, spec: spec("Exists") });
  const key = (name: string) => keyOf({ kind: "NetworkPolicy", namespace: "default", name: `knp.default.${name}` });
  await expect
    .poll(() => stored(key("good")), { timeout: 10_000 })
    .toMatchObject({ spec: { selector: "projectcalico.org/orchestrator == 'k8s' && has(a)" } });
  expect(await stored(key("bad"))).toBeNull();
  expect(controllers.output()).toMatch(/"key":"default\/bad".*Bogus.*"object not converted"/);
});

test("an API change is in Calico's datastore within milliseconds", async () => {
  const stop = new AbortController();
  const { revision } = await store.list(prefixOf("Profile"));
  const watch = store
    .watch(keyOf({ kind: "Profile", name: "kns.default" }), { fromRevision: revision + 1, signal: stop.signal })
    [Symbol.asyncIterator]();
  const times: number[] = [];
  for (let i = 0; i < 30; i++) {
    await kube.patch(RESOURCES.namespaces, { name: "default" }, { type: "merge", body: { metadata: { labels: { round: String(i) } } } });
    const answered = performance.now();
    for (let round = ""; round !== String(i);) {
      const { value } = await watch.next();
      if (value?.kind === "put") round = JSON.parse(value.value).spec.labelsToApply["pcns.round"] ?? "";
    }
    times.push(performance.now() - answered);
  }
  stop.abort();
  times.sort((a, b) => a - b);
  const [median, worst] = [times[15] ?? Infinity, times.at(-1) ?? Infinity];
  console.log(`API answered → etcd watcher saw it: median ${median.toFixed(1)} ms, max ${worst.toFixed(1)} ms`);
  expect(median).toBeLessThan(50);
  const sizes = { apiserver: cluster.api, kcm, "kube-controllers": controllers };
  console.log(
    `RSS on ${runtime}: ${Object.entries(sizes)
      .map(([name, p]) => `${name} ${p.rssMb().toFixed(0)} MB`)
      .join(", ")}`,
  );
});

test("kill -9 of the API server, then of kube-controllers: both go on where they were", async () => {
  const killed = performance.now();
  await cluster.killApi();
  await cluster.startApi();
  const up = performance.now();
  await kube.patch(RESOURCES.namespaces, { name: "default" }, { type: "merge", body: { metadata: { labels: { after: "api" } } } });
  const label = async () => (await stored(keyOf({ kind: "Profile", name: "kns.default" })))?.["spec"].labelsToApply["pcns.after"];
  await expect.poll(label, { timeout: 10_000 }).toBe("api");
  console.log(
    `API server killed → up: ${Math.round(up - killed)} ms, first change after it in etcd: ${Math.round(performance.now() - up)} ms later`,
  );
  const second = performance.now();
  const gone = new Promise((resolve) => controllers.child.once("exit", resolve));
  controllers.child.kill("SIGKILL");
  await gone;
  await kube.delete(RESOURCES.networkPolicies, { ...at, name: "good" });
  await kube.patch(RESOURCES.namespaces, { name: "default" }, { type: "merge", body: { metadata: { labels: { after: "controllers" } } } });
  controllers = cluster.run("packages/kube-controllers/src/main.ts", [
    "--kubeconfig",
    cluster.kubeconfig,
    "--etcd",
    cluster.etcd.join(),
    "--health-port",
    "-1",
  ]);
  await expect.poll(label, { timeout: 10_000 }).toBe("controllers");
  console.log(`kube-controllers killed → what was missed is in etcd: ${Math.round(performance.now() - second)} ms`);
  await expect
    .poll(() => stored(keyOf({ kind: "NetworkPolicy", namespace: "default", name: "knp.default.good" })), { timeout: 10_000 })
    .toBeNull();
});
