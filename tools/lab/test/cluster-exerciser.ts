/** Runs in the cluster's client namespace: counts up in etcd by compare-and-swap, follows the bus, and says both each 100 ms. */
import { performance } from "node:perf_hooks";
import process from "node:process";
import { openFeed } from "@calico/bus";
import { makeLogger } from "@calico/daemon";
import { openEtcd } from "@calico/datastore";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";

const [etcd = "", nats = "", prefix = "", sources = "", limitMs = ""] = process.argv.slice(2);
const log = makeLogger({ component: "exerciser", level: "warn" });
const stop = new AbortController();
const stopWriting = new AbortController();
const store = openEtcd({ endpoints: etcd.split(","), log });
const feed = openFeed({
  servers: nats.split(","),
  name: "exerciser",
  kinds: ["IPPool"],
  signal: stop.signal,
  log,
  // Without etcd the usual limits: who leaves each server after 3 s is not long enough on one to be served after an election.
  ...(sources === "both" && { etcd: { endpoints: etcd.split(",") }, limits: { rehomeMs: 3000, fallBackMs: 6000, returnMs: 3000 } }),
});

const applied = new Map<string, { n: number; revision: number }>();
const faults: string[] = [];
let [acked, events, unknown] = [0, 0, 0];
const ackedOf = new Map<string, { n: number; revision: number }>();

const following = (async () => {
  for await (const batch of feed) {
    for (const event of batch) {
      if (event.kind === "inSync") continue;
      events++;
      const before = applied.get(event.key);
      if (event.kind === "deleted") faults.push(`deleted ${event.key}`);
      else {
        const { n } = event.value as { n: number };
        if (before !== undefined && (n <= before.n || event.revision <= before.revision))
          faults.push(`${event.key}: ${n} after ${before.n}`);
        applied.set(event.key, { n, revision: event.revision });
      }
    }
  }
})();

/** One key, counted up by one writer: a lost answer is looked up before going on. */
async function count(key: string): Promise<void> {
  let at = (await untilAnswered(() => store.get(key)))?.modRevision ?? 0;
  for (let n = 1; !stopWriting.signal.aborted;) {
    try {
      const value = JSON.stringify({ n });
      const done = at === 0 ? await store.create(key, value) : await store.update(key, value, at);
      if (!done.ok) throw new Error(`somebody else wrote ${key}: ${JSON.stringify(done.error)}`);
      at = done.value.modRevision;
    } catch (error) {
      if (!(error instanceof Error && error.name === "StoreUnavailable")) {
        faults.push(String(error));
        return;
      }
      unknown++;
      const found = await untilAnswered(() => store.get(key));
      const have = found === undefined ? 0 : (JSON.parse(found.value) as { n: number }).n;
      at = found?.modRevision ?? 0;
      const least = ackedOf.get(key)?.n ?? 0;
      if (have < least) faults.push(`${key}: ${least} was acknowledged, etcd has ${have}`);
      n = have + 1;
      continue;
    }
    ackedOf.set(key, { n, revision: at });
    acked++;
    n++;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function untilAnswered<T>(ask: () => Promise<T>): Promise<T | undefined> {
  while (!stop.signal.aborted) {
    try {
      return await ask();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100)); // without a quorum nobody answers
    }
  }
  return undefined;
}

/** Whether every member has all of the log. */
let whole = false;
const looking = (async () => {
  const nc = await connect({ servers: nats.split(","), name: "onlooker", maxReconnectAttempts: -1, pingInterval: 2000 });
  const jsm = await jetstreamManager(nc, { checkAPI: false, timeout: 1000 });
  while (!stop.signal.aborted) {
    const info = await jsm.streams.info("CALICO").catch(() => undefined);
    const others = info?.cluster?.replicas ?? [];
    whole = others.length === 2 && others.every(({ current, active }) => current && active < 2e9); // nanoseconds since it was heard of
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  await nc.close();
})();

const counting = Promise.all(Array.from({ length: 4 }, (_, i) => count(`${prefix}${i}`)));
const saying = setInterval(
  () => console.log(JSON.stringify({ acked, events, unknown, whole, faults: faults.length, source: feed.status().source })),
  100,
);
let writing = true;
process.stdin.on("data", () => (writing = false));
while (writing) await new Promise((resolve) => setTimeout(resolve, 50));

stopWriting.abort();
await counting;
const caughtUp = () => [...ackedOf].every(([key, { n }]) => (applied.get(key)?.n ?? 0) >= n);
const [stopped, bound] = [performance.now(), Number(limitMs)];
while (!caughtUp() && performance.now() - stopped < bound) await new Promise((resolve) => setTimeout(resolve, 50));
const caughtUpMs = Math.round(performance.now() - stopped);
const { items } = await store.list(prefix);
const inStore = Object.fromEntries(items.map((kv) => [kv.key, (JSON.parse(kv.value) as { n: number }).n]));
clearInterval(saying);
const own = [...applied].filter(([key]) => key.startsWith(prefix)); // another exercise may have left its keys
console.log(
  JSON.stringify({
    final: true,
    faults,
    acked: Object.fromEntries(ackedOf),
    applied: Object.fromEntries(own),
    inStore,
    unknown,
    caughtUpMs,
  }),
);
stop.abort();
await following;
await looking;
await store.close();
process.exit(0);
