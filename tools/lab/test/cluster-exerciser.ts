/** Runs in the cluster's client namespace: counts up in etcd by compare-and-swap, follows the bus, and says both each 100 ms. */
import { performance } from "node:perf_hooks";
import process from "node:process";
import { openFeed } from "@calico/bus";
import { makeLogger } from "@calico/daemon";
import { type KeyValue, openEtcd, StoreUnavailable } from "@calico/datastore";
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
let [acked, events, unknown, late] = [0, 0, 0, 0];
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

/** One try to write: `by` tells apart what two tries wrote for the same `n`. */
type Counted = { readonly n: number; readonly by: number };

/**
 * One key, counted up by one writer. After a lost answer the key is read before going on. That read does not settle the write: it may still
 * take effect after it (etcd proposes what it took before its leader was lost), and then the next try finds a conflict with ourselves.
 */
async function count(key: string): Promise<void> {
  const lost = new Set<number>(); // the tries without an answer
  let at = (await untilAnswered(() => store.get(key)))?.modRevision ?? 0;
  for (let n = 1, by = 1; !stopWriting.signal.aborted; by++) {
    const goOnFrom = (found: KeyValue | undefined) => {
      const have = found === undefined ? { n: 0 } : (JSON.parse(found.value) as Counted);
      const least = ackedOf.get(key)?.n ?? 0;
      if (have.n < least) faults.push(`${key}: ${least} was acknowledged, etcd has ${have.n}`);
      at = found?.modRevision ?? 0;
      n = have.n + 1;
    };
    try {
      const value = JSON.stringify({ n, by } satisfies Counted);
      const done = at === 0 ? await store.create(key, value) : await store.update(key, value, at);
      if (done.ok) {
        lost.clear(); // on what this try changed, none of them can any more
        at = done.value.modRevision;
        ackedOf.set(key, { n, revision: at });
        acked++;
        n++;
      } else {
        const current = "current" in done.error ? done.error.current : undefined;
        if (current === undefined || !lost.has((JSON.parse(current.value) as Counted).by))
          throw new Error(
            `somebody else wrote ${key}, or an answered write was repeated: ${JSON.stringify({ n, by, at, error: done.error })}`,
          );
        late++;
        goOnFrom(current);
      }
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) {
        faults.push(String(error));
        return;
      }
      if (error.outcome === "unknown") lost.add(by);
      unknown++;
      goOnFrom(await untilAnswered(() => store.get(key)));
      continue;
    }
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
    late,
    caughtUpMs,
  }),
);
stop.abort();
await following;
await looking;
await store.close();
process.exit(0);
