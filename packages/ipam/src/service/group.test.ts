import { StoreUnavailable } from "@calico/datastore";
import { makeFakeStore } from "@calico/datastore/testing";
import type { FakeStore } from "@calico/datastore/testing";
import { expect, test } from "vitest";
import { disagreements, putPool } from "../testing.ts";
import { makeIpam } from "./ipam.ts";
import type { IpamLibrary } from "./ipam.ts";

/** Node n1 with a block of each family that it knows, and the transactions it makes from then on. */
async function world(pool4 = { cidr: "10.0.0.0/24", blockSize: 24 }) {
  const store = makeFakeStore();
  await putPool(store, "p4", pool4);
  await putPool(store, "p6", { cidr: "fd00::/120", blockSize: 120 });
  const txns: { written: boolean }[] = [];
  const settled: number[] = [];
  const counted = {
    get: (key: string) => store.get(key),
    list: (prefix: string) => store.list(prefix),
    async txn(txn: Parameters<FakeStore["txn"]>[0]) {
      const done = await store.txn(txn);
      txns.push({ written: done.succeeded });
      return done;
    },
  };
  const ipam = makeIpam({ store: counted, onGroup: (calls) => settled.push(calls) });
  await ipam.autoAssign({ node: "n1", num4: 1, num6: 1, handle: "first" });
  txns.length = 0;
  settled.length = 0;
  return { store, ipam, txns, settled };
}

const handles = (count: number) => Array.from({ length: count }, (_, i) => `h${i}`);

async function assign(ipam: IpamLibrary, handle: string, o: { num6?: number; maxPerHandle?: number; pools4?: string[] } = {}) {
  const got = await ipam.autoAssign({ node: "n1", num4: 1, num6: 0, handle, maxPerHandle: 1, ...o });
  return got.ok ? [...got.value.v4.ips, ...got.value.v6.ips].map((i) => i.address).join(" ") : `${got.error.kind}: ${got.error.message}`;
}

test("30 pods at once are one transaction, each with an address and a handle of its own; so is their end", async () => {
  const { store, ipam, txns, settled } = await world();
  const ips = await Promise.all(handles(30).map((h) => assign(ipam, h)));
  expect(new Set(ips).size).toBe(30);
  expect([txns.length, settled]).toEqual([1, [30]]);
  expect(disagreements(store.dump())).toEqual([]);
  for (const [i, handle] of handles(30).entries()) expect(await ipam.ipsByHandle(handle)).toEqual({ ok: true, value: [ips[i]] });
  const released = await Promise.all(handles(30).map((h) => ipam.releaseByHandle(h)));
  expect(released.map((r) => r.ok && `${r.value}/24`)).toEqual(ips);
  expect(txns.length).toBe(2);
  expect(disagreements(store.dump())).toEqual([]);
});

test("a sequence number of its own is kept for each address of a group", async () => {
  const { ipam } = await world();
  const ips = await Promise.all(handles(5).map((h) => assign(ipam, h)));
  const owners = await Promise.all(ips.map((ip) => ipam.ownerOf(ip.split("/")[0]!)));
  expect(new Set(owners.map((o) => o.ok && o.value.sequence)).size).toBe(5);
});

test("a pod with an address of each family is one transaction", async () => {
  const { store, ipam, txns } = await world();
  expect(await assign(ipam, "h", { num6: 1 })).toBe("10.0.0.1/24 fd00::1/120");
  expect(txns.length).toBe(1);
  expect(disagreements(store.dump())).toEqual([]);
});

test("each call of a group has an answer of its own", async () => {
  const { store, ipam, txns } = await world();
  const before = await assign(ipam, "again");
  await store.put("/calico/ipam/v2/handle/broken", "{");
  txns.length = 0;
  const got = await Promise.all([
    assign(ipam, "a"),
    assign(ipam, "b", { pools4: ["10.9.0.0/24"] }),
    assign(ipam, "again"),
    assign(ipam, "broken"),
    assign(ipam, "c"),
    assign(ipam, "c"),
    ipam.releaseByHandle("nobody").then((r) => (r.ok ? "released" : r.error.kind)),
  ]);
  expect(got[1]).toBe("noPool: the given pool (10.9.0.0/24) does not exist, or is not enabled");
  expect(got[2]).toBe(before);
  expect(got[3]).toMatch(/^corrupt: Cannot use the record at .calico.ipam.v2.handle.broken/);
  expect(got[5]).toBe(got[4]);
  expect(got[6]).toBe("notFound");
  expect(new Set([got[0], got[2], got[4]]).size).toBe(3);
  await store.delete("/calico/ipam/v2/handle/broken");
  expect(disagreements(store.dump())).toEqual([]);
});

test("a group that another writer came before is drafted again on what is there", async () => {
  const { store, ipam, txns } = await world();
  const other = makeIpam({ store });
  await other.autoAssign({ node: "n1", num4: 3, num6: 0, handle: "other" });
  await Promise.all(handles(10).map((h) => assign(ipam, h)));
  expect(txns.map((t) => t.written)).toEqual([false, true]);
  expect(disagreements(store.dump())).toEqual([]);
});

test("a group that others come before each time goes on call by call, and says so in the end", async () => {
  const { store, ipam } = await world();
  const other = makeIpam({ store });
  const txn = store.txn.bind(store);
  let isBusy = false;
  store.txn = async (t) => {
    if (!isBusy) {
      isBusy = true;
      await other.autoAssign({ node: "n1", num4: 1, num6: 0, handle: "other" });
      await other.releaseByHandle("other");
      isBusy = false;
    }
    return await txn(t);
  };
  const got = await Promise.all(handles(2).map((h) => assign(ipam, h)));
  expect(got.every((g) => g.startsWith("conflict: Cannot write block"))).toBe(true);
  store.txn = txn;
  expect(disagreements(store.dump())).toEqual([]);
});

test("no answer from the store is the answer to each call of the group; the next one finds what was written", async () => {
  for (const when of ["before", "after"] as const) {
    const { store, ipam } = await world();
    store.failNext({ when, op: "txn" });
    const got = await Promise.allSettled(handles(5).map((h) => assign(ipam, h)));
    expect(got.every((g) => g.status === "rejected" && g.reason instanceof StoreUnavailable)).toBe(true);
    const again = await Promise.all(handles(5).map((h) => assign(ipam, h)));
    expect(new Set(again).size).toBe(5);
    expect(again.every((ip) => ip.startsWith("10."))).toBe(true);
    expect(disagreements(store.dump())).toEqual([]);
  }
});

test("a call that could not read is over: it is not done later with the rest of its group", async () => {
  const { store, ipam } = await world();
  // By another process, so that the group meets a conflict first.
  await makeIpam({ store }).autoAssign({ node: "n1", num4: 1, num6: 0, handle: "unlucky" });
  const getOf = store.get;
  let isAway = true;
  store.get = async (key) => {
    if (!key.endsWith("/handle/unlucky") || !isAway) return await getOf(key);
    isAway = false;
    throw new StoreUnavailable("Cannot read", { outcome: "notApplied" });
  };
  const got = await Promise.allSettled([assign(ipam, "a"), ipam.releaseByHandle("unlucky"), assign(ipam, "b")]);
  expect(got.map((g) => g.status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(await store.get("/calico/ipam/v2/handle/unlucky")).toBeDefined();
});

test("more calls than a transaction holds are several; more than a block holds go on in the next", async () => {
  const { store, ipam, txns } = await world({ cidr: "10.0.0.0/22", blockSize: 26 });
  const ips = await Promise.all(handles(150).map((h) => assign(ipam, h)));
  expect(new Set(ips).size).toBe(150);
  expect(ips.every((ip) => ip.startsWith("10."))).toBe(true);
  // 63, a claim and one, 63, a claim and one, the rest
  expect(txns.length).toBe(7);
  expect(disagreements(store.dump())).toEqual([]);
});
