import { recordingLogger } from "@calico/daemon/testing";
import { makeFakeStore } from "@calico/datastore/testing";
import { makeIpam } from "@calico/ipam";
import { disagreements, putPool } from "@calico/ipam/testing";
import { type KubeObject, RESOURCES } from "@calico/kube-client";
import { fakeApi } from "@calico/kube-client/testing";
import { keyOf, prefixOf } from "@calico/model";
import { afterEach, expect, test } from "vitest";
import { loadBalancerHandle } from "../src/adapter/load-balancer-handle.ts";
import { makeLoadBalancer } from "../src/service/load-balancer.ts";

const running: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of running.splice(0)) await stop();
});

const LB = { cidr: "10.1.0.0/30", blockSize: 30, allowedUses: ["LoadBalancer"] };
const IPS = "projectcalico.org/loadBalancerIPs";

function world() {
  const api = fakeApi();
  const store = makeFakeStore();
  const log = recordingLogger();
  const gauges = new Map<string, number>();
  const metrics = {
    inc: () => {},
    set: (name: string, value: number) => void gauges.set(name, value),
  };
  api.set(RESOURCES.namespaces, { metadata: { name: "d" } });
  const patch = async (type: typeof RESOURCES.services, place: { namespace?: string; name?: string }, { body }: { body: unknown }) => {
    const { ingress } = (body as { status: { loadBalancer: { ingress: unknown } } }).status.loadBalancer;
    return api.set(type, { ...(await api.get(type, place)), status: { loadBalancer: { ingress: ingress ?? undefined } } });
  };
  const start = () => {
    const abort = new AbortController();
    const controller = makeLoadBalancer({
      ...{ kube: { list: api.list, watch: api.watch, create: api.create, patch }, store, ipam: makeIpam({ store }), log, metrics },
      ...{ handleOf: loadBalancerHandle, clock: () => Date.now(), signal: abort.signal, reconcileMs: 3_600_000 },
    });
    const done = controller.run();
    const stop = async () => {
      abort.abort();
      api.breakWatches();
      await done;
    };
    running.push(stop);
    return { controller, stop };
  };
  let uid = 0;
  const put = (name: string, spec: object = {}, annotations: Record<string, string> = {}) =>
    api.set(RESOURCES.services, {
      metadata: { namespace: "d", name, uid: `u${uid++}`, annotations },
      spec: { type: "LoadBalancer", ipFamilies: ["IPv4"], ...spec },
    });
  const change = async (name: string, spec: object, annotations: Record<string, string> = {}) => {
    const found = await api.get(RESOURCES.services, { namespace: "d", name });
    api.set(RESOURCES.services, {
      ...found,
      metadata: { ...found.metadata, annotations },
      spec: { ...(found["spec"] as object), ...spec },
    });
  };
  const shown = async (name: string) => {
    const { loadBalancer } = ((await api.get(RESOURCES.services, { namespace: "d", name }))["status"] ?? {}) as Status;
    return (loadBalancer?.ingress ?? []).map((i) => i.ip).join();
  };
  const events = async () =>
    (await api.list(RESOURCES.events)).items.map((e) => `${e["type"]} ${(e["involvedObject"] as { name: string }).name} ${e["reason"]}`);
  const configure = (controllers: object) =>
    store.put(
      keyOf({ kind: "KubeControllersConfiguration", name: "default" }),
      JSON.stringify({
        ...{ kind: "KubeControllersConfiguration", apiVersion: "projectcalico.org/v3", metadata: { name: "default" } },
        spec: { controllers },
      }),
    );
  return { api, store, log, gauges, start, put, change, shown, events, configure };
}
type Status = { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip: string }[] } };

test("loadbalancer: addresses follow what services say; what becomes free wakes who waits for it; all is said to its owner", async () => {
  const w = world();
  await putPool(w.store, "p", LB);
  const { controller } = w.start();
  w.put("a");
  await expect.poll(() => w.shown("a")).toBe("10.1.0.0");
  w.put("b", {}, { [IPS]: '["10.1.0.0"]' });
  const problem = /^d\/b: 10\.1\.0\.0 is of service d\/a$/;
  await expect.poll(() => controller.status()).toMatchObject({ inSync: true, failing: 1, problems: [expect.stringMatching(problem)] });
  await w.change("a", { loadBalancerClass: "other" });
  await expect.poll(() => w.shown("b")).toBe("10.1.0.0");
  expect(await w.shown("a")).toBe("");
  await expect.poll(() => controller.status()).toMatchObject({ failing: 0, problems: [] });
  expect(await w.events()).toEqual(["Normal a AddressAssigned", "Warning b AddressTaken", "Normal b AddressAssigned"]);
  w.api.remove(RESOURCES.services, "d/b");
  await expect.poll(() => w.gauges.get("load_balancer_addresses")).toBe(0);
  expect(disagreements(w.store.dump())).toEqual([]);
});

test("loadbalancer: a full pool, and what ends the wait: a service that goes, another pool, the namespace's labels", async () => {
  const w = world();
  await putPool(w.store, "p", { ...LB, cidr: "10.1.0.0/32", blockSize: 32 });
  const { controller } = w.start();
  w.put("a");
  await expect.poll(() => w.shown("a")).toBe("10.1.0.0");
  w.put("b");
  await expect.poll(() => controller.status().problems).toEqual([expect.stringMatching(/^d\/b: no IPv4 address is left/)]);
  w.api.remove(RESOURCES.services, "d/a");
  await expect.poll(() => w.shown("b")).toBe("10.1.0.0");
  w.put("c");
  await expect.poll(() => controller.status().failing).toBe(1);
  await putPool(w.store, "q", { ...LB, cidr: "10.2.0.0/30", namespaceSelector: "team == 'x'" });
  w.api.set(RESOURCES.namespaces, { metadata: { name: "d", labels: { team: "x" } } });
  await expect.poll(() => w.shown("c")).toBe("10.2.0.0");
});

test("loadbalancer: what happened while it was away is made up for, and what is right is not touched", async () => {
  const w = world();
  await putPool(w.store, "p", LB);
  const first = w.start();
  for (const name of ["gone", "retyped", "kept"]) w.put(name);
  for (const name of ["gone", "retyped", "kept"]) await expect.poll(() => w.shown(name)).not.toBe("");
  const kept = await w.shown("kept");
  await first.stop();
  w.api.remove(RESOURCES.services, "d/gone");
  await w.change("retyped", { type: "NodePort" });
  w.put("new");
  const before = (await w.api.get(RESOURCES.services, { namespace: "d", name: "kept" })).metadata.resourceVersion;
  w.start();
  await expect.poll(() => w.shown("new")).not.toBe("");
  await expect.poll(() => w.gauges.get("load_balancer_addresses")).toBe(2);
  expect([await w.shown("retyped"), await w.shown("kept")]).toEqual(["", kept]);
  expect((await w.api.get(RESOURCES.services, { namespace: "d", name: "kept" })).metadata.resourceVersion).toBe(before);
});

test("loadbalancer: KubeControllersConfiguration says who is served, and whether anybody is", async () => {
  const w = world();
  await putPool(w.store, "p", LB);
  await w.configure({ loadBalancer: { assignIPs: "RequestedServicesOnly" } });
  w.put("silent");
  w.put("asking", {}, { [IPS]: '["10.1.0.3"]' });
  w.start();
  await expect.poll(() => w.shown("asking")).toBe("10.1.0.3");
  expect(await w.shown("silent")).toBe("");
  await w.configure({ node: {} });
  w.put("later", {}, { [IPS]: '["10.1.0.2"]' });
  await w.configure({ loadBalancer: {} });
  await expect.poll(() => w.shown("silent")).not.toBe("");
  await expect.poll(() => w.shown("later")).toBe("10.1.0.2");
  expect(w.log.lines.filter((l) => l.message === "configuration changed").map((l) => l.fields["mode"])).toEqual([
    ...["RequestedServicesOnly", "off", "AllServices"],
  ]);
});

test("loadbalancer: nothing is released while the API server cannot be listed; etcd's failure passes", async () => {
  const w = world();
  await putPool(w.store, "p", LB);
  const first = w.start();
  w.put("a");
  await expect.poll(() => w.shown("a")).toBe("10.1.0.0");
  await first.stop();
  const list = w.api.list;
  let isAway = true;
  w.api.list = async (type, o) => {
    if (isAway && type === RESOURCES.services) throw new Error("away");
    return await list(type, o);
  };
  w.start();
  await expect.poll(() => w.log.lines.some((l) => l.message === "kubernetes api not followed, retrying")).toBe(true);
  expect((await w.store.list(prefixOf("IPAMBlock"))).items[0]?.value).toContain('"service":"a"');
  isAway = false;
  w.store.failNext({ when: "after", op: "txn" });
  w.put("b");
  await expect.poll(() => w.shown("b")).toBe("10.1.0.1");
  const object: KubeObject = await w.api.get(RESOURCES.services, { namespace: "d", name: "b" });
  expect(object["status"]).toEqual({ loadBalancer: { ingress: [{ ip: "10.1.0.1" }] } });
});
