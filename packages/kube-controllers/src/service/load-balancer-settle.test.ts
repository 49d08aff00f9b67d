import { recordingLogger } from "@calico/daemon/testing";
import { makeFakeStore } from "@calico/datastore/testing";
import { makeIpam, parsePool } from "@calico/ipam";
import { disagreements, putPool } from "@calico/ipam/testing";
import { KubeError, type KubeObject, RESOURCES } from "@calico/kube-client";
import { fakeApi } from "@calico/kube-client/testing";
import { keyOf, prefixOf } from "@calico/model";
import fc from "fast-check";
import { expect, test } from "vitest";
import { loadBalancerHandle } from "../adapter/load-balancer-handle.ts";
import { ANNOTATIONS, loadBalancerService } from "../domain/load-balancer-service.ts";
import { type SettlePorts, settleService } from "./load-balancer-settle.ts";
import { loadBalancerPools, makeWorld } from "./load-balancer-world.ts";

/** An API server and a datastore; `dieAfter(n)` lets the controller's n-th write from now be its last. */
function cluster() {
  const api = fakeApi();
  const store = makeFakeStore();
  let left = Infinity;
  let uid = 0;
  const written: string[] = [];
  const spend = (what: string): void => {
    if (left-- <= 0) throw new Error("died");
    written.push(what);
  };
  const ipam = () =>
    makeIpam({ store: { get: store.get, list: store.list, txn: (t) => (spend(t.success[0]?.do ?? "txn"), store.txn(t)) } });
  const patch: SettlePorts["kube"]["patch"] = async (type, { namespace = "", name = "" }, { body }) => {
    const current = await api.get(type, { namespace, name });
    const { metadata, status } = body as KubeObject & { status: { loadBalancer: { ingress: unknown } } };
    if (metadata["resourceVersion"] !== current.metadata.resourceVersion || metadata["uid"] !== current.metadata.uid)
      throw new KubeError("patch", { code: 409, reason: "Conflict", message: "the object has been modified" });
    spend(`status ${name}`);
    return api.set(type, { ...current, status: { loadBalancer: { ingress: status.loadBalancer.ingress ?? undefined } } });
  };
  /** `meanwhile` happens right after the controller looked at the API server. */
  const ports = (meanwhile?: () => Promise<void>): SettlePorts => ({
    ...{
      kube: { list: (...given) => api.list(...given).finally(meanwhile), patch },
      ipam: ipam(),
      handleOf: loadBalancerHandle,
      log: recordingLogger(),
    },
    ...{ metrics: { inc: () => {} }, clock: () => 0 },
  });
  const objects = async () => (await api.list(RESOURCES.services)).items;
  /** What a controller knows that has just listed everything. */
  const look = async () => {
    const world = makeWorld();
    for (const o of (await objects()).map(loadBalancerService))
      if (o.type === "LoadBalancer") world.services.set(`${o.namespace}/${o.name}`, o);
    world.pools = loadBalancerPools((await store.list(prefixOf("IPPool"))).items.map((i) => i.value));
    for (const { key, value } of (await store.list(prefixOf("IPAMBlock"))).items) world.holdings.setBlock(key, value);
    return world;
  };
  return {
    ...{ api, store, ports, look, written, objects, withForeign: new Set<string>() },
    dieAfter: (writes: number) => void (left = writes),
    put: (name: string, spec: object, annotations: Record<string, string> = {}, ingress: readonly object[] = []) =>
      api.set(RESOURCES.services, {
        metadata: { namespace: "d", name, uid: `u${uid++}`, annotations },
        spec: { type: "LoadBalancer", ipFamilies: ["IPv4"], ipFamilyPolicy: "SingleStack", ...spec },
        status: { loadBalancer: { ingress } },
      }),
    settle: async (key: string) => settleService(ports(), await look(), key),
    shown: async (name: string) => ipsOf(await api.get(RESOURCES.services, { namespace: "d", name })),
    held: async (name: string) => (await look()).holdings.of(`d/${name}`).map((h) => h.ip),
  };
}

function ipsOf(object: KubeObject): readonly string[] {
  const { loadBalancer } = object["status"] as { loadBalancer: { ingress?: readonly { ip?: string }[] } };
  return (loadBalancer.ingress ?? []).flatMap((i) => i.ip ?? []);
}

const LB = { allowedUses: ["LoadBalancer"], nodeSelector: "all()" };
const SMALL = { cidr: "10.1.0.0/30", blockSize: 30 };
const pinned = (...ips: string[]) => ({ [ANNOTATIONS.ips]: JSON.stringify(ips) });
const FOREIGN = { ip: "203.0.113.9" };

test("settle: an address is given once, with Calico's record of it, and shown beside those of others", async () => {
  const c = cluster();
  await putPool(c.store, "p", { ...SMALL, ...LB });
  const { metadata } = c.put("web", {}, {}, [FOREIGN]);
  expect(await c.settle("d/web")).toEqual({ assigned: ["10.1.0.0"] });
  expect(await c.shown("web")).toEqual(["203.0.113.9", "10.1.0.0"]);
  const block = JSON.parse((await c.store.get("/calico/ipam/v2/assignment/ipv4/block/10.1.0.0-30"))?.value ?? "");
  const handle = loadBalancerHandle({ namespace: "d", name: "web", uid: metadata.uid ?? "" });
  expect(block).toMatchObject({
    affinity: "virtual:load-balancer",
    attributes: [
      {
        handle_id: handle,
        secondary: { service: "web", namespace: "d", type: "LoadBalancer", timestamp: "1970-01-01 00:00:00.000 +0000 UTC" },
      },
    ],
  });
  expect(await c.store.get("/calico/ipam/v2/virtual/load-balancer/ipv4/block/10.1.0.0-30")).toBeDefined();
  const before = c.written.length;
  expect(await c.settle("d/web")).toEqual({});
  expect(c.written).toHaveLength(before);
});

test.for([
  {
    name: "its pool is full",
    first: { cidr: "10.1.0.0/32", blockSize: 32 },
    want: { reason: "PoolExhausted", text: /no IPv4 address is left/ },
  },
  {
    name: "there is no pool of its family",
    spec: { cidr: "fd00::/124", blockSize: 124 },
    want: { reason: "NoPool", text: /^there is no enabled pool of IPv4 whose allowedUses has LoadBalancer$/ },
  },
  {
    name: "its address is another's",
    annotations: pinned("10.1.0.0"),
    want: { reason: "AddressTaken", text: /10\.1\.0\.0 is of service d\/first/ },
  },
  {
    name: "its address is in no pool",
    annotations: pinned("10.7.0.1"),
    want: { reason: "NoPool", text: /10\.7\.0\.1 cannot be given: .*not in a configured pool/ },
  },
  {
    name: "its annotation is wrong",
    annotations: { [ANNOTATIONS.ips]: "x" },
    want: { reason: "BadRequest", text: /expected a JSON list/ },
  },
  {
    name: "its namespace is not selected",
    spec: { ...SMALL, namespaceSelector: "x == 'y'" },
    want: { reason: "NoPool", text: /cannot find a qualified ippool/ },
  },
])("settle: a service is told why it has no address: $name", async ({ first = SMALL, spec = first, annotations = {}, want }) => {
  const c = cluster();
  await putPool(c.store, "p", { ...first, ...LB });
  c.put("first", {});
  await c.settle("d/first");
  await putPool(c.store, "p", { ...spec, ...LB });
  c.put("web", {}, annotations);
  const { problem, assigned = [] } = await c.settle("d/web");
  expect([problem?.reason, assigned, await c.shown("web")]).toEqual([want.reason, [], []]);
  expect(problem?.text).toMatch(want.text);
});

test("settle: the limit of blocks that Calico has for nodes is none for load balancers", async () => {
  const c = cluster();
  await putPool(c.store, "p", { ...LB, cidr: "10.1.0.0/27", blockSize: 32 });
  for (let i = 0; i < 32; i++) c.put(`s${i}`, {});
  for (let i = 0; i < 32; i++) expect((await c.settle(`d/s${i}`)).assigned).toHaveLength(1);
});

test("settle: what one service costs does not depend on how many others there are", async () => {
  const c = cluster();
  await putPool(c.store, "p", { ...LB, cidr: "10.1.0.0/22", blockSize: 24 });
  for (let i = 0; i < 100; i++) {
    c.put(`s${i}`, {});
    await c.settle(`d/s${i}`);
  }
  const world = await c.look();
  c.written.length = c.api.calls.length = 0;
  for (const key of world.services.keys()) await settleService(c.ports(), world, key);
  expect([c.written, c.api.calls]).toEqual([[], []]);
  world.services.set("d/one", loadBalancerService(c.put("one", {})));
  await settleService(c.ports(), world, "d/one");
  expect([c.written, c.api.calls]).toEqual([["put", "status one"], ["list"]]);
});

test("settle: a service made anew under its name is another owner, and may ask for the same address", async () => {
  const c = cluster();
  await putPool(c.store, "p", { ...SMALL, ...LB });
  c.put("web", {}, pinned("10.1.0.2"));
  await c.settle("d/web");
  c.api.remove(RESOURCES.services, "d/web");
  c.put("web", {}, pinned("10.1.0.2"));
  expect(await c.settle("d/web")).toEqual({ assigned: ["10.1.0.2"] });
  expect([await c.shown("web"), await c.held("web")]).toEqual([["10.1.0.2"], ["10.1.0.2"]]);
});

test("settle: PreferDualStack is content with one family, and takes the other once it can", async () => {
  const c = cluster();
  await putPool(c.store, "p", { ...SMALL, ...LB });
  c.put("web", { ipFamilies: ["IPv4", "IPv6"], ipFamilyPolicy: "PreferDualStack" });
  const settled = await c.settle("d/web");
  expect([settled.problem, settled.assigned, settled.waits?.ips]).toEqual([undefined, ["10.1.0.0"], []]);
  await putPool(c.store, "q", { cidr: "fd00::/124", blockSize: 124, ...LB });
  await c.settle("d/web");
  expect(await c.shown("web")).toEqual(["10.1.0.0", "fd00::"]);
});

test("settle: nothing is released because a watch is behind", async () => {
  const c = cluster();
  await putPool(c.store, "p", { ...SMALL, ...LB });
  const before = await c.look();
  c.put("web", {});
  await c.settle("d/web");
  const behind = { ...(await c.look()), services: before.services };
  expect(await settleService(c.ports(), behind, "d/web")).toEqual({ assigned: [] });
  expect([await c.shown("web"), await c.held("web")]).toEqual([["10.1.0.0"], ["10.1.0.0"]]);
});

test("settle: an address of a pool that was not heard of yet is not given back while it is shown", async () => {
  const c = cluster();
  c.put("web", {}, pinned("10.1.0.0"));
  const behind = await c.look();
  await putPool(c.store, "p", { ...SMALL, ...LB });
  await c.settle("d/web");
  await settleService(c.ports(), behind, "d/web");
  expect([await c.shown("web"), await c.held("web")]).toEqual([["10.1.0.0"], ["10.1.0.0"]]);
});

test("settle: an address that was given to another since is not taken from him", async () => {
  const c = cluster();
  await putPool(c.store, "p", { ...SMALL, ...LB });
  c.put("web", {});
  await c.settle("d/web");
  c.api.remove(RESOURCES.services, "d/web");
  const behind = await c.look();
  await c.settle("d/web");
  c.put("next", {}, pinned("10.1.0.0"));
  await c.settle("d/next");
  expect(await settleService(c.ports(), behind, "d/web")).toEqual({});
  expect([await c.shown("next"), await c.held("next")]).toEqual([["10.1.0.0"], ["10.1.0.0"]]);
});

test("settle: what others write into the status meanwhile stays", async () => {
  const c = cluster();
  await putPool(c.store, "p", { ...SMALL, ...LB });
  const object = c.put("web", {});
  let once: (() => void) | undefined = () =>
    void c.api.set(RESOURCES.services, { ...object, status: { loadBalancer: { ingress: [FOREIGN] } } });
  const ports = c.ports(async () => (once?.(), (once = undefined)));
  expect(await settleService(ports, await c.look(), "d/web")).toMatchObject({ assigned: [] });
  expect([await c.shown("web"), await c.held("web")]).toEqual([["203.0.113.9", "10.1.0.0"], ["10.1.0.0"]]);
});

test("settle: a status that the API server refuses keeps what is shown held", async () => {
  const c = cluster();
  await putPool(c.store, "p", { ...SMALL, ...LB });
  c.put("web", {});
  await c.settle("d/web");
  const current = await c.api.get(RESOURCES.services, { namespace: "d", name: "web" });
  c.api.set(RESOURCES.services, { ...current, spec: { ...(current["spec"] as object), loadBalancerClass: "x" } });
  const ports = c.ports();
  const patch = () => Promise.reject(new KubeError("patch", { code: 403, reason: "Forbidden", message: "may not" }));
  const { problem } = await settleService({ ...ports, kube: { ...ports.kube, patch } }, await c.look(), "d/web");
  expect([problem?.reason, await c.shown("web"), await c.held("web")]).toEqual(["Refused", ["10.1.0.0"], ["10.1.0.0"]]);
  await c.settle("d/web");
  expect([await c.shown("web"), await c.held("web")]).toEqual([[], []]);
});

const NAMES = ["a", "b", "c", "e"];
const SPECS: readonly { readonly spec: object; readonly annotations?: Record<string, string> }[] = [
  { spec: {} },
  { spec: { ipFamilies: ["IPv4", "IPv6"], ipFamilyPolicy: "RequireDualStack" } },
  { spec: { ipFamilies: ["IPv6"] } },
  { spec: {}, annotations: pinned("10.1.0.1") },
  { spec: {}, annotations: pinned("10.2.0.1", "fd00::3") },
  { spec: { loadBalancerIP: "10.1.0.2" } },
  { spec: {}, annotations: { [ANNOTATIONS.pools4]: '["kept"]' } },
  { spec: {}, annotations: { [ANNOTATIONS.pools4]: "kept" } },
  { spec: { loadBalancerClass: "other" } },
  { spec: { type: "NodePort" } },
];
const POOLS: Readonly<Record<string, object>> = {
  four: { cidr: "10.1.0.0/30", blockSize: 31 },
  kept: { cidr: "10.2.0.0/31", blockSize: 31, assignmentMode: "Manual" },
  six: { cidr: "fd00::/126", blockSize: 127 },
};

const name = fc.constantFrom(...NAMES);
const event = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("put" as const), name, spec: fc.nat(SPECS.length - 1), isNew: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("remove" as const), name }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("foreign" as const), name }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("pool" as const), pool: fc.constantFrom(...Object.keys(POOLS)), there: fc.boolean() }),
  },
);
/** Another worker's: of one service there is never more than one at a time. */
const other = fc.record({
  do: fc.constant("settle" as const),
  name,
  isStale: fc.boolean(),
  writes: fc.constant(Infinity),
  meanwhile: fc.constant(undefined),
});
const settle = fc.record({
  do: fc.constant("settle" as const),
  name,
  isStale: fc.boolean(),
  writes: fc.option(fc.nat(4), { nil: Infinity }),
  meanwhile: fc.option(fc.oneof(event, other), { nil: undefined, freq: 4 }),
});
const step = fc.oneof(
  { weight: 8, arbitrary: event },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("look" as const) }) },
  { weight: 8, arbitrary: settle },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
type Cluster = ReturnType<typeof cluster>;

async function take(c: Cluster, s: Step, memory: { world: Awaited<ReturnType<Cluster["look"]>> }): Promise<void> {
  const there = "name" in s && (await c.objects()).find((o) => o.metadata.name === s.name);
  if (s.do === "put") {
    const { spec, annotations } = SPECS[s.spec]!;
    if (!there) c.put(s.name, spec, annotations);
    else if (s.isNew) {
      c.api.remove(RESOURCES.services, `d/${s.name}`);
      c.put(s.name, spec, annotations);
    } else {
      const base = { type: "LoadBalancer", ipFamilies: ["IPv4"], ipFamilyPolicy: "SingleStack" };
      c.api.set(RESOURCES.services, {
        ...there,
        metadata: { ...there.metadata, annotations: annotations ?? {} },
        spec: { ...base, ...spec },
      });
    }
  } else if (s.do === "remove") {
    if (there) c.api.remove(RESOURCES.services, `d/${s.name}`);
  } else if (s.do === "foreign") {
    if (!there) return;
    const ingress = [
      ...ipsOf(there)
        .filter((ip) => ip !== FOREIGN.ip)
        .map((ip) => ({ ip })),
      FOREIGN,
    ];
    c.api.set(RESOURCES.services, { ...there, status: { loadBalancer: { ingress } } });
  } else if (s.do === "pool") {
    if (s.there) await putPool(c.store, s.pool, { ...POOLS[s.pool], ...LB });
    else await c.store.delete(keyOf({ kind: "IPPool", name: s.pool }));
  } else if (s.do === "look") memory.world = await c.look();
  else {
    if (s.writes !== Infinity) c.dieAfter(s.writes);
    const world = s.isStale ? memory.world : await c.look();
    let { meanwhile } = s;
    const ports = c.ports(async () => {
      const once = meanwhile;
      meanwhile = undefined;
      const isSame = once?.do === "settle" && once.name === s.name;
      if (once !== undefined && !isSame) await take(c, once, memory);
    });
    await settleService(ports, world, `d/${s.name}`).catch((e: Error) => {
      if (e.message !== "died") throw e;
    });
    if (s.writes !== Infinity) c.dieAfter(Infinity);
  }
}

/** What must hold whenever: IPAM's records agree, and what a service shows it holds. */
async function expectSafe(c: Cluster): Promise<void> {
  expect(disagreements(c.store.dump())).toEqual([]);
  const { holdings } = await c.look();
  for (const o of await c.objects()) {
    const handle = loadBalancerHandle({ namespace: "d", name: o.metadata.name, uid: o.metadata.uid ?? "" });
    const own = holdings.of(`d/${o.metadata.name}`).flatMap((h) => (h.handle === handle ? [h.ip] : []));
    for (const ip of ipsOf(o)) if (ip !== FOREIGN.ip) expect(own, `${o.metadata.name} shows ${ip}`).toContain(ip);
    if (c.withForeign.has(o.metadata.uid ?? "")) expect(ipsOf(o), `the entry of another in ${o.metadata.name}`).toContain(FOREIGN.ip);
  }
}

/** What must hold at rest, said without the planner: all that is held is shown by him whose it is, and whoever has none could have none. */
async function expectSettled(
  c: Cluster,
  pools: ReadonlyMap<string, { readonly automatic: boolean; readonly family: number; readonly size: number }>,
): Promise<void> {
  const world = await c.look();
  const objects = await c.objects();
  const held = [...world.holdings.services()].flatMap((key) => world.holdings.of(key).map((h) => `${key} ${h.ip}`));
  const shown = objects.flatMap((o) => ipsOf(o).flatMap((ip) => (ip === FOREIGN.ip ? [] : [`d/${o.metadata.name} ${ip}`])));
  expect(shown.toSorted()).toEqual(held.toSorted());
  const countIn = (prefix: string) => held.filter((h) => h.split(" ")[1]?.startsWith(prefix)).length;
  for (const o of objects) {
    const spec = o["spec"] as { type: string; loadBalancerClass?: string; ipFamilies: string[]; loadBalancerIP?: string };
    const own = ipsOf(o).filter((ip) => ip !== FOREIGN.ip);
    const asked = o.metadata.annotations?.[ANNOTATIONS.ips] ?? (spec.loadBalancerIP && JSON.stringify([spec.loadBalancerIP]));
    if (spec.type !== "LoadBalancer" || spec.loadBalancerClass === "other") expect(own).toEqual([]);
    else if (asked !== undefined)
      for (const ip of JSON.parse(asked) as string[]) {
        const hasPool = [...pools].some(([p]) => ip.startsWith(p));
        expect(own.includes(ip) || !hasPool || held.some((h) => h.endsWith(` ${ip}`)), `${o.metadata.name} lacks ${ip}`).toBe(true);
      }
    else if (o.metadata.annotations?.[ANNOTATIONS.pools4] === undefined)
      for (const family of spec.ipFamilies.map((f) => (f === "IPv4" ? 4 : 6))) {
        const of = own.filter((ip) => ip.includes(":") === (family === 6));
        const hasRoom = [...pools].some(([p, { size, ...pool }]) => pool.automatic && pool.family === family && countIn(p) < size);
        expect(of.length === 1 || (of.length === 0 && !hasRoom), `${o.metadata.name} has ${of.join()} of IPv${family}`).toBe(true);
      }
  }
}

async function poolsNow(c: Cluster) {
  const found = (await c.store.list(prefixOf("IPPool"))).items.map(({ value }) => JSON.parse(value) as { spec: { cidr: string } });
  return new Map(
    found.map((json) => {
      const pool = parsePool(json);
      if (!pool.ok) throw new Error(pool.error);
      const prefix = json.spec.cidr.split("/")[0]!.replace(/\.0$/, ".");
      return [prefix, { automatic: pool.value.automatic, family: pool.value.cidr.family, size: prefix === "10.2.0." ? 2 : 4 }] as const;
    }),
  );
}

const RUNS = Number(process.env["SCHEDULES"] ?? 60);

test("settle: whatever happens, and whenever it dies, no address is shown that is not held, and at rest all is as asked for", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const c = cluster();
      for (const [pool, spec] of Object.entries(POOLS)) await putPool(c.store, pool, { ...spec, ...LB });
      const memory = { world: await c.look() };
      for (const s of steps) {
        await take(c, s, memory);
        await expectSafe(c);
      }
      for (const round of [1, 2, 3]) {
        c.written.length = 0;
        const world = await c.look();
        for (const key of new Set([...world.services.keys(), ...world.holdings.services()])) {
          await c.settle(key);
          await expectSafe(c);
        }
        if (round === 3) expect(c.written.filter((w) => w.startsWith("status"))).toEqual([]);
      }
      await expectSettled(c, await poolsNow(c));
    }),
    { numRuns: RUNS },
  );
});
