import { spawn } from "node:child_process";
import { performance } from "node:perf_hooks";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { recordingLogger } from "@calico/daemon/testing";
import { openEtcd, type Store } from "@calico/datastore";
import { freePort, killChild, startEtcd, type TestEtcd } from "@calico/datastore/testing";
import { ALL_KINDS } from "@calico/model";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { makeNatsLog } from "../src/adapter/nats-log.ts";
import { makeNatsReader } from "../src/adapter/nats-reader.ts";
import { openNats } from "../src/adapter/nats.ts";
import { type FeedEvent, openFeed, openReporter, openReports, type Report } from "../src/mod.ts";
import type { LogReader } from "../src/ports.ts";
import { makeFeed } from "../src/service/feed.ts";
import { openTestSyncer, startNats, type TestNats } from "../src/testing.ts";

let etcd: TestEtcd;
let nats: TestNats;
let store: Store;
beforeAll(async () => {
  [etcd, nats] = await Promise.all([startEtcd(), startNats()]);
  store = openEtcd({ endpoints: etcd.endpoints });
});
const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});
afterAll(async () => {
  await store?.close();
  await Promise.all([etcd?.stop(), nats?.stop()]);
});

const key = (name: string) => `/calico/resources/v3/projectcalico.org/ippools/${name}`;

interface Follower {
  readonly state: Map<string, number>;
  readonly log: FeedEvent[];
  readonly syncs: number[];
}

/** Follows everything; its state and every event it got. */
function follow(servers: readonly string[] = nats.servers, wrap = (reader: LogReader) => reader): Follower {
  const abort = new AbortController();
  const follower: Follower = { state: new Map(), log: [], syncs: [] };
  const log = recordingLogger();
  const feed = makeFeed(wrap(makeNatsReader(openNats({ servers, name: "test", log }), log)), {
    kinds: ALL_KINDS,
    signal: abort.signal,
    log,
  });
  const done = (async () => {
    for await (const batch of feed) {
      for (const event of batch) {
        follower.log.push(event);
        if (event.kind === "updated") follower.state.set(event.key, event.revision);
        else if (event.kind === "deleted") follower.state.delete(event.key);
        else follower.syncs.push(performance.now());
      }
    }
  })();
  cleanups.push(async () => (abort.abort(), done));
  return follower;
}

function syncer(id = "syncer-1") {
  const running = openTestSyncer({ etcd: etcd.endpoints, nats: nats.servers, id, log: recordingLogger() });
  const stop = () => running[Symbol.asyncDispose]();
  cleanups.push(async () => stop());
  return { stop };
}

/** The follower has exactly what etcd has, key by key and revision by revision. Returns the wait in ms. */
async function converged({ state, syncs }: Follower, limitMs = 10_000): Promise<number> {
  const begun = performance.now();
  let missing = "";
  while (performance.now() - begun < limitMs) {
    const { items } = await store.list("/calico/");
    const want = new Map(items.map((kv) => [kv.key, kv.modRevision]));
    missing = [...want].find(([k, r]) => state.get(k) !== r)?.[0] ?? [...state.keys()].find((k) => !want.has(k)) ?? "";
    if (missing === "" && syncs.length > 0) return performance.now() - begun;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`not equal after ${limitMs} ms, first at ${missing}`);
}

/** Every message of the stream: revision, key and fence. */
async function readLog(): Promise<{ revision: number; key: string; leader: string }[]> {
  const nc = await connect({ servers: nats.servers });
  try {
    const jsm = await jetstreamManager(nc);
    const { state } = await jsm.streams.info("CALICO");
    const all = [];
    for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
      const message = await jsm.streams.getMessage("CALICO", { seq });
      if (message === null) continue;
      const isFence = message.subject.endsWith("_log.fence");
      all.push({
        revision: isFence ? 0 : Number(message.header.get("Calico-Revision")),
        key: message.header.get("Calico-Key"),
        leader: isFence ? message.json<{ id: string }>().id : "",
      });
    }
    return all;
  } finally {
    await nc.close();
  }
}

function ordered(revisions: readonly number[]): boolean {
  return revisions.every((r, i) => i === 0 || r >= revisions[i - 1]!);
}

test("create, update and delete arrive in order, each once", async () => {
  syncer();
  const follower = follow();
  await store.put(key("a"), '{"n":1}');
  await store.put(key("a"), '{"n":2}');
  await store.put("/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-26", "{}");
  await store.put("/calico/ipam/v2/host/n1/ipv4/block/10.0.0.0-26", "");
  await converged(follower);
  await store.txn({ compares: [], success: ["x", "y", "z"].map((k) => ({ do: "put", key: key(k), value: "{}" })) });
  await store.delete(key("a"));
  await converged(follower);
  const tail = follower.log.slice(follower.log.findIndex((e) => e.kind === "inSync") + 1);
  expect(ordered(tail.map((e) => e.revision))).toBe(true);
  expect(tail.slice(-4).map((e) => `${e.kind} ${e.kind === "inSync" ? "" : e.ref.ref.name}`)).toEqual([
    "updated x",
    "updated y",
    "updated z",
    "deleted a",
  ]);
  const delays = tail.flatMap((e) => (e.kind === "inSync" ? [] : [Date.now() - (e.seenAt ?? Number.NaN)]));
  expect(delays.length).toBeGreaterThan(0);
  expect(
    delays.every((ms) => ms >= 0 && ms < 20_000),
    `seen ${delays.join()} ms ago`,
  ).toBe(true);
});

test("nats killed while changes go on: nothing is lost, back within 3 s", async () => {
  syncer();
  const follower = follow();
  await converged(follower);
  for (let i = 0; i < 200; i++) {
    void store.put(key(`k${i % 20}`), JSON.stringify({ n: i }));
    if (i === 100) await nats.kill();
  }
  await store.delete(key("k3"));
  await nats.restart();
  const waited = await converged(follower);
  console.log(`nats restart → feed equal: ${Math.round(waited)} ms`);
  expect(waited).toBeLessThan(3000);
  await store.put(key("after"), "{}");
  await converged(follower);
});

test("etcd killed and back: nothing is lost", async () => {
  syncer();
  const follower = follow();
  await converged(follower);
  for (let i = 0; i < 50; i++) await store.put(key(`e${i}`), "{}");
  await etcd.restart();
  await store.delete(key("e7"));
  await store.put(key("e8"), '{"n":2}');
  const waited = await converged(follower);
  console.log(`etcd restart → feed equal: ${Math.round(waited)} ms`);
  await etcd.kill();
  const down = performance.now();
  while (performance.now() - down < 3000) await new Promise((resolve) => setTimeout(resolve, 100)); // longer than the leader's lease
  await etcd.restart();
  await store.put(key("e9"), '{"n":3}');
  console.log(`etcd down for 3 s → feed equal: ${Math.round(await converged(follower))} ms`);
});

test("compaction past the syncer's position: the difference is published", async () => {
  const first = syncer();
  const follower = follow();
  await converged(follower);
  await first.stop();
  await store.put(key("c1"), "{}");
  await store.delete(key("x"));
  const { revision } = await store.list("/calico/");
  await store.put(key("c2"), "{}");
  const answer = await fetch(`${etcd.endpoints[0]}/v3/kv/compaction`, {
    method: "POST",
    body: JSON.stringify({ revision, physical: true }),
  });
  expect(answer.ok).toBe(true);
  syncer("syncer-2");
  await converged(follower);
  expect(ordered((await readLog()).flatMap((m) => (m.key === "" ? [] : [m.revision])))).toBe(true);
});

test("the stream removed, then emptied: rebuilt, equal key by key, nothing deleted in between", async () => {
  syncer();
  const follower = follow();
  await converged(follower);
  const nc = await connect({ servers: nats.servers });
  const jsm = await jetstreamManager(nc);
  const before = follower.log.length;
  await jsm.streams.delete("CALICO");
  await store.put(key("d1"), "{}");
  const waited = await converged(follower);
  console.log(`stream removed → feed equal: ${Math.round(waited)} ms`);
  expect(follower.log.slice(before).filter((e) => e.kind === "deleted")).toEqual([]);
  const again = follow(); // a newcomer sees the rebuilt stream only
  await converged(again);
  await jsm.streams.purge("CALICO");
  await store.put(key("d2"), "{}");
  await converged(follower);
  const third = follow();
  await converged(third);
  expect(third.state).toEqual(follower.state);
  await nc.close();
});

test("nats wiped and etcd wiped: followed", async () => {
  syncer();
  const follower = follow();
  await converged(follower);
  await nats.wipe();
  await converged(follower);
  await etcd.wipe();
  await store.put(key("new"), "{}");
  await converged(follower);
  expect([...follower.state.keys()]).toEqual([key("new")]);
});

test("two syncer processes, the leader killed: the standby goes on within 3 s, nothing twice, nothing out of order", async () => {
  const run = (node: string) => {
    const args = ["setup/run.sh", "packages/bus/src/main.ts", "--etcd", etcd.endpoints.join(), "--nats", nats.servers.join()];
    const child = spawn("bash", [...args, "--node", node, "--health-port", "-1"], { stdio: ["ignore", "ignore", "pipe"] });
    cleanups.push(() => killChild(child));
    const leads = new Promise<void>((resolve) => child.stderr.on("data", (chunk: Buffer) => chunk.includes('"leading"') && resolve()));
    return { child, leads };
  };
  const one = run("one");
  await one.leads;
  const two = run("two");
  const follower = follow();
  await converged(follower);
  let writing = true;
  const writer = (async () => {
    for (let i = 0; writing; i++) await store.put(key(`w${i % 10}`), JSON.stringify({ n: i }));
  })();
  await until(async () => follower.log.length > 200);
  await until(async () => (await store.list("/calico-ts/election/syncer/")).items.length === 2);
  const killed = performance.now();
  await killChild(one.child);
  await two.leads;
  const seen = follower.log.length;
  await until(async () => follower.log.length > seen);
  const tookOver = performance.now() - killed;
  writing = false;
  await writer;
  await converged(follower);
  console.log(`leader killed → standby publishing: ${Math.round(tookOver)} ms`);
  expect(tookOver).toBeLessThan(3000);
  const log = await readLog();
  const changes = log.filter((m) => m.key !== "");
  expect(ordered(changes.map((m) => m.revision))).toBe(true);
  expect(new Set(changes.map((m) => `${m.revision}:${m.key}`)).size).toBe(changes.length);
  expect(log.filter((m) => m.leader.startsWith("two/")).length).toBeGreaterThan(0);
});

test("a deposed leader is refused by the fence, at its next message", async () => {
  const open = (name: string) => {
    const connection = openNats({ servers: nats.servers, name, log: recordingLogger() });
    cleanups.push(() => connection.close());
    return makeNatsLog(connection, { signal: new AbortController().signal });
  };
  const publication = (n: number) => ({
    key: key("f"),
    subject: "calico.v3.ippools._.f",
    op: "put" as const,
    revision: 1e6 + n,
    data: "{}",
    seenAt: Date.now(),
  });
  const old = await open("old").claim({ id: "old", epoch: 1 });
  await old.append(publication(1));
  const next = await open("next").claim({ id: "next", epoch: 2 });
  await expect(old.append(publication(2))).rejects.toMatchObject({ name: "LogFault", reason: "fenced" });
  expect(old.broken.aborted).toBe(true);
  expect((await next.entries()).get(key("f"))).toMatchObject({ revision: 1e6 + 1, op: "put" });
  await next.append(publication(3));
  await next.check();
  await next[Symbol.asyncDispose]();
});

test("everything may be down at the start", async () => {
  const abort = new AbortController();
  const servers = [`nats://127.0.0.1:${await freePort()}`];
  const log = recordingLogger();
  const feed = openFeed({ servers, name: "early", kinds: ["IPPool"], signal: abort.signal, log });
  await until(async () => log.lines.some((l) => l.message === "nats not reachable, trying again"));
  expect(feed.status()).toMatchObject({ connected: false, inSync: false });
  abort.abort();
  for await (const _ of feed) expect.unreachable("no event without a server");
});

test("reports: applied and status arrive typed, survive a restart of nats, and never throw while it is away", async () => {
  const log = recordingLogger();
  const abort = new AbortController();
  const reports: Report[] = [];
  const reporter = openReporter({ servers: nats.servers, component: "felix", node: "node.1", log });
  cleanups.push(() => reporter.close());
  const reading = (async () => {
    for await (const report of openReports({ servers: nats.servers, signal: abort.signal, log })) reports.push(report);
  })();
  const applied = (revision: number) => ({
    revision,
    stages: { busMs: 1, calcMs: 2, kernelMs: 3 },
    changed: ["cali-fw-x"],
    repaired: [],
    at: new Date().toISOString(),
  });
  const has = (test: (r: Report) => boolean) => until(async () => reports.some(test));
  await until(async () => {
    reporter.status({ healthy: true, inSync: true, revision: 5, version: "0", detail: {} });
    return reports.some((r) => r.kind === "status" && r.body.node === "node.1");
  });
  reporter.applied(applied(6));
  reporter.event("cni.node1.add", { pod: "p" });
  await has((r) => r.kind === "applied" && r.body.revision === 6 && r.body.component === "felix");
  await has((r) => r.kind === "event" && r.subject === "calico.cni.node1.add");
  await nats.kill();
  reporter.status({ healthy: false, inSync: true, revision: 7, version: "0", detail: {} });
  reporter.applied(applied(7));
  await nats.restart();
  await has((r) => r.kind === "status" && !r.body.healthy);
  abort.abort();
  await reading;
});

async function until(condition: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 15_000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error("the condition did not come true within 15 s");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("reports: an agent that says much keeps little on the stream, and the stream has a size that it does not pass", async () => {
  const reporter = openReporter({ servers: nats.servers, component: "felix", node: "talks-much", log: recordingLogger() });
  cleanups.push(() => reporter.close());
  const nc = await connect({ servers: nats.servers });
  cleanups.push(() => nc.close());
  const jsm = await jetstreamManager(nc);
  const count = async () => (await jsm.streams.info("CALICO_NODE", { subjects_filter: "calico.*.felix.talks-much" })).state;
  const body = { healthy: true, inSync: true, version: "0", detail: {} };
  await until(async () => {
    reporter.status({ ...body, revision: 0 });
    return (await count().catch(() => undefined))?.subjects?.["calico.status.felix.talks-much"] !== undefined;
  });
  const before = (await count()).last_seq;
  for (let revision = 1; revision <= 500; revision++) {
    reporter.status({ ...body, revision });
    reporter.applied({ revision, stages: { busMs: 1, calcMs: 2, kernelMs: 3 }, changed: [], repaired: [], at: new Date().toISOString() });
  }
  await until(async () => (await count()).last_seq >= before + 1000);
  expect((await count()).subjects).toEqual({ "calico.status.felix.talks-much": 64, "calico.applied.felix.talks-much": 64 });
  const { max_bytes, max_age, discard } = (await jsm.streams.info("CALICO_NODE")).config;
  expect({ max_bytes, max_age, discard }).toEqual({ max_bytes: 256 * 2 ** 20, max_age: 3600e9, discard: "old" });
});

test("a feed that opens session after session while keys change all the time never says that one was deleted", async () => {
  syncer();
  let leave = async () => {};
  const follower = follow(nats.servers, (reader) => ({
    ...reader,
    async open(signal) {
      const session = await reader.open(signal);
      leave = () => session.close();
      return session;
    },
  }));
  const keys = ["busy-a", "busy-b", "busy-c", "busy-d"].map(key);
  let writing = true;
  const writers = keys.map(async (k) => {
    for (let n = 0; writing; n++) await store.put(k, JSON.stringify({ n }));
  });
  await expect.poll(() => keys.every((k) => follower.state.has(k)), { timeout: 10_000 }).toBe(true);
  for (let round = 0; round < 15; round++) {
    const syncs = follower.syncs.length;
    await leave();
    await expect.poll(() => follower.syncs.length, { timeout: 10_000, interval: 5 }).toBeGreaterThan(syncs);
  }
  writing = false;
  await Promise.all(writers);
  expect(follower.log.filter((e) => e.kind === "deleted" && keys.includes(e.key))).toEqual([]);
  for (const k of keys) await store.delete(k);
  await expect.poll(() => keys.some((k) => follower.state.has(k)), { timeout: 10_000 }).toBe(false);
}, 60_000);
