import { recordingLogger } from "@calico/daemon/testing";
import { resourceClient } from "@calico/datastore";
import { makeFakeStore } from "@calico/datastore/testing";
import { type KubeObject, RESOURCES } from "@calico/kube-client";
import { fakeApi } from "@calico/kube-client/testing";
import { keyOf } from "@calico/model";
import { afterEach, expect, test } from "vitest";
import { makeControllers } from "../src/controllers.ts";

const running: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const r of running.splice(0)) await r.stop();
});

function world(o: { reconcileMs?: number } = {}) {
  const api = fakeApi();
  const store = makeFakeStore();
  const datastore = resourceClient(store);
  const log = recordingLogger();
  const counted = new Map<string, number>();
  const shown = new Map<string, number>();
  const metrics = {
    inc: (name: string, labels = {}, by = 1) =>
      void counted.set(`${name} ${Object.values(labels).join()}`, (counted.get(`${name} ${Object.values(labels).join()}`) ?? 0) + by),
    set: (name: string, value: number, labels = {}) => void shown.set(`${name} ${Object.values(labels).join()}`, value),
  };
  const start = () => {
    const abort = new AbortController();
    const controllers = makeControllers({
      kube: api,
      store,
      datastore,
      log,
      metrics,
      clock: () => Date.now(),
      signal: abort.signal,
      reconcileMs: o.reconcileMs ?? 3_600_000,
    });
    const done = Promise.all(controllers.map((c) => c.run()));
    const stop = async () => {
      abort.abort();
      api.breakWatches();
      await done;
    };
    running.push({ stop });
    return { controllers, stop };
  };
  const names = (plural: string) =>
    [...store.dump().keys()]
      .filter((k) => k.includes(`/${plural}/`))
      .map((k) => k.slice(k.indexOf(plural) + plural.length + 1))
      .toSorted();
  return { api, store, datastore, log, counted, shown, start, names };
}

const ns = (name: string, labels = {}): KubeObject => ({ metadata: { name, labels } });
const policy = (name: string, spec: object): KubeObject => ({ metadata: { name, namespace: "d" }, spec });
const bogus = { podSelector: { matchExpressions: [{ key: "a", operator: "Bogus" }] } };

test("controllers: what is there is mirrored, changes follow, deletes follow", async () => {
  const { api, datastore, start, names } = world();
  api.set(RESOURCES.namespaces, ns("d", { a: "1" }));
  api.set(RESOURCES.serviceAccounts, { metadata: { name: "bot.v1", namespace: "d" } });
  api.set(RESOURCES.networkPolicies, policy("p", { podSelector: {} }));
  api.set(RESOURCES.services, { metadata: { name: "s", namespace: "d" }, spec: { clusterIP: "10.0.0.1", ports: [{ port: 1 }] } });
  start();
  await expect.poll(() => names("profiles")).toEqual(["kns.d", "ksa.d.bot.v1"]);
  await expect.poll(() => names("networkpolicies")).toEqual(["d/knp.default.p"]);
  await expect.poll(() => names("kubernetesservice")).toEqual(["d/s"]);
  api.set(RESOURCES.namespaces, ns("d", { a: "2" }));
  const label = async () => {
    const got = await datastore.get({ kind: "Profile", name: "kns.d" });
    return got.ok && got.value.spec.labelsToApply?.["pcns.a"];
  };
  await expect.poll(label).toBe("2");
  api.remove(RESOURCES.serviceAccounts, "d/bot.v1");
  api.remove(RESOURCES.networkPolicies, "d/p");
  api.remove(RESOURCES.services, "d/s");
  await expect.poll(() => [...names("profiles"), ...names("networkpolicies"), ...names("kubernetesservice")]).toEqual(["kns.d"]);
});

test("controllers: what went while they were away is removed, what is not theirs is left", async () => {
  const { api, datastore, start, names } = world();
  await datastore.create({ kind: "Profile", metadata: { name: "kns.gone" }, spec: {} });
  await datastore.create({ kind: "Profile", metadata: { name: "mine" }, spec: {} });
  await datastore.create({ kind: "NetworkPolicy", metadata: { name: "knp.default.gone", namespace: "d" }, spec: {} });
  await datastore.create({ kind: "NetworkPolicy", metadata: { name: "mine", namespace: "d" }, spec: {} });
  api.set(RESOURCES.namespaces, ns("d"));
  start();
  await expect.poll(() => names("profiles")).toEqual(["kns.d", "mine"]);
  await expect.poll(() => names("networkpolicies")).toEqual(["d/mine"]);
});

test("controllers: nothing is deleted while the API server cannot be listed", async () => {
  const { api, datastore, start, names, counted } = world();
  await datastore.create({ kind: "Profile", metadata: { name: "kns.d" }, spec: {} });
  api.refuse("list", 14);
  const { controllers } = start();
  await expect.poll(() => counted.get("kube_controllers_reflector_errors_total namespace") ?? 0).toBeGreaterThan(0);
  expect(names("profiles")).toEqual(["kns.d"]);
  expect(controllers.every((c) => !c.status().inSync)).toBe(true);
});

test("controllers: a policy that cannot be converted stops no other, is said and counted, and what is stored for it stays", async () => {
  const { api, store, start, names, log, counted, shown } = world();
  api.set(RESOURCES.networkPolicies, policy("p", { podSelector: {} }));
  const { controllers } = start();
  await expect.poll(() => names("networkpolicies")).toEqual(["d/knp.default.p"]);
  const before = await store.get(keyOf({ kind: "NetworkPolicy", namespace: "d", name: "knp.default.p" }));
  api.set(RESOURCES.networkPolicies, policy("p", bogus));
  api.set(RESOURCES.networkPolicies, policy("q", bogus));
  api.set(RESOURCES.networkPolicies, policy("r", { podSelector: {} }));
  await expect.poll(() => names("networkpolicies")).toEqual(["d/knp.default.p", "d/knp.default.r"]);
  expect(await store.get(keyOf({ kind: "NetworkPolicy", namespace: "d", name: "knp.default.p" }))).toEqual(before);
  expect(counted.get("kube_controllers_conversion_problems_total policy")).toBe(2);
  expect(log.lines.filter((l) => l.message === "object not converted").map((l) => l.fields["key"])).toEqual(["d/p", "d/q"]);
  const status = () => controllers.find((c) => c.name === "policy")?.status();
  expect(status()).toMatchObject({ failing: 2, problems: [expect.stringMatching(/^d\/p: .*operator/), expect.stringMatching(/^d\/q: /)] });
  expect(shown.get("kube_controllers_objects_with_problems policy")).toBe(2);
  api.remove(RESOURCES.networkPolicies, "d/q");
  await expect.poll(status).toMatchObject({ failing: 1, problems: [expect.stringMatching(/^d\/p: /)] });
});

test("controllers: a store that fails is written to again", async () => {
  const { api, store, start, names, log } = world();
  start();
  api.set(RESOURCES.namespaces, ns("a"));
  await expect.poll(() => names("profiles")).toEqual(["kns.a"]);
  store.failNext({ when: "before", op: "create", times: 2 });
  api.set(RESOURCES.namespaces, ns("b"));
  await expect.poll(() => names("profiles")).toEqual(["kns.a", "kns.b"]);
  expect(log.lines.filter((l) => l.message === "write failed, retrying")).toHaveLength(2);
});

test("controllers: drift is repaired by the full comparison, and only what differs is written", async () => {
  const { api, store, datastore, start, names } = world({ reconcileMs: 40 });
  api.set(RESOURCES.namespaces, ns("a"));
  api.set(RESOURCES.namespaces, ns("b"));
  start();
  await expect.poll(() => names("profiles")).toEqual(["kns.a", "kns.b"]);
  const quiet = store.revision;
  await datastore.delete({ kind: "Profile", name: "kns.a" });
  await expect.poll(() => names("profiles")).toEqual(["kns.a", "kns.b"]);
  expect(store.revision).toBe(quiet + 2);
});

const endpoint = (labels = {}) => ({
  kind: "WorkloadEndpoint" as const,
  metadata: { name: "n1-k8s-web-eth0", namespace: "d", labels },
  spec: { node: "n1", orchestrator: "k8s", pod: "web", endpoint: "eth0" },
});
const pod = (labels: object) => ({
  metadata: { name: "web", namespace: "d", labels: labels as Record<string, string> },
  spec: { serviceAccountName: "bot" },
});

test("controllers: a pod's labels reach its endpoint, whichever comes first; endpoints are never made", async () => {
  const { api, datastore, start, names } = world();
  start();
  const app = async () => {
    const got = await datastore.get({ kind: "WorkloadEndpoint", namespace: "d", name: "n1-k8s-web-eth0" });
    return got.ok ? got.value.metadata.labels?.["app"] : got.error.kind;
  };
  api.set(RESOURCES.pods, pod({ app: "1" }));
  expect(await app()).toBe("doesNotExist");
  await datastore.create(endpoint({ app: "0" }));
  await expect.poll(app).toBe("1");
  api.set(RESOURCES.pods, pod({ app: "2" }));
  await expect.poll(app).toBe("2");
  api.remove(RESOURCES.pods, "d/web");
  api.set(RESOURCES.namespaces, ns("marker"));
  await expect.poll(() => names("profiles")).toEqual(["kns.marker"]);
  expect(await app()).toBe("2");
});

test("controllers: a node's labels follow; its Calico node is not theirs to remove", async () => {
  const { api, datastore, start, names } = world();
  await datastore.create({
    kind: "Node",
    metadata: { name: "n1", labels: { mine: "1" } },
    spec: { orchRefs: [{ nodeName: "n1", orchestrator: "k8s" }] },
  });
  await datastore.create({ kind: "Node", metadata: { name: "other" }, spec: {} });
  api.set(RESOURCES.nodes, { metadata: { name: "n1", labels: { zone: "a" } } });
  start();
  const labels = async () => {
    const got = await datastore.get({ kind: "Node", name: "n1" });
    return got.ok ? got.value.metadata.labels : got.error.kind;
  };
  await expect.poll(labels).toEqual({ mine: "1", zone: "a" });
  api.remove(RESOURCES.nodes, "n1");
  api.set(RESOURCES.namespaces, ns("marker"));
  await expect.poll(() => names("profiles")).toEqual(["kns.marker"]);
  expect(names("nodes")).toEqual(["n1", "other"]);
});
