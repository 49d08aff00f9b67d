import { beforeEach, expect, test } from "vitest";
import { type FakeStore, makeFakeStore } from "./fake-store.ts";
import { testStoreContract } from "./store-contract.ts";

let store: FakeStore;
beforeEach(() => {
  store = makeFakeStore();
});
testStoreContract("fake store", () => ({ store, compact: async () => store.compact() }));

test("fake store: a fault before leaves the store alone, a fault after loses only the answer", async () => {
  store.failNext({ when: "before", op: "put" });
  await expect(store.put("/a", "1")).rejects.toMatchObject({ name: "StoreUnavailable", outcome: "notApplied" });
  expect(await store.get("/a")).toBeUndefined();
  store.failNext({ when: "after", op: "put" });
  await expect(store.put("/a", "1")).rejects.toMatchObject({ outcome: "unknown" });
  expect(await store.get("/a")).toMatchObject({ value: "1" });
});

test("fake store: an expired leader hears it, and the next one leads", async () => {
  const { signal } = new AbortController();
  const first = await store.elect("e", "one", signal);
  const second = store.elect("e", "two", signal);
  store.expireLeader("e");
  expect(first.lost.aborted).toBe(true);
  expect((await second).lost.aborted).toBe(false);
});
