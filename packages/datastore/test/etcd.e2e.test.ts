import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { performance } from "node:perf_hooks";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openEtcd, resourceClient, type Store, type WatchEvent } from "../src/mod.ts";
import { freePort, startEtcd, type TestEtcd } from "../src/testing.ts";
import { testStoreContract } from "../src/testing/store-contract.ts";

let etcd: TestEtcd;
let store: Store;
beforeAll(async () => {
  etcd = await startEtcd();
  store = openEtcd({ endpoints: etcd.endpoints });
});
afterAll(async () => {
  await store?.close();
  await etcd?.stop();
});

async function compact(): Promise<void> {
  const { revision } = await store.list("/contract/");
  const answer = await fetch(`${etcd.endpoints[0]}/v3/kv/compaction`, {
    method: "POST",
    body: JSON.stringify({ revision, physical: true }),
  });
  if (!answer.ok) throw new Error(`Cannot compact: ${await answer.text()}`);
}

testStoreContract("etcd", () => ({ store, compact }));

test("etcd: a list longer than a page is whole and of one revision", async () => {
  for (let at = 0; at < 2500; at += 100) {
    const success = Array.from({ length: 100 }, (_, i) => ({ do: "put" as const, key: `/pages/${at + i}`, value: "x".repeat(2000) }));
    await store.txn({ compares: [], success });
  }
  const { items, revision } = await store.list("/pages/");
  expect(items.length).toBe(2500);
  expect(Math.max(...items.map((kv) => kv.modRevision))).toBeLessThanOrEqual(revision);
  const seen: WatchEvent[] = [];
  for await (const event of store.watch("/pages/", { fromRevision: items[0]!.createRevision, signal: AbortSignal.timeout(20_000) })) {
    seen.push(event);
    if (seen.length >= 2500) break;
  }
  expect(seen.length).toBe(2500);
});

test("etcd: watches go on by another member when one takes connections and says nothing", { timeout: 70_000 }, async () => {
  const taken: Socket[] = [];
  const mute = createServer((socket) => void taken.push(socket)).listen(0, "127.0.0.1");
  await once(mute, "listening");
  await using both = openEtcd({ endpoints: [`http://127.0.0.1:${(mute.address() as AddressInfo).port}`, ...etcd.endpoints] });
  const { modRevision } = await store.put("/mute", "said");
  // Some of them begin at the member that is mute, whichever it picks first.
  const first = async () => {
    for await (const event of both.watch("/mute", { fromRevision: modRevision, signal: AbortSignal.timeout(60_000) })) return event.kind;
    return "nothing";
  };
  expect(await Promise.all([first(), first(), first(), first()])).toEqual(["put", "put", "put", "put"]);
  expect(taken.length).toBeGreaterThan(0);
  for (const socket of taken) socket.destroy();
  mute.close();
});

test("etcd: a watch survives three kills and misses and repeats nothing", async () => {
  const { revision } = await store.list("/restart/");
  const abort = new AbortController();
  const seen: string[] = [];
  const watching = (async () => {
    for await (const event of store.watch("/restart/", { fromRevision: revision + 1, signal: abort.signal })) {
      if (event.kind === "put") seen.push(event.value);
    }
  })();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 20; i++) await store.put(`/restart/${i}`, `${round}/${i}`);
    await etcd.restart();
  }
  await store.put("/restart/last", "last");
  await until(() => seen.at(-1) === "last");
  abort.abort();
  await watching;
  const written = [0, 1, 2].flatMap((round) => Array.from({ length: 20 }, (_, i) => `${round}/${i}`));
  expect(seen).toEqual([...written, "last"]);
});

test("etcd: an operation succeeds within 2 s of etcd coming back", async () => {
  await etcd.kill();
  const started = store.get("/contract/other");
  await etcd.restart();
  const back = performance.now();
  await started;
  await store.put("/back", "1");
  expect(performance.now() - back).toBeLessThan(2000);
});

test("etcd: unreachable at the start is an error that names the operation, within the deadline", async () => {
  const endpoint = `http://127.0.0.1:${await freePort()}`;
  await using nowhere = openEtcd({ endpoints: [endpoint], timeoutMs: 700 });
  const begun = performance.now();
  await expect(nowhere.get("/a")).rejects.toThrow(`Cannot read /a`);
  await expect(nowhere.create("/a", "1")).rejects.toMatchObject({ name: "StoreUnavailable", outcome: "notApplied" });
  await expect(nowhere.list("/a")).rejects.toThrow(endpoint);
  expect(performance.now() - begun).toBeLessThan(3 * 700 + 500);
});

test("etcd: a wiped store ends a watch as compacted", async () => {
  await using own = await startEtcd();
  await using its = openEtcd({ endpoints: own.endpoints });
  for (let i = 0; i < 50; i++) await its.put("/x", String(i));
  const { revision } = await its.list("/x");
  const kinds: string[] = [];
  const watching = (async () => {
    for await (const event of its.watch("/x", { fromRevision: revision + 1, signal: AbortSignal.timeout(10_000) })) kinds.push(event.kind);
  })();
  await its.put("/x", "50");
  await until(() => kinds.length === 1);
  await own.wipe();
  await watching;
  expect(kinds).toEqual(["put", "compacted"]);
});

test("etcd: a standby leads within 3 s of the leader's death, after the leader has noticed", async () => {
  const { signal } = new AbortController();
  const doomed = openEtcd({ endpoints: etcd.endpoints });
  const leader = await doomed.elect("takeover", "one", signal);
  const standby = store.elect("takeover", "two", signal);
  let lostAt = 0;
  leader.lost.addEventListener("abort", () => (lostAt = performance.now()));
  const died = performance.now();
  await doomed.close(); // its lease is no longer renewed, and not given back
  const next = await standby;
  const tookOver = performance.now();
  expect(tookOver - died).toBeLessThan(3000);
  expect(lostAt).toBeGreaterThan(0);
  expect(lostAt).toBeLessThanOrEqual(tookOver);
  await next.resign();
});

test("etcd: over a restart a leader stays one while its lease lasts, and can lead again if it did not", async () => {
  const { signal } = new AbortController();
  const leader = await store.elect("stays", "one", signal);
  const down = performance.now();
  await etcd.restart();
  await store.put("/stays", "1");
  const up = performance.now();
  await until(() => performance.now() - up > 2500); // longer than the lease: it was renewed since, or is lost
  if (up - down < 1000) expect(leader.lost.aborted).toBe(false);
  if (!leader.lost.aborted) return leader.resign();
  const again = await store.elect("stays", "one", signal);
  expect(again.epoch).toBeGreaterThan(leader.epoch);
  await again.resign();
});

test("etcd: v3 objects survive the round trip", async () => {
  const objects = resourceClient(store);
  await objects.ensureInitialized({ clusterType: "k8s" });
  await Promise.all([objects.ensureInitialized({ clusterType: "k8s,bgp" }), objects.ensureInitialized()]);
  const info = await objects.get({ kind: "ClusterInformation", name: "default" });
  expect(info).toMatchObject({ ok: true, value: { spec: { datastoreReady: true, clusterType: "k8s,bgp" } } });
  expect((await objects.list("Tier")).items.map((t) => t.metadata.name)).toEqual(["default", "kube-admin", "kube-baseline"]);
});

async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error("the condition did not come true within 10 s");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
