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

const CLUSTER = "/calico/resources/v3/projectcalico.org/clusterinformations/default";
const cluster = (clusterGUID: string) => JSON.stringify({ kind: "ClusterInformation", spec: { clusterGUID } });

test.for([
  { name: "emptied", harm: async (s: typeof own) => void (await s.delete(CLUSTER)), says: "has no ClusterInformation default any more" },
  {
    name: "begun anew",
    harm: async (s: typeof own) => void (await s.put(CLUSTER, cluster("b"))),
    says: "is cluster b, the log tells of cluster a",
  },
])("feed: an etcd that is $name is not read in place of the log, nor followed", async ({ harm, says }) => {
  for (const when of ["before", "while"]) {
    const [truth, late, ended] = [makeFakeStore(), makeFakeLog(), new AbortController()];
    const key = "/calico/resources/v3/projectcalico.org/ippools/p";
    const logger = recordingLogger();
    const leading = new AbortController();
    const syncing = runSyncer({ store: truth, log: late, logger, id: "s", signal: leading.signal, heartbeatMs: 5 });
    await truth.put(CLUSTER, cluster("a"));
    await truth.put(key, "{}");
    const feed = makeFeed(late.reader, {
      kinds: ["IPPool"],
      signal: ended.signal,
      log: logger,
      fallback: makeStoreSource(async () => shared(truth)),
      limits: { rehomeMs: 20, fallBackMs: 40, returnMs: 60_000 },
      tickMs: 5,
    });
    const said: string[] = [];
    const reading = (async () => {
      for await (const batch of feed) for (const e of batch) if (e.kind !== "inSync") said.push(`${e.kind} ${e.key.at(-1)}`);
    })();
    await until(() => said.length === 1 && feed.status().inSync);
    leading.abort();
    await syncing;
    const lose = async () => {
      await harm(truth);
      await truth.delete(key);
    };
    if (when === "before") await lose();
    await until(() => feed.status().source === "etcd");
    if (when === "while") {
      await truth.put(key, '{"n":2}');
      await until(() => said.length === 2);
      await lose();
    }
    await until(() => logger.lines.some(({ fields }) => String(fields["reason"]).includes(says)));
    expect(said).toEqual(when === "before" ? ["updated p"] : ["updated p", "updated p"]);
    ended.abort();
    await reading;
  }
});
