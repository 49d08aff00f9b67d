/** Both sources of events, on real servers, and the way from one to the other and back. */
import { performance } from "node:perf_hooks";
import { makeMetrics } from "@calico/daemon";
import { recordingLogger } from "@calico/daemon/testing";
import { openEtcd, type Store } from "@calico/datastore";
import { startEtcd, type TestEtcd } from "@calico/datastore/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FEED_METRICS, type FeedEvent, openEtcdFeed, openFeed } from "../src/mod.ts";
import { openTestSyncer, startNats, type TestNats } from "../src/testing.ts";
import { testFeedContract } from "../src/testing/feed-contract.ts";

let etcd: TestEtcd;
let nats: TestNats;
let store: Store;
let syncer: AsyncDisposable;
const log = recordingLogger();
beforeAll(async () => {
  [etcd, nats] = await Promise.all([startEtcd({ flags: ["--max-request-bytes", "4194304"] }), startNats()]);
  store = openEtcd({ endpoints: etcd.endpoints });
  syncer = openTestSyncer({ etcd: etcd.endpoints, nats: nats.servers, log });
});
afterAll(async () => {
  await syncer?.[Symbol.asyncDispose]();
  await store?.close();
  await Promise.all([etcd?.stop(), nats?.stop()]);
});

testFeedContract("nats", () => ({
  store,
  open: (kinds, signal) => openFeed({ servers: nats.servers, name: "contract", kinds, signal, log }),
  interrupt: () => nats.restart(),
}));

testFeedContract("etcd", () => ({
  store,
  open: (kinds, signal) => openEtcdFeed({ etcd: { endpoints: etcd.endpoints }, kinds, signal, log }),
  async interrupt() {
    const { revision } = await store.list("/calico/");
    await fetch(`${etcd.endpoints[0]}/v3/kv/compaction`, { method: "POST", body: JSON.stringify({ revision, physical: true }) });
    await etcd.restart();
  },
}));

test("nats goes: the agent reads etcd; nats comes: it reads the log again; nothing missing, nothing twice", async () => {
  const key = (n: string) => `/calico/resources/v3/projectcalico.org/ippools/sw-${n}`;
  const abort = new AbortController();
  const metrics = makeMetrics(FEED_METRICS);
  const feed = openFeed({
    servers: nats.servers,
    name: "switch",
    kinds: ["IPPool"],
    signal: abort.signal,
    log,
    metrics,
    etcd: { endpoints: etcd.endpoints },
    limits: { rehomeMs: 2500, fallBackMs: 4000, returnMs: 2000 },
  });
  const said: FeedEvent[] = [];
  const reading = (async () => {
    for await (const batch of feed) said.push(...batch.filter((e) => e.kind !== "inSync"));
  })();
  const has = (kind: string, n: string) => said.some((e) => e.kind === kind && "key" in e && e.key === key(n));
  await store.put(key("a"), "{}");
  await store.put(key("b"), "{}");
  await until(() => has("updated", "a") && has("updated", "b") && feed.status().behindRevisions === 0);
  expect(feed.status()).toMatchObject({ source: "nats", inSync: true, behindRevisions: 0 });
  await nats.kill();
  const killed = performance.now();
  await store.delete(key("a"));
  await store.put(key("c"), "{}");
  await until(() => has("deleted", "a") && has("updated", "c"));
  console.log(`nats killed → etcd read: ${Math.round(performance.now() - killed)} ms (limit 4000)`);
  expect(feed.status()).toMatchObject({ source: "etcd", connected: false, inSync: true });
  await store.put(key("d"), "{}");
  await until(() => has("updated", "d"));
  expect(feed.status().lagMs).toBeLessThan(2000);
  await nats.restart();
  const back = performance.now();
  await until(() => feed.status().source === "nats" && feed.status().inSync);
  console.log(`nats back → log read: ${Math.round(performance.now() - back)} ms (steady for 2000)`);
  await store.delete(key("d"));
  await until(() => has("deleted", "d"));
  const texts = said.map((e) => `${e.kind} ${"key" in e ? e.key : ""} ${e.revision}`);
  expect(new Set(texts).size).toBe(texts.length);
  expect(await metrics.print()).toMatch(/calico_feed_switches_total\{to="etcd"\} 1\n.*calico_feed_switches_total\{to="nats"\} 1/s);
  abort.abort();
  await reading;
});

async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error("the condition did not come true within 20 s");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
