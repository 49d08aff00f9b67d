import fc from "fast-check";
import { recordingLogger } from "@calico/daemon/testing";
import { type FakeStore, makeFakeStore } from "@calico/datastore/testing";
import { expect, test } from "vitest";
import { type FakeLog, makeFakeLog } from "../testing/fake-log.ts";
import { runSyncer } from "./syncer.ts";

const key = (name: string) => `/calico/resources/v3/projectcalico.org/ippools/${name}`;

function start(store: FakeStore, log: FakeLog, id = "s1", adopt?: string) {
  const abort = new AbortController();
  const logger = recordingLogger();
  const refused: string[] = [];
  const held: (string | undefined)[] = [];
  const running = runSyncer({
    store,
    log,
    logger,
    id,
    signal: abort.signal,
    heartbeatMs: 5,
    adopt,
    observer: {
      refused: ({ reason }) => refused.push(reason),
      held: (reason) => {
        if (reason !== held.at(-1)) held.push(reason);
      },
    },
  });
  return {
    logger,
    refused,
    held,
    async [Symbol.asyncDispose]() {
      abort.abort();
      await running;
    },
  };
}

/** The log's state, tombstones left out. */
function stateOf(log: FakeLog): Record<string, string> {
  const last = new Map(log.messages.flatMap((m) => (m.kind === "change" ? [[m.key, m] as const] : [])));
  return Object.fromEntries([...last].filter(([, m]) => m.op === "put").map(([k, m]) => [k, `${m.revision} ${m.data}`]));
}

function stateOfStore(store: FakeStore): Record<string, string> {
  return Object.fromEntries([...store.dump()].map(([k, kv]) => [k, `${kv.modRevision} ${kv.value}`]));
}

function revisions(log: FakeLog): number[] {
  return log.messages.flatMap((m) => (m.kind === "change" ? [m.revision] : []));
}

async function equal(store: FakeStore, log: FakeLog): Promise<void> {
  const want = JSON.stringify(Object.entries(stateOfStore(store)).sort());
  await until(() => JSON.stringify(Object.entries(stateOf(log)).sort()) === want && log.messages.some((m) => m.kind === "complete"));
}

async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 5000;
  while (!condition()) {
    if (Date.now() > end) throw new Error("the condition did not come true within 5 s");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

function pauseMs(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

test("syncer: publishes what is there, marks it complete, then follows in revision order", async () => {
  const [store, log] = [makeFakeStore(), makeFakeLog()];
  await store.put(key("b"), '{"n":1}');
  await store.put(key("a"), '{"n":1}');
  await using _ = start(store, log);
  await equal(store, log);
  expect(log.messages.map((m) => m.kind)).toEqual(["fence", "change", "change", "complete"]);
  await store.put(key("b"), '{"n":2}');
  await store.delete(key("a"));
  await equal(store, log);
  expect(revisions(log)).toEqual([...revisions(log)].sort((x, y) => x - y));
});

test("syncer: all keys of one transaction are published, under its revision", async () => {
  const [store, log] = [makeFakeStore(), makeFakeLog()];
  await using _ = start(store, log);
  await equal(store, log);
  const done = await store.txn({ compares: [], success: ["a", "b", "c"].map((k) => ({ do: "put", key: key(k), value: "{}" })) });
  await equal(store, log);
  expect(revisions(log)).toEqual([done.revision, done.revision, done.revision]);
});

const IDENTITY = "/calico/resources/v3/projectcalico.org/clusterinformations/default";
const cluster = (guid: string) => JSON.stringify({ spec: { clusterGUID: guid } });

test("syncer: a store that is emptied while it is followed is not published, whatever came in the same transaction", async () => {
  const [store, log] = [makeFakeStore(), makeFakeLog()];
  await store.put(IDENTITY, cluster("a"));
  await store.put(key("p"), '{"n":1}');
  await using syncer = start(store, log);
  await equal(store, log);
  const before = stateOf(log);
  // In the order of keys, as etcd tells of a range that was removed.
  await store.txn({
    compares: [],
    success: ["/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-26", IDENTITY, key("p")].map((k) => ({ do: "delete", key: k })),
  });
  await until(() => syncer.logger.lines.some((l) => l.level === "error" && String(l.fields["reason"]).includes("no ClusterInformation")));
  const beats = log.beats.length;
  await until(() => log.beats.length > beats + 3); // readers stay with the log
  expect(stateOf(log)).toEqual(before);
  expect(log.beats.at(-1)?.revision).toBe(Math.max(...revisions(log)));
  const fences = log.messages.filter((m) => m.kind === "fence").length;
  expect(fences).toBe(2);
  await store.put(key("q"), "{}");
  await store.put(IDENTITY, cluster("a"));
  await equal(store, log);
  expect(Object.keys(stateOf(log)).sort()).toEqual([IDENTITY, key("q")]);
  expect(syncer.held).toEqual([expect.stringContaining("no ClusterInformation"), undefined]);
});

test("syncer: a store that was begun anew is published when its clusterGUID is named", async () => {
  const [store, log] = [makeFakeStore(), makeFakeLog()];
  await store.put(IDENTITY, cluster("a"));
  await store.put(key("p"), '{"n":1}');
  {
    await using _ = start(store, log);
    await equal(store, log);
  }
  const before = stateOf(log);
  const anew = makeFakeStore();
  {
    await using syncer = start(anew, log);
    await until(() => syncer.held.length === 1);
    await anew.put(IDENTITY, cluster("b"));
    await until(() => syncer.held.length === 2);
    expect(syncer.held.at(-1)).toMatch(/is cluster b, the log tells of cluster a/);
    expect(stateOf(log)).toEqual(before);
  }
  await using _ = start(anew, log, "s2", "b");
  await equal(anew, log);
});

test("syncer: a store restored from a snapshot that gave the same revision to another value is published into a new log", async () => {
  const [store, log] = [makeFakeStore(), makeFakeLog()];
  const write = async (to: FakeStore, value: string) => {
    await to.put(IDENTITY, cluster("a"));
    await to.elect("other", "x", new AbortController().signal); // revisions that nobody sees
    await to.put(key("p"), value);
  };
  await write(store, '{"n":1}');
  {
    await using _ = start(store, log);
    await equal(store, log);
  }
  const restored = makeFakeStore();
  await write(restored, '{"n":2}');
  await using syncer = start(restored, log);
  await equal(restored, log);
  expect(syncer.logger.lines.some((l) => l.message.includes("rebuilding"))).toBe(true);
});

test("syncer: compaction, a lost connection, a lost answer and a lost log all end in the same state", async () => {
  const [store, log] = [makeFakeStore(), makeFakeLog()];
  await using _ = start(store, log);
  await store.put(key("a"), '{"n":1}');
  await equal(store, log);
  log.disconnect();
  await store.put(key("a"), '{"n":2}');
  await store.put(key("gone"), "{}");
  await store.delete(key("gone"));
  store.compact();
  await equal(store, log);
  log.failNextAppend("stored");
  await store.put(key("b"), '{"n":3}');
  await equal(store, log);
  log.failNextAppend("lost");
  await store.delete(key("b"));
  await equal(store, log);
  await log.drop();
  await equal(store, log);
  expect(revisions(log)).toEqual([...revisions(log)].sort((x, y) => x - y));
});

test("syncer: bad values are counted and named, and stop nothing", async () => {
  const [store, log] = [makeFakeStore(), makeFakeLog()];
  await store.put(key("bad"), "not json");
  await using syncer = start(store, log);
  await store.put(key("good"), "{}");
  await store.put(key("big"), JSON.stringify({ x: "y".repeat(1_600_000) }));
  await store.put(key("").replace("ippools", "unheard") + "x", "{}");
  await store.put(key("last"), "{}");
  await until(() => key("last") in stateOf(log));
  expect(Object.keys(stateOf(log))).toEqual([key("good"), key("last")]);
  expect([...new Set(syncer.refused)].sort()).toEqual(["notJson", "tooLarge", "unknownKey"]);
  const named = syncer.logger.lines.filter((l) => l.message === "key passed over").map((l) => l.fields["key"]);
  expect(named).toContain(key("bad"));
});

test("syncer: of two, the standby takes over without repeating or disordering anything", async () => {
  const [store, log] = [makeFakeStore(), makeFakeLog()];
  await using _one = start(store, log, "s1");
  await using _two = start(store, log, "s2");
  for (let i = 0; i < 20; i++) {
    await store.put(key(`k${i % 3}`), `{"n":${i}}`);
    if (i === 7 || i === 13) store.expireLeader("syncer");
  }
  await equal(store, log);
  const ids = log.messages.flatMap((m) => (m.kind === "change" ? [`${m.revision} ${m.key}`] : []));
  expect(new Set(ids).size).toBe(ids.length);
  expect(revisions(log)).toEqual([...revisions(log)].sort((x, y) => x - y));
  const leaders = new Set(log.messages.flatMap((m) => (m.kind === "fence" ? [m.leader] : [])));
  expect(leaders).toEqual(new Set(["s1", "s2"]));
});

test("syncer: what a deposed leader still had on the way is refused to its last message, wherever the log is by then", async () => {
  const [store, log] = [makeFakeStore(), makeFakeLog()];
  await using _one = start(store, log, "s1");
  await equal(store, log);
  log.freeze("s1");
  for (let i = 0; i < 40; i++) await store.put(key(`k${i % 3}`), `{"n":${i}}`);
  await pauseMs(2); // s1 sends all of it
  await using _two = start(store, log, "s2");
  store.expireLeader("syncer");
  await equal(store, log);
  // Message by message: somewhere the log is at what one of the forty expects.
  for (let i = 0; i < 10; i++) {
    await store.put(key("late"), `{"n":${i}}`);
    await equal(store, log);
  }
  log.thaw("s1");
  await pauseMs(2);
  await store.put(key("last"), "{}");
  await equal(store, log);
  expect(revisions(log)).toEqual([...revisions(log)].sort((x, y) => x - y));
  expect(log.messages.filter((m) => m.kind === "fence").map((m) => m.leader)).toEqual(["s1", "s2"]);
});

test("syncer: a store that was reset is published into a new log", async () => {
  const [store, log] = [makeFakeStore(), makeFakeLog()];
  for (let i = 0; i < 9; i++) await store.put(key("a"), `{"n":${i}}`);
  {
    await using _ = start(store, log);
    await equal(store, log);
  }
  const reset = makeFakeStore();
  await reset.put(key("b"), "{}");
  await using _ = start(reset, log);
  await equal(reset, log);
  expect(Object.keys(stateOf(log))).toEqual([key("b")]);
});

test("syncer: old tombstones are forgotten", async () => {
  const [store, log] = [makeFakeStore(), makeFakeLog()];
  const abort = new AbortController();
  await store.put(key("a"), "{}");
  const running = runSyncer({ store, log, logger: recordingLogger(), id: "s", signal: abort.signal, heartbeatMs: 2, tombstoneMs: 0 });
  await equal(store, log);
  await store.delete(key("a"));
  await until(() => log.messages.every((m) => m.kind !== "change"));
  abort.abort();
  await running;
});

test("syncer: under any schedule of changes and faults, log and store end equal and in order", async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("put" as const), k: fc.constantFrom("a", "b", "c") }),
    fc.record({ do: fc.constant("delete" as const), k: fc.constantFrom("a", "b", "c") }),
    fc.record({
      do: fc.constantFrom("disconnect", "lost", "stored", "compact", "expire", "drop", "pause", "freeze", "thaw"),
      k: fc.constant(""),
    }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const [store, log] = [makeFakeStore(), makeFakeLog()];
      await using _one = start(store, log, "s1");
      await using _two = start(store, log, "s2");
      let n = 0;
      for (const { do: what, k } of steps) {
        if (what === "put") await store.put(key(k), `{"n":${n++}}`);
        else if (what === "delete") await store.delete(key(k));
        else if (what === "disconnect") log.disconnect();
        else if (what === "compact") store.compact();
        else if (what === "expire") store.expireLeader("syncer");
        else if (what === "drop") await log.drop();
        else if (what === "pause") await pauseMs(2);
        else if (what === "freeze") log.freeze("s1");
        else if (what === "thaw") log.thaw("s1");
        else log.failNextAppend(what);
      }
      log.thaw("s1");
      await equal(store, log);
      expect(revisions(log)).toEqual([...revisions(log)].sort((x, y) => x - y));
    }),
    { numRuns: 40 },
  );
}, 60_000);
