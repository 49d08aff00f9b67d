/** A block whose record cannot be read costs the node that block, not its pods. */
import { makeFakeStore } from "@calico/datastore/testing";
import type { FakeStore } from "@calico/datastore/testing";
import { expect, test } from "vitest";
import { putNode, putPool } from "../testing.ts";
import type { AutoAssignRequest } from "../ports.ts";
import { makeIpam } from "./ipam.ts";
import type { BrokenRecord } from "./memory.ts";

const BLOCKS = "/calico/ipam/v2/assignment/ipv4/block/";

/** Two blocks of node n1, one of them with an address given, and its record broken. */
async function world(spoil: (text: string) => string = () => "{") {
  const store = makeFakeStore();
  await putPool(store, "p", { cidr: "10.0.0.0/28", blockSize: 30 });
  await putNode(store, "n1");
  const before = makeIpam({ store });
  await before.claimAffinity("10.0.0.0/30", "n1");
  await before.autoAssign({ node: "n1", num4: 1, num6: 0, handle: "old" });
  await before.claimAffinity("10.0.0.4/30", "n1");
  const key = `${BLOCKS}10.0.0.0-30`;
  const sound = (await store.get(key))?.value ?? "";
  await store.put(key, spoil(sound));
  const found: BrokenRecord[] = [];
  const { counted, counts } = counting(store);
  const ipam = makeIpam({ store: counted, onBroken: (b) => void found.push(b) });
  const give = async (handle: string, o: Partial<AutoAssignRequest> = {}) => {
    const got = await ipam.autoAssign({ node: "n1", num4: 1, num6: 0, handle, ...o });
    if (!got.ok) return `${got.error.kind}: ${got.error.message}`;
    return got.value.v4.ips.map((i) => i.address).join(" ") || got.value.v4.messages.join("; ");
  };
  return { store, ipam, give, found, key, sound, counts };
}

function counting(store: FakeStore) {
  const counts = { blockReads: 0, txn: 0 };
  const counted: Pick<FakeStore, "get" | "list" | "txn"> = {
    get: (key) => ((counts.blockReads += key.startsWith(BLOCKS) ? 1 : 0), store.get(key)),
    list: (prefix) => ((counts.blockReads += prefix.startsWith(BLOCKS) ? 1 : 0), store.list(prefix)),
    txn: (txn) => ((counts.txn += 1), store.txn(txn)),
  };
  return { counted, counts };
}

test.for([
  { name: "is no JSON", spoil: () => "{", want: /^Cannot parse block: / },
  {
    name: "contradicts itself",
    spoil: (text: string) => text.replace('"unallocated":[', '"unallocated":[0,'),
    want: /both allocated and in unallocated/,
  },
  {
    name: "is of another block",
    spoil: (text: string) => text.replace("10.0.0.0/30", "10.0.0.8/30"),
    want: /^it says that it is block 10\.0\.0\.8\/30$/,
  },
])("a block whose record $name is passed over, and named once", async ({ spoil, want }) => {
  const { give, found, key } = await world(spoil);
  expect([await give("a"), await give("b")]).toEqual(["10.0.0.4/30", "10.0.0.5/30"]);
  expect(found).toEqual([{ key, problem: expect.stringMatching(want) }]);
});

test("a block that is known to be broken costs no look at it", async () => {
  const { give, counts } = await world();
  await give("a");
  Object.assign(counts, { blockReads: 0, txn: 0 });
  expect([await give("b"), await give("c")]).toEqual(["10.0.0.5/30", "10.0.0.6/30"]);
  expect(counts).toEqual({ blockReads: 0, txn: 2 });
});

test("with the other block full a new one is claimed", async () => {
  const { give } = await world();
  expect(await give("a", { num4: 6 })).toMatch(/^(10\.0\.0\.[4-7]\/30 ){4}10\.0\.0\.(8|12)\/30 10\.0\.0\.(9|13)\/30$/);
});

test("where nothing else is left, the no names the broken block", async () => {
  const { give } = await world();
  expect(await give("a", { num4: 12 })).toMatch(/^(10\.0\.0\.\d+\/30 ?){12}$/);
  expect(await give("b")).toMatch(
    /^No IPs available in pools: \[10\.0\.0\.0\/28\]; Cannot use the record at \/calico\/ipam\/v2\/assignment\/ipv4\/block\/10\.0\.0\.0-30: Cannot parse block/,
  );
});

test("a broken block of a pool that does not select the node any more stays, and no pod waits for it", async () => {
  const { store, give, key } = await world();
  await putPool(store, "p", { cidr: "10.0.0.0/28", blockSize: 30, nodeSelector: "zone == 'b'" });
  await putPool(store, "q", { cidr: "10.9.0.0/30", blockSize: 30 });
  expect(await give("a")).toBe("10.9.0.0/30");
  expect((await store.get(key))?.value).toBe("{");
});

test("addresses in a broken block are not released; the error names it", async () => {
  const { ipam } = await world();
  expect(await ipam.releaseByHandle("old")).toMatchObject({
    ok: false,
    error: { kind: "corrupt", message: expect.stringContaining("10.0.0.0-30") },
  });
});

test("a broken block that was put right is taken from again, and is no longer named", async () => {
  const { store, ipam, give, key, sound } = await world();
  await give("a");
  expect(ipam.broken.list().map((b) => b.key)).toEqual([key]);
  await ipam.broken.recheck();
  expect(ipam.broken.list()).toHaveLength(1);
  await store.put(key, "still not");
  await ipam.broken.recheck();
  expect(ipam.broken.list()).toHaveLength(1);
  await store.put(key, sound);
  await ipam.broken.recheck();
  expect(ipam.broken.list()).toEqual([]);
  expect(await give("b", { num4: 4 })).toBe("10.0.0.1/30 10.0.0.2/30 10.0.0.3/30 10.0.0.5/30");
  expect(await ipam.releaseByHandle("old")).toEqual({ ok: true, value: ["10.0.0.0"] });
});

test("a host goes although one of its blocks is broken: the others are free, and the error names the one", async () => {
  const { store, ipam } = await world();
  expect(await ipam.removeHost("n1")).toMatchObject({ ok: false, error: { kind: "corrupt" } });
  expect([...store.dump().keys()].filter((k) => k.includes("/block/") && k.endsWith("10.0.0.4-30"))).toEqual([]);
});
