import { makeFakeStore } from "@calico/datastore/testing";
import { expect, test } from "vitest";
import { parseBlock } from "../domain/block-json.ts";
import { WINDOWS_RESERVED_HANDLE } from "../domain/block.ts";
import { disagreements, putPool } from "../testing.ts";
import { makeIpam } from "./ipam.ts";

const BLOCK = "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-29";
const RESERVE = { startOfBlock: 3, endOfBlock: 1, handle: WINDOWS_RESERVED_HANDLE, note: "windows host rsvd" };

async function world() {
  const store = makeFakeStore();
  await putPool(store, "p", { cidr: "10.0.0.0/29", blockSize: 29 });
  const ipam = makeIpam({ store });
  const assign = async (handle: string, count = 1, reserve = RESERVE) => {
    const got = await ipam.autoAssign({ node: "win", num4: count, num6: 0, handle, reserve4: reserve });
    expect(disagreements(store.dump())).toEqual([]);
    return got.ok ? got.value.v4.ips.map((i) => i.address) : got.error.message;
  };
  return { store, ipam, assign };
}

test("reserve: the ends of a block that is made are nobody's to get, and its record is Calico's", async () => {
  const { store, assign } = await world();
  expect(await assign("a", 9)).toEqual(["10.0.0.3/29", "10.0.0.4/29", "10.0.0.5/29", "10.0.0.6/29"]);
  expect(JSON.parse((await store.get(BLOCK))?.value ?? "")).toMatchObject({
    allocations: [0, 0, 0, 1, 1, 1, 1, 0],
    unallocated: [],
    attributes: [{ handle_id: "windows-reserved-ipam-handle", secondary: { note: "windows host rsvd" } }, { handle_id: "a" }],
  });
  expect(await store.get(`/calico/ipam/v2/handle/${WINDOWS_RESERVED_HANDLE}`)).toBeUndefined();
});

test("reserve: a block in which only that is left is empty, and goes", async () => {
  const { store, ipam, assign } = await world();
  await assign("a");
  await ipam.releaseByHandle("a");
  const left = parseBlock((await store.get(BLOCK))?.value ?? "");
  expect(left.ok && left.value.unallocated).toEqual([4, 5, 6, 3]);
  expect(await ipam.releaseHostAffinities("win", { mustBeEmpty: true })).toEqual({ ok: true, value: ["10.0.0.0/29"] });
  expect(await store.get(BLOCK)).toBeUndefined();
});

test("reserve: a block is there already: nothing is reserved in it after the fact", async () => {
  const { ipam, assign } = await world();
  await ipam.claimAffinity("10.0.0.0/29", "win");
  expect(await assign("a")).toEqual(["10.0.0.0/29"]);
});

test("reserve: more than a block has is refused", async () => {
  const { store, assign } = await world();
  expect(await assign("a", 1, { ...RESERVE, startOfBlock: 7 })).toMatch(
    /^Cannot reserve 7 and 1 addresses of each block: nothing is left of one of pool p/,
  );
  expect(await store.get(BLOCK)).toBeUndefined();
});
