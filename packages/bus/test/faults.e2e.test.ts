/** The syncer between a 3-member etcd and a 3-member NATS cluster: after each fault the log's state is etcd's, key by key. */
import { type ChildProcess, spawn } from "node:child_process";
import { performance } from "node:perf_hooks";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { recordingLogger } from "@calico/daemon/testing";
import { openEtcd, type Store } from "@calico/datastore";
import { killChild, startEtcdCluster, type TestEtcdCluster } from "@calico/datastore/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeNatsLog } from "../src/adapter/nats-log.ts";
import { openNats } from "../src/adapter/nats.ts";
import { openSession } from "../src/adapter/session.ts";
import { IN_FLIGHT } from "../src/domain/fence.ts";
import { openTestSyncer, startNats, startNatsCluster, type TestNatsCluster } from "../src/testing.ts";

let etcd: TestEtcdCluster;
let nats: TestNatsCluster;
let store: Store;
const syncers = new Map<string, { readonly child: ChildProcess; readonly said: string[] }>();
const log = recordingLogger();
const key = (name: string) => `/calico/resources/v3/projectcalico.org/ippools/${name}`;

function startSyncer(node: string): void {
  const args = ["setup/run.sh", "packages/bus/src/main.ts", "--etcd", etcd.endpoints.join(), "--nats", nats.servers.join()];
  args.push("--node", node, "--health-port", "-1", "--replicas", "3");
  const child = spawn("bash", args, { stdio: ["ignore", "ignore", "pipe"] });
  const said: string[] = [];
  child.stderr.on("data", (chunk: Buffer) => said.push(...chunk.toString().split("\n").filter(Boolean)));
  syncers.set(node, { child, said });
}

beforeAll(async () => {
  [etcd, nats] = await Promise.all([startEtcdCluster(), startNatsCluster()]);
  store = openEtcd({ endpoints: etcd.endpoints });
  startSyncer("one");
  startSyncer("two");
  await store.put(key("first"), "{}");
  await equal();
}, 60_000);
afterAll(async () => {
  await Promise.all([...syncers.values()].map(({ child }) => killChild(child)));
  await store?.close();
  await Promise.all([etcd?.stop(), nats?.stop()]);
});

/** Key, revision and value of the last message per subject; tombstones left out. */
async function readLogState(): Promise<Map<string, string>> {
  const connection = openNats({ servers: nats.servers, name: "check", log });
  try {
    const state = new Map<string, string>();
    const session = await openSession(connection, { stream: "CALICO", filter: "calico.v3.>" });
    for await (const message of session.messages) {
      const at = message.headers?.get("Calico-Key") ?? "";
      if (at !== "" && message.headers?.get("Calico-Op") === "put")
        state.set(at, `${message.headers.get("Calico-Revision")} ${message.string()}`);
      if (message.info.pending === 0) break;
    }
    await session.close();
    return state;
  } finally {
    await connection.close();
  }
}

async function equal(limitMs = 25_000): Promise<void> {
  const end = Date.now() + limitMs;
  let wrong: unknown = "nothing read";
  while (Date.now() < end) {
    try {
      const { items } = await store.list("/calico/");
      const have = await readLogState();
      wrong =
        items.find((kv) => have.get(kv.key) !== `${kv.modRevision} ${kv.value}`)?.key ??
        [...have.keys()].find((k) => !items.some((kv) => kv.key === k));
      if (wrong === undefined) return;
    } catch (error) {
      wrong = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`log and etcd differ after ${limitMs} ms, first at ${String(wrong)}`);
}

/** Writes 50 a second, puts and deletes, until stopped; what etcd did not take is tried again. */
function startWriter(prefix: string) {
  let running = true;
  let written = 0;
  const done = (async () => {
    for (let i = 0; running; i++) {
      const at = key(`${prefix}${i % 15}`);
      try {
        if (i % 7 === 6) await store.delete(at);
        else await store.put(at, JSON.stringify({ n: i }));
        written++;
      } catch {
        i--; // the outcome may be unknown: the same again does no harm
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  return {
    get written() {
      return written;
    },
    async stop() {
      running = false;
      await done;
    },
  };
}

async function wrote(writer: { readonly written: number }, more: number): Promise<void> {
  const want = writer.written + more;
  await until(() => writer.written >= want, 20_000);
}

async function during(prefix: string, fault: (writer: { readonly written: number }) => Promise<void>): Promise<void> {
  const writer = startWriter(prefix);
  try {
    await wrote(writer, 10);
    await fault(writer);
    await wrote(writer, 10);
  } finally {
    await writer.stop();
  }
  const begun = performance.now();
  await equal();
  console.log(`${prefix}: equal ${Math.round(performance.now() - begun)} ms after the last of ${writer.written} writes`);
}

async function etcdLeader(): Promise<number> {
  for (const [i, endpoint] of etcd.endpoints.entries()) {
    const answer = await fetch(`${endpoint}/v3/maintenance/status`, { method: "POST", body: "{}" }).catch(() => undefined);
    const status = (await answer?.json()) as { header: { member_id: string }; leader: string } | undefined;
    if (status !== undefined && status.header.member_id === status.leader) return i;
  }
  throw new Error("no etcd leader");
}

async function withJsm<T>(use: (jsm: Awaited<ReturnType<typeof jetstreamManager>>, nc: Awaited<ReturnType<typeof connect>>) => Promise<T>) {
  const nc = await connect({ servers: [...nats.servers] });
  try {
    return await use(await jetstreamManager(nc), nc);
  } finally {
    await nc.close();
  }
}

const streamLeader = () => withJsm(async (jsm) => (await jsm.streams.info("CALICO")).cluster?.leader ?? "");

test("etcd: its leader is killed and comes back", async () => {
  await during("etcd-leader-", async (writer) => {
    const leader = await etcdLeader();
    await etcd.kill(leader);
    await wrote(writer, 20);
    await etcd.restart(leader);
  });
});

test("etcd: a follower is killed and comes back", async () => {
  await during("etcd-member-", async (writer) => {
    const follower = ((await etcdLeader()) + 1) % 3;
    await etcd.kill(follower);
    await wrote(writer, 20);
    await etcd.restart(follower);
  });
});

test("nats: the stream's leader moves", async () => {
  await during("js-move-", async () => {
    const before = await streamLeader();
    await withJsm((_, nc) => nc.request("$JS.API.STREAM.LEADER.STEPDOWN.CALICO", "", { timeout: 5000 }));
    await until(async () => !["", before].includes(await streamLeader().catch(() => "")), 15_000);
  });
});

test("nats: the server of the stream's leader is killed and comes back", async () => {
  await during("js-kill-", async (writer) => {
    const victim = nats.names.indexOf(await streamLeader());
    await nats.kill(victim);
    await wrote(writer, 100);
    await nats.restart(victim);
  });
});

test("a leader that slept is deposed, wakes up, and writes nothing", async () => {
  const leads = (node: string) =>
    syncers
      .get(node)!
      .said.findLast((line) => /"leading"|leadership lost|leading failed/.test(line))
      ?.includes('"leading"');
  await until(() => leads("one") === true || leads("two") === true, 10_000);
  const [old, next] = leads("one") === true ? ["one", "two"] : ["two", "one"];
  const sleeper = syncers.get(old!)!.child;
  await during("slept-", async (writer) => {
    const heard = syncers.get(next!)!.said.length;
    const slept = performance.now();
    process.kill(daemonPid(sleeper), "SIGSTOP");
    try {
      await until(
        () =>
          syncers
            .get(next!)!
            .said.slice(heard)
            .some((line) => line.includes("log is up to date")),
        15_000,
      );
      console.log(`leader asleep → standby up to date: ${Math.round(performance.now() - slept)} ms`);
      await wrote(writer, 20);
    } finally {
      process.kill(daemonPid(sleeper), "SIGCONT");
    }
    await wrote(writer, 20);
  });
});

test("over all of it, the log is in the order of revisions and has nothing twice", async () => {
  const connection = openNats({ servers: nats.servers, name: "history", log });
  const session = await openSession(connection, { stream: "CALICO", filter: "calico.v3.>", history: true });
  const seen: { readonly revision: number; readonly key: string }[] = [];
  let fences = 0;
  for await (const message of session.messages) {
    const at = message.headers?.get("Calico-Key") ?? "";
    if (at !== "") seen.push({ revision: Number(message.headers?.get("Calico-Revision")), key: at });
    if (message.subject.endsWith("_log.fence")) fences++;
    if (message.info.pending === 0) break;
  }
  await session.close();
  await connection.close();
  expect(fences).toBeGreaterThan(1);
  expect(seen.length).toBeGreaterThan(30);
  const back = seen.findIndex(({ revision }, i) => i > 0 && revision < seen[i - 1]!.revision);
  expect(back, `out of order: ${JSON.stringify(seen.slice(Math.max(0, back - 5), back + 5))}`).toBe(-1);
  expect(new Set(seen.map((m) => `${m.revision}:${m.key}`)).size).toBe(seen.length);
});

test("what a deposed leader still has on the way is refused to its last message, wherever the log is by then", async () => {
  await using server = await startNats();
  await using connections = new AsyncDisposableStack();
  const claim = async (id: string, epoch: number) => {
    const connection = openNats({ servers: server.servers, name: id, log });
    connections.defer(() => connection.close());
    return connections.use(await makeNatsLog(connection, { signal: new AbortController().signal }).claim({ id, epoch }));
  };
  const publication = (revision: number) =>
    ({ key: key("x"), subject: "calico.v3.ippools._.x", op: "put", revision, data: "{}", seenAt: 0 }) as const;
  const old = await claim("old", 1);
  await old.append(publication(1));
  const next = await claim("next", 2);
  for (let revision = 2; revision < 20; revision++) await next.append(publication(revision));
  const late = await Promise.allSettled(Array.from({ length: IN_FLIGHT }, (_, i) => old.append(publication(2 + i))));
  expect(late.filter(({ status }) => status === "fulfilled")).toEqual([]);
  await next.append(publication(20));
  await next.check();
});

test("etcd with users: the token runs out while nothing happens, and the syncer goes on", async () => {
  await using own = await startEtcdCluster({ size: 1, extra: ["--auth-token-ttl", "1"] });
  const post = async (path: string, body: object) => {
    const answer = await fetch(`${own.endpoints[0]}/v3/auth/${path}`, { method: "POST", body: JSON.stringify(body) });
    expect(answer.ok, `${path}: ${await answer.text()}`).toBe(true);
  };
  await post("user/add", { name: "root", password: "secret" });
  await post("user/grant", { user: "root", role: "root" });
  await post("enable", {});
  const auth = { username: "root", password: "secret" };
  await using writer = openEtcd({ endpoints: own.endpoints, auth });
  await using server = await startNats();
  const observed: string[] = [];
  const observer = {
    caughtUp: (r: number) => observed.push(`up ${r}`),
    published: ({ revision: r }: { revision: number }) => observed.push(`put ${r}`),
  };
  await using _ = openTestSyncer({ etcd: own.endpoints, nats: server.servers, auth, log, observer });
  await until(() => observed.some((o) => o.startsWith("up")), 10_000);
  for (let round = 0; round < 2; round++) {
    const idle = performance.now();
    await until(() => performance.now() - idle > 3000, 10_000); // three lives of a token
    const { modRevision } = await writer.put(key(`auth${round}`), "{}");
    await until(() => observed.includes(`put ${modRevision}`), 5000);
    const again = openTestSyncer({ etcd: own.endpoints, nats: server.servers, auth, id: `next${round}`, log, observer });
    await again[Symbol.asyncDispose]();
  }
  expect((await writer.list("/calico/resources")).items).toHaveLength(2);
});

/** setup/run.sh execs the runtime, so the shell's pid is the daemon's. */
function daemonPid(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error("the syncer did not start");
  return child.pid;
}

async function until(condition: () => boolean | Promise<boolean>, limitMs: number): Promise<void> {
  const end = Date.now() + limitMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`the condition did not come true within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
