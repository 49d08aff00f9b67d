import { blockKey, err, keyOf, ok } from "@calico/model";
import { beforeEach, expect, test } from "vitest";
import { type FakeStore, makeFakeStore } from "../testing/fake-store.ts";
import { type ResourceClient, resourceClient } from "./resource-client.ts";

let store: FakeStore;
let objects: ResourceClient;
let released: string[];
let releaseFault: string | undefined;
const ipam = {
  async releasePoolAffinities(pool: string) {
    released.push(pool);
    return releaseFault === undefined ? ok([]) : err({ message: releaseFault });
  },
  async releaseIps(requests: readonly { readonly ip: string }[]) {
    released.push(...requests.map(({ ip }) => ip));
    return releaseFault === undefined ? ok([]) : err({ message: releaseFault });
  },
  async removeHost(node: string) {
    released.push(node);
    return ok([]);
  },
};
beforeEach(() => {
  store = makeFakeStore();
  objects = resourceClient(store, { ipam: async () => ipam, settleMs: 0 });
  [released, releaseFault] = [[], undefined];
});

const pool = (name: string, spec: object = {}) => ({ kind: "IPPool" as const, metadata: { name }, spec: { cidr: "10.0.0.0/16", ...spec } });
const policy = (name: string, spec: object = {}) => ({
  kind: "NetworkPolicy" as const,
  metadata: { name, namespace: "prod" },
  spec: { selector: "all()", ...spec },
});

test("create: fills defaults, uid and creation time; stores no resourceVersion", async () => {
  const made = await objects.create(pool("p"));
  if (!made.ok) throw new Error(made.error.message);
  expect(made.value.spec).toMatchObject({ cidr: "10.0.0.0/16", blockSize: 26, natOutgoing: false, ipipMode: "Never" });
  expect(made.value.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
  expect(made.value.metadata.creationTimestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  const stored = await store.get("/calico/resources/v3/projectcalico.org/ippools/p");
  expect(made.value.metadata.resourceVersion).toBe(String(stored?.modRevision));
  const json = JSON.parse(stored?.value ?? "{}") as { metadata: object; apiVersion: string };
  expect(json.apiVersion).toBe("projectcalico.org/v3");
  expect(Object.keys(json.metadata).sort()).toEqual(["creationTimestamp", "name", "uid"]);
  expect(await objects.get({ kind: "IPPool", name: "p" })).toEqual(made);
});

test.for([
  {
    name: "create of what exists",
    run: async () => (await objects.create(pool("p")), objects.create(pool("p"))),
    want: /^resource already exists: IPPool\(p\) with error: /,
  },
  {
    name: "create with a resourceVersion",
    run: () => objects.create({ ...pool("p"), metadata: { name: "p", resourceVersion: "3" } }),
    want: /error with field Metadata.ResourceVersion = '3' \(field must not be set for a Create request\)/,
  },
  {
    name: "create without a name",
    run: () => objects.create(pool("")),
    want: /Metadata.Name = '' \(field must be set for a Create request \(GenerateName is not supported\)\)/,
  },
  {
    name: "a namespaced kind without namespace",
    run: () => objects.create({ ...policy("x"), metadata: { name: "x" } }),
    want: /namespace is not specified on namespaced resource/,
  },
  { name: "a bad spec", run: () => objects.create(pool("p", { cidr: "10.0.0.1/16" })), want: /spec\.cidr/ },
  {
    name: "get of nothing",
    run: () => objects.get({ kind: "IPPool", name: "p" }),
    want: /^resource does not exist: IPPool\(p\) with error: /,
  },
  {
    name: "get of nothing in a namespace",
    run: () => objects.get({ kind: "NetworkPolicy", namespace: "prod", name: "x" }),
    want: /^resource does not exist: NetworkPolicy\(prod\/x\) with error: /,
  },
  {
    name: "update without identity",
    run: () => objects.update(pool("p")),
    want: /Metadata.ResourceVersion[^]*Metadata.CreationTimestamp[^]*Metadata.UID/,
  },
  {
    name: "a policy of a tier that is not there",
    run: () => objects.create(policy("x", { tier: "security" })),
    want: /^resource does not exist: Tier\(security\)/,
  },
  {
    name: "delete of a built-in tier",
    run: () => objects.delete({ kind: "Tier", name: "kube-admin" }),
    want: /^operation Delete is not supported on Tier\(kube-admin\)/,
  },
  {
    name: "delete of a tier in use",
    run: async () => {
      await objects.create({ kind: "Tier", metadata: { name: "security" }, spec: { order: 10 } });
      await objects.create(policy("security.x", { tier: "security" }));
      return objects.delete({ kind: "Tier", name: "security" });
    },
    want: /Cannot delete a non-empty tier/,
  },
  {
    name: "create of the built-in profile",
    run: () => objects.create({ kind: "Profile", metadata: { name: "projectcalico-default-allow" } }),
    want: /^resource already exists: Profile\(projectcalico-default-allow\)/,
  },
])("resourceClient refuses $name", async ({ run, want }) => {
  const result = await run();
  expect(result.ok).toBe(false);
  if (!result.ok) expect(result.error.message).toMatch(want);
});

test.for([
  {
    name: "a pool over another",
    run: async () => (await objects.create(pool("a")), objects.create(pool("b", { cidr: "10.0.128.0/20" }))),
    want: "error with field IPPool.Spec.CIDR = '10.0.128.0/20' (IPPool(b) CIDR overlaps with IPPool(a) CIDR 10.0.0.0/16)",
  },
  {
    name: "a pool over blocks of another size",
    run: async () => (await store.put(blockKey("10.0.1.0/24"), "{}"), objects.apply(pool("a"))),
    want: /IPPool\.Spec\.BlockSize = '26' \(IPPool\(a\) blocksize is not the same as existing block 10\.0\.1\.0\/24/,
  },
  {
    name: "a pool that moves",
    run: async () => (await objects.create(pool("a")), objects.apply(pool("a", { cidr: "10.1.0.0/16" }))),
    want: "error with field IPPool.Spec.CIDR = '10.1.0.0/16' (IPPool CIDR cannot be modified)",
  },
  {
    name: "a pool with other blocks",
    run: async () => (await objects.create(pool("a")), objects.apply(pool("a", { blockSize: 28 }))),
    want: /IPPool BlockSize cannot be modified/,
  },
  {
    name: "a pool that becomes one for load balancers",
    run: async () => (await objects.create(pool("a")), objects.apply(pool("a", { allowedUses: ["LoadBalancer"] }))),
    want: /LoadBalancer cannot be added or removed/,
  },
  {
    name: "a pool's deletion by a client without IPAM",
    run: async () => (await objects.create(pool("a")), resourceClient(store).delete({ kind: "IPPool", name: "a" })),
    want: /^operation Delete is not supported on IPPool\(a\): this client cannot give back the pool's blocks/,
  },
])("resourceClient refuses $name", async ({ run, want }) => {
  const result = await run();
  expect(result.ok ? "done" : result.error.message).toMatch(want);
});

test("pools: parts of a pool that is split overlap it", async () => {
  await objects.create(pool("a"));
  expect((await objects.create(pool("b", { cidr: "10.0.128.0/20" }), { unsafe: true })).ok).toBe(true);
});

test("pools: a deletion disables, gives back, deletes; cut short, it leaves a disabled pool and says so", async () => {
  await objects.create(pool("a"));
  releaseFault = "etcd is away";
  const failed = await objects.delete({ kind: "IPPool", name: "a" });
  expect(failed.ok ? "" : failed.error.message).toBe("operation partially failed: IPPool(a) is disabled, but not deleted: etcd is away");
  const left = await objects.get({ kind: "IPPool", name: "a" });
  expect(left).toMatchObject({ ok: true, value: { spec: { disabled: true } } });
  releaseFault = undefined;
  expect((await objects.delete({ kind: "IPPool", name: "a" }, left.ok ? left.value.metadata.resourceVersion : "")).ok).toBe(true);
  expect(released).toEqual(["10.0.0.0/16", "10.0.0.0/16"]);
});

test("nodes: a deletion takes the node's endpoints, addresses and claims along, and nobody else's", async () => {
  const wep = (node: string, pod: string, ip: string) => ({
    kind: "WorkloadEndpoint" as const,
    metadata: { name: `${node}-k8s-${pod}-eth0`, namespace: "prod" },
    spec: { orchestrator: "k8s", node, pod, endpoint: "eth0", ipNetworks: [`${ip}/32`, "fd00::1/128"] },
  });
  await objects.create({
    kind: "Node",
    metadata: { name: "n1" },
    spec: { bgp: { ipv4Address: "192.168.0.1/24", ipv4IPIPTunnelAddr: "10.0.0.9" } },
  });
  await objects.create(wep("n1", "a", "10.0.0.1"));
  await objects.create(wep("n2", "b", "10.0.0.2"));
  releaseFault = "etcd is away";
  const failed = await objects.delete({ kind: "Node", name: "n1" });
  expect(failed.ok ? "" : failed.error.message).toBe(
    "operation partially failed: Node(n1) is not deleted, its addresses are not free: etcd is away",
  );
  [released, releaseFault] = [[], undefined];
  expect(await objects.delete({ kind: "Node", name: "n1" }, "1")).toMatchObject({ error: { kind: "updateConflict" } });
  expect(released).toEqual([]);
  expect((await objects.delete({ kind: "Node", name: "n1" })).ok).toBe(true);
  expect(released).toEqual(["10.0.0.1", "fd00::1", "10.0.0.9", "n1"]);
  expect((await objects.list("WorkloadEndpoint")).items.map(({ spec }) => spec.node)).toEqual(["n2"]);
  expect(await objects.delete({ kind: "Node", name: "n1" })).toMatchObject({ error: { kind: "doesNotExist" } });
});

test("update: the second of two writers from one revision conflicts", async () => {
  const made = await objects.create(pool("p"));
  if (!made.ok) throw new Error(made.error.message);
  const disabled = { ...made.value, spec: { ...made.value.spec, disabled: true } };
  expect(await objects.update(disabled)).toMatchObject({ ok: true, value: { spec: { disabled: true } } });
  expect(await objects.update(disabled)).toMatchObject({
    ok: false,
    error: { kind: "updateConflict", message: "update conflict: IPPool(p)" },
  });
  expect(await objects.delete({ kind: "IPPool", name: "p" }, made.value.metadata.resourceVersion)).toMatchObject({
    ok: false,
    error: { kind: "updateConflict" },
  });
  expect(await objects.delete({ kind: "IPPool", name: "p" })).toMatchObject({ ok: true, value: { spec: { disabled: true } } });
  expect(await objects.update(disabled)).toMatchObject({ ok: false, error: { kind: "doesNotExist" } });
});

test("apply: creates, then changes, then writes nothing when nothing changes", async () => {
  const first = await objects.apply(pool("p"));
  const second = await objects.apply(pool("p", { natOutgoing: true }));
  const third = await objects.apply(pool("p", { natOutgoing: true }));
  if (!first.ok || !second.ok) throw new Error("apply failed");
  expect(second.value.metadata.uid).toBe(first.value.metadata.uid);
  expect(second.value.spec.natOutgoing).toBe(true);
  expect(third).toEqual(second);
});

test("apply: goes on when another writes in between", async () => {
  await objects.create(pool("p"));
  store.failNext({ when: "before", op: "update" });
  await expect(objects.apply(pool("p", { disabled: true }))).rejects.toThrow(/injected fault/);
  const [a, b] = await Promise.all([objects.apply(pool("p", { disabled: true })), objects.apply(pool("p", { natOutgoing: true }))]);
  expect([a.ok, b.ok]).toEqual([true, true]);
});

test("policies: name annotation and tier label are stored, and only the label is shown", async () => {
  const made = await objects.create(policy("allow-dns"));
  expect(made).toMatchObject({ ok: true, value: { metadata: { name: "allow-dns", labels: { "projectcalico.org/tier": "default" } } } });
  if (made.ok) expect(made.value.metadata.annotations).toBeUndefined();
  const stored = JSON.parse((await store.get(keyOf({ kind: "NetworkPolicy", namespace: "prod", name: "allow-dns" })))?.value ?? "{}");
  expect(stored.metadata.annotations).toEqual({ "projectcalico.org/metadata": '{"name":"allow-dns"}' });
  expect(stored.spec.types).toEqual(["Ingress"]);
});

test("policies: a name that an older Calico prefixed is shown without its prefix", async () => {
  const old = { kind: "NetworkPolicy", apiVersion: "projectcalico.org/v3", metadata: { name: "default.old", namespace: "prod" }, spec: {} };
  await store.put(keyOf({ kind: "NetworkPolicy", namespace: "prod", name: "default.old" }), JSON.stringify(old));
  const { items } = await objects.list("NetworkPolicy");
  expect(items.map((p) => `${p.metadata.name} ${p.metadata.labels?.["projectcalico.org/tier"]}`)).toEqual(["old default"]);
});

test("list: one namespace, the built-in profile, and what cannot be read apart", async () => {
  await objects.create(policy("a"));
  await objects.create({ ...policy("b"), metadata: { name: "b", namespace: "prod-2" } });
  expect((await objects.list("NetworkPolicy", "prod")).items.map((p) => p.metadata.name)).toEqual(["a"]);
  expect((await objects.list("Profile")).items.map((p) => p.metadata.name)).toEqual(["projectcalico-default-allow"]);
  await objects.create(pool("good"));
  await store.put("/calico/resources/v3/projectcalico.org/ippools/bad", "{");
  const pools = await objects.list("IPPool");
  expect(pools.items.map((p) => p.metadata.name)).toEqual(["good"]);
  expect(pools.unparsable.map((e) => e.message)).toEqual([
    expect.stringMatching(/^failed to parse datastore entry key=.*ippools\/bad; value=\{: it is not JSON/),
  ]);
  expect(pools.resourceVersion).toBe(String(store.revision));
});

test("ensureInitialized: many at once agree on one cluster", async () => {
  await Promise.all([1, 2, 3].map((i) => objects.ensureInitialized({ clusterType: `t${i}` })));
  const info = await objects.get({ kind: "ClusterInformation", name: "default" });
  if (!info.ok) throw new Error(info.error.message);
  expect(info.value.spec.clusterGUID).toMatch(/^[0-9a-f]{32}$/);
  expect(info.value.spec.clusterType?.split(",").sort()).toEqual(["t1", "t2", "t3"]);
});
