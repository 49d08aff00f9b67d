import { makeIpam } from "@calico/ipam";
import { putPool } from "@calico/ipam/testing";
import { makeFakeStore } from "@calico/datastore/testing";
import { prefixOf } from "@calico/model";
import { expect, test } from "vitest";
import { makeHoldings } from "./load-balancer-holdings.ts";
import { makeWaiting } from "./load-balancer-waiting.ts";

test("holdings: follow the blocks, tell whom a change touched, and pass over what is not of a service", async () => {
  const store = makeFakeStore();
  const ipam = makeIpam({ store });
  await putPool(store, "p", { cidr: "10.1.0.0/28", blockSize: 28, allowedUses: ["LoadBalancer", "Workload"] });
  const holdings = makeHoldings();
  const told = new Set<string>();
  const tell = async () => {
    const { items } = await store.list(prefixOf("IPAMBlock"));
    const gone = [...told].filter((key) => !items.some((i) => i.key === key));
    for (const { key } of items) told.add(key);
    const outcomes = [...items.map((i) => holdings.setBlock(i.key, i.value)), ...gone.map((key) => holdings.setBlock(key, undefined))];
    return outcomes.map(({ touched, freed }) => [[...touched], freed]);
  };
  const assign = (service: string, ip: string, handle = `lb-${service}`) =>
    ipam.assignIp({ node: "load-balancer", ip, handle, use: "LoadBalancer", attrs: { service, namespace: "d", type: "LoadBalancer" } });
  await assign("a", "10.1.0.1");
  await ipam.assignIp({ node: "n1", ip: "10.1.0.5", handle: "net.pod", attrs: { pod: "x", namespace: "d", node: "n1" } });
  expect(await tell()).toEqual([[["d/a"], []]]);
  await assign("b", "10.1.0.2");
  expect(await tell()).toEqual([[["d/b"], []]]);
  expect([holdings.of("d/a"), holdings.of("d/b"), [...holdings.services()], holdings.size]).toMatchObject([
    [{ ip: "10.1.0.1", handle: "lb-a" }],
    [{ ip: "10.1.0.2", handle: "lb-b" }],
    ["d/a", "d/b"],
    2,
  ]);
  await ipam.releaseByHandle("lb-a");
  await assign("a", "10.1.0.1", "lb-a2");
  expect(await tell()).toEqual([[["d/a"], []]]);
  expect(holdings.of("d/a")).toMatchObject([{ ip: "10.1.0.1", handle: "lb-a2" }]);
  await ipam.releaseByHandle("lb-a2");
  expect(await tell()).toEqual([[["d/a"], ["10.1.0.1"]]]);
  for (const [key] of store.dump()) if (key.startsWith(prefixOf("IPAMBlock"))) await store.delete(key);
  expect(await tell()).toEqual([[["d/b"], ["10.1.0.2"]]]);
  expect([[...holdings.services()], holdings.size]).toEqual([[], 0]);
});

test("waiting: a free address wakes the first that it can serve, each address another", () => {
  const waiting = makeWaiting();
  waiting.set("other pool", { ips: [], pools: ["10.9.0.0/24"] });
  waiting.set("first", { ips: [], pools: ["10.1.0.0/24"] });
  waiting.set("pinned", { ips: ["10.1.0.7"], pools: [] });
  waiting.set("second", { ips: [], pools: ["10.1.0.0/24"] });
  expect([...waiting.wokenBy(["10.1.0.3"])]).toEqual(["first"]);
  expect([...waiting.wokenBy(["10.1.0.3", "10.1.0.7", "10.1.0.8"])]).toEqual(["first", "pinned", "second"]);
  waiting.set("first", { ips: [], pools: ["10.1.0.0/24"] });
  waiting.set("pinned", undefined);
  expect([...waiting.wokenBy(["10.1.0.7"])]).toEqual(["second"]);
});
