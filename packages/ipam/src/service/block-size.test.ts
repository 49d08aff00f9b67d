/** Pools that were made anew with another block size, or that overlap, while blocks of theirs are there: an address is never given twice. */
import { makeFakeStore } from "@calico/datastore/testing";
import type { FakeStore } from "@calico/datastore/testing";
import { keyOf } from "@calico/model";
import { expect, test } from "vitest";
import { disagreements, putPool } from "../testing.ts";
import { makeIpam } from "./ipam.ts";
import type { IpamLibrary } from "./ipam.ts";

type Spec = { readonly cidr: string; readonly blockSize: number };

const blocks = (store: FakeStore) => [...store.dump().keys()].flatMap((k) => /assignment\/ipv.\/block\/(.*)$/.exec(k)?.[1] ?? []);

async function give(ipam: IpamLibrary, node: string, count: number, family: 4 | 6 = 4): Promise<string[]> {
  const ips: string[] = [];
  for (let i = 0; i < count; i++) {
    const got = await ipam.autoAssign({
      node,
      num4: family === 4 ? 1 : 0,
      num6: family === 6 ? 1 : 0,
      handle: `h${node}-${Math.random()}`,
    });
    if (got.ok) ips.push(...[...got.value.v4.ips, ...got.value.v6.ips].map(({ address }) => address.split("/")[0] ?? ""));
  }
  return ips;
}

test.for<{ name: string; before: Spec; after: Spec; given?: number; family?: 4 | 6 }>([
  { name: "smaller blocks", before: { cidr: "10.0.0.0/26", blockSize: 26 }, after: { cidr: "10.0.0.0/26", blockSize: 28 } },
  { name: "larger blocks", before: { cidr: "10.0.0.0/26", blockSize: 28 }, after: { cidr: "10.0.0.0/26", blockSize: 26 } },
  { name: "a part of the network", before: { cidr: "10.0.0.0/26", blockSize: 26 }, after: { cidr: "10.0.0.0/27", blockSize: 28 } },
  { name: "a larger network", before: { cidr: "10.0.0.64/26", blockSize: 28 }, after: { cidr: "10.0.0.0/25", blockSize: 26 } },
  { name: "blocks across octets", before: { cidr: "10.0.0.0/20", blockSize: 20 }, after: { cidr: "10.0.0.0/26", blockSize: 28 } },
  { name: "blocks of IPv6", before: { cidr: "fd00::/122", blockSize: 122 }, after: { cidr: "fd00::/122", blockSize: 124 }, family: 6 },
])("a pool made anew: $name", async ({ before, after, family = 4 }) => {
  for (const later of ["n1", "n2"]) {
    const store = makeFakeStore();
    await putPool(store, "old", before);
    const lasting = makeIpam({ store });
    const given = await give(lasting, "n1", 20, family);
    await store.delete(keyOf({ kind: "IPPool", name: "old" }));
    await putPool(store, "new", after);
    given.push(...(await give(later === "n1" ? lasting : makeIpam({ store }), later, 40, family)));
    expect(new Set(given).size).toBe(given.length);
    expect(disagreements(store.dump())).toEqual([]);
  }
});

test("an old block is used until it is empty, and then makes room for new ones", async () => {
  const store = makeFakeStore();
  await putPool(store, "p", { cidr: "10.0.0.0/26", blockSize: 26 });
  await makeIpam({ store, clock: { now: () => 0 } }).autoAssign({ node: "n1", num4: 1, num6: 0, handle: "a" });
  await putPool(store, "p", { cidr: "10.0.0.0/26", blockSize: 28 });
  const ipam = makeIpam({ store });
  expect(await give(ipam, "n2", 1)).toHaveLength(1); // borrowed
  expect(blocks(store)).toEqual(["10.0.0.0-26"]);
  for (const handle of [...store.dump().keys()].flatMap((k) => /\/handle\/(.*)$/.exec(k)?.[1] ?? [])) await ipam.releaseByHandle(handle);
  expect(await give(ipam, "n2", 1)).toHaveLength(1);
  expect(blocks(store)).toEqual([expect.stringMatching(/-28$/)]);
  expect(disagreements(store.dump())).toEqual([]);
});

test("two pools that overlap with different sizes", async () => {
  const store = makeFakeStore();
  await putPool(store, "a", { cidr: "10.0.0.0/27", blockSize: 28 });
  await putPool(store, "b", { cidr: "10.0.0.0/26", blockSize: 27 });
  const given = [...(await give(makeIpam({ store }), "n1", 40)), ...(await give(makeIpam({ store }), "n2", 40))];
  expect([given.length, new Set(given).size]).toEqual([64, 64]);
});

test("assignIp: an address in a block of another size comes from that block; where none can be made, the error says why", async () => {
  const store = makeFakeStore();
  await putPool(store, "p", { cidr: "10.0.0.0/26", blockSize: 28 });
  const ipam = makeIpam({ store });
  await ipam.claimAffinity("10.0.0.0/28", "n1");
  await putPool(store, "p", { cidr: "10.0.0.0/26", blockSize: 26 });
  expect(await ipam.assignIp({ node: "n1", ip: "10.0.0.5", handle: "a" })).toMatchObject({ ok: true });
  expect(await ipam.assignIp({ node: "n1", ip: "10.0.0.5", handle: "b" })).toMatchObject({ ok: false, error: { kind: "taken" } });
  expect(await ipam.assignIp({ node: "n1", ip: "10.0.0.20", handle: "b" })).toMatchObject({
    ok: false,
    error: { message: "Cannot assign 10.0.0.20: its block 10.0.0.0/26 cannot be made while there is 10.0.0.0/28; release what is in that" },
  });
  expect(blocks(store)).toEqual(["10.0.0.0-28"]);
});

test("a claim of the old size without its block is dropped where a block of the new size is", async () => {
  const store = makeFakeStore();
  await putPool(store, "p", { cidr: "10.0.0.0/26", blockSize: 28 });
  await give(makeIpam({ store }), "n2", 1);
  const claim = "/calico/ipam/v2/host/n1/ipv4/block/10.0.0.0-26";
  await store.put(claim, '{"state":"confirmed","deleted":false}');
  expect(await give(makeIpam({ store }), "n1", 1)).toHaveLength(1);
  expect(await store.get(claim)).toBeUndefined();
  expect(disagreements(store.dump())).toEqual([]);
});

/** A store that lets both processes look before either writes. */
function together(store: FakeStore, processes: number): FakeStore["txn"] {
  const all = Promise.withResolvers<void>();
  let waiting = 0;
  return async (txn) => {
    if (++waiting === processes) all.resolve();
    await all.promise;
    return store.txn(txn);
  };
}

test.for([
  { sizes: [26, 28], pool: "10.0.0.0/26" },
  { sizes: [28, 26], pool: "10.0.0.0/26" },
  { sizes: [20, 26], pool: "10.0.0.0/20" },
  { sizes: [122, 124], pool: "fd00::/122" },
])("two nodes claim at once, one with blocks of $sizes.0 and one of $sizes.1: never both where they overlap", async ({ sizes, pool }) => {
  const store = makeFakeStore();
  const txn = together(store, 2);
  const claims = sizes.map(async (blockSize, i) => {
    const own = makeFakeStore();
    await putPool(own, "p", { cidr: pool, blockSize });
    const ipam = makeIpam({ store: { get: store.get, list: store.list, txn }, reader: own });
    const block = `${pool.split("/")[0]}/${blockSize}`;
    return ipam.claimAffinity(block, `n${i}`);
  });
  const claimed = (await Promise.all(claims)).map((c) => c.ok && c.value.claimed.length);
  expect(claimed.toSorted()).toEqual([0, 1]);
  expect(blocks(store)).toHaveLength(1);
  expect(disagreements(store.dump())).toEqual([]);
});
