import { recordingLogger } from "@calico/daemon/testing";
import { makeFakeStore } from "@calico/datastore/testing";
import { afterAll, expect, test } from "vitest";
import { makeStoreSource, noLog } from "../adapter/store-source.ts";
import { makeFakeLog } from "../testing/fake-log.ts";
import { testFeedContract } from "../testing/feed-contract.ts";
import { makeFeed } from "./feed.ts";
import { runSyncer } from "./syncer.ts";

const log = recordingLogger();
const abort = new AbortController();
const store = makeFakeStore();
const fakeLog = makeFakeLog();
const running = runSyncer({ store, log: fakeLog, logger: log, id: "s", signal: abort.signal, heartbeatMs: 5 });
afterAll(async () => (abort.abort(), await running));

testFeedContract("log", () => ({
  store,
  open: (kinds, signal) => makeFeed(fakeLog.reader, { kinds, signal, log }),
  interrupt: async () => fakeLog.disconnect(),
}));

const own = makeFakeStore();
let watches = new AbortController();
testFeedContract("store", () => ({
  store: own,
  open: (kinds, signal) => makeFeed(noLog, { kinds, signal, log, first: "etcd", fallback: makeStoreSource(async () => shared(own)) }),
  async interrupt() {
    own.compact();
    watches.abort();
    watches = new AbortController();
  },
}));

/** Closing a source's store must not close the test's; its watches can be broken. */
function shared(of: typeof own): typeof own {
  return {
    ...of,
    watch: (prefix, o) => of.watch(prefix, { ...o, signal: AbortSignal.any([o.signal, watches.signal]) }),
    close: async () => {},
  };
}

test("feed: a late log is left for the store, nothing twice, and read again only when it shows what the store showed", async () => {
  const [truth, stale, ended] = [makeFakeStore(), makeFakeLog(), new AbortController()];
  const key = (n: string) => `/calico/resources/v3/projectcalico.org/ippools/${n}`;
  const logger = recordingLogger();
  const syncing = () => {
    const stop = new AbortController();
    const done = runSyncer({ store: truth, log: stale, logger, id: "s", signal: stop.signal, heartbeatMs: 5 });
    return async () => (stop.abort(), await done);
  };
  const stopFirst = syncing();
  const feed = makeFeed(stale.reader, {
    kinds: ["IPPool"],
    signal: ended.signal,
    log: logger,
    fallback: makeStoreSource(async () => shared(truth)),
    limits: { rehomeMs: 40, fallBackMs: 120, returnMs: 60 },
    tickMs: 10,
  });
  const said: string[] = [];
  const reading = (async () => {
    for await (const batch of feed) for (const e of batch) if (e.kind !== "inSync") said.push(`${e.kind} ${e.key.at(-1)} ${e.revision}`);
  })();
  await truth.put(key("a"), "{}");
  await truth.put(key("b"), "{}");
  await until(() => said.length === 2 && feed.status().source === "nats");
  await stopFirst(); // no leader: no heartbeats, no changes
  await truth.delete(key("a"));
  await truth.put(key("c"), "{}");
  await until(() => feed.status().source === "etcd" && said.length === 4);
  expect(said.slice(2)).toEqual(["updated c 5", "deleted a 5"].map((s) => expect.stringMatching(s.replace(/\d/, "\\d+"))));
  // A leader whose log is behind: heartbeats alone do not bring the reader back.
  for (let i = 0; i < 30; i++) {
    stale.heartbeat({ revision: 1, leader: "liar", at: new Date().toISOString() });
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  expect(feed.status().source).toBe("etcd");
  expect(logger.lines.map((l) => l.message)).toContain("log is behind the store, reading the store on");
  const stopSecond = syncing();
  await until(() => feed.status().source === "nats");
  await truth.put(key("d"), "{}");
  await until(() => said.length === 5);
  expect(new Set(said).size).toBe(said.length);
  ended.abort();
  await Promise.all([reading, stopSecond()]);
});

async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error("the condition did not come true within 10 s");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
