import { resourceClient } from "@calico/datastore";
import { makeFakeStore } from "@calico/datastore/testing";
import { expect, test } from "vitest";
import { shareReads } from "./shared-reads.ts";

test("shareReads: reads of one object at once are one read; one a second later reads again", async () => {
  const store = makeFakeStore();
  let reads = 0;
  const counted = { ...store, get: (key: string) => (reads++, store.get(key)) };
  let nowMs = 5;
  const client = shareReads(resourceClient(counted), () => nowMs);
  await resourceClient(store).ensureInitialized();
  const ref = { kind: "ClusterInformation", name: "default" } as const;
  const both = await Promise.all([client.get(ref), client.get(ref), client.get({ kind: "ClusterInformation", name: "other" })]);
  expect(both.map((r) => r.ok)).toEqual([true, true, false]);
  expect(reads).toBe(2);
  nowMs += 999;
  await client.get(ref);
  expect(reads).toBe(2);
  nowMs += 1;
  await client.get(ref);
  expect(reads).toBe(3);
  const endpoint = { kind: "WorkloadEndpoint", namespace: "n", name: "w" } as const;
  await client.get(endpoint);
  await client.get(endpoint);
  expect(reads).toBe(5);
});

test("shareReads: a read that failed is not the answer to later ones", async () => {
  const store = makeFakeStore();
  let isAway = true;
  const client = shareReads(
    resourceClient({ ...store, get: (key: string) => (isAway ? Promise.reject(new Error("away")) : store.get(key)) }),
  );
  const ref = { kind: "Profile", name: "p" } as const;
  const outcomes = await Promise.allSettled([client.get(ref), client.get(ref)]);
  expect(outcomes.map((o) => o.status)).toEqual(["rejected", "rejected"]);
  isAway = false;
  expect(await client.get(ref)).toMatchObject({ ok: false, error: { kind: "doesNotExist" } });
});
