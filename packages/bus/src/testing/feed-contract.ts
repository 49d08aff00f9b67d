import type { Store } from "@calico/datastore";
import type { Kind } from "@calico/model";
import { afterEach, expect, test } from "vitest";
import type { FeedEvent } from "../domain/feed-state.ts";
import type { Feed } from "../service/feed.ts";

/** What a source of events is tested with. */
export interface FeedEnv {
  readonly store: Pick<Store, "put" | "delete" | "txn" | "list">;
  open(kinds: readonly Kind[], signal: AbortSignal): Feed;
  /** Break what the feed hangs on, in a way that it must mend itself. */
  interrupt(): Promise<void>;
}

const RESOURCES = "/calico/resources/v3/projectcalico.org";
const BLOCK = "/calico/ipam/v2/assignment/ipv4/block/10.9.0.0-26";
const KINDS: readonly Kind[] = ["IPPool", "IPAMBlock"];

/** What every source of events keeps to: snapshot, in sync, tail; ordered, whole, nothing twice. */
export function testFeedContract(name: string, env: () => FeedEnv): void {
  const cleanups: (() => Promise<void>)[] = [];
  let round = 0;
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0)) await cleanup();
  });

  /** Names of this test only: the store is shared. */
  function names() {
    const prefix = `${name}-${process.pid}-${++round}-`;
    return { pool: (n: string) => `${RESOURCES}/ippools/${prefix}${n}`, prefix };
  }

  function follow() {
    const abort = new AbortController();
    const feed = env().open(KINDS, abort.signal);
    const events: FeedEvent[] = [];
    const state = new Map<string, number>();
    const done = (async () => {
      for await (const batch of feed) {
        for (const event of batch) {
          events.push(event);
          if (event.kind === "updated") state.set(event.key, event.revision);
          if (event.kind === "deleted") state.delete(event.key);
        }
      }
    })();
    cleanups.push(async () => (abort.abort(), await done));
    return { feed, events, state };
  }

  async function equal({ feed, state }: ReturnType<typeof follow>): Promise<void> {
    let wrong = "";
    const end = Date.now() + 15_000;
    while (Date.now() < end) {
      const items = [...(await env().store.list(`${RESOURCES}/ippools/`)).items, ...(await env().store.list("/calico/ipam/v2/")).items];
      const want = new Map(items.map((kv) => [kv.key, kv.modRevision]));
      wrong = [...want].find(([k, r]) => state.get(k) !== r)?.[0] ?? [...state.keys()].find((k) => !want.has(k)) ?? "";
      if (wrong === "" && feed.status().inSync) return;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    throw new Error(`the feed differs from the store at ${wrong}`);
  }

  const brief = (events: readonly FeedEvent[], prefix: string) =>
    events.flatMap((e) => (e.kind !== "inSync" && e.key.includes(prefix) ? [`${e.kind} ${e.key.split(prefix)[1]}`] : []));

  test(`${name}: snapshot, in sync, then every change in the order of revisions`, async () => {
    const { pool, prefix } = names();
    const { store } = env();
    await store.put(pool("a"), '{"n":1}');
    await store.put(pool("b"), '{"n":1}');
    await equal(follow()); // it is there to be read
    const reader = follow();
    await equal(reader);
    const synced = reader.events.findIndex((e) => e.kind === "inSync");
    expect(brief(reader.events.slice(0, synced), prefix).sort()).toEqual(["updated a", "updated b"]);
    expect(reader.events.slice(0, synced).some((e) => "seenAt" in e)).toBe(false);
    await store.put(pool("b"), '{"n":2}');
    await store.delete(pool("a"));
    await store.txn({ compares: [], success: ["x", "y"].map((n) => ({ do: "put", key: pool(n), value: "{}" })) });
    await store.put(BLOCK, "{}");
    await equal(reader);
    const tail = reader.events.slice(synced + 1).filter((e) => e.kind !== "inSync");
    expect(brief(tail, prefix)).toEqual(["updated b", "deleted a", "updated x", "updated y"]);
    expect(tail.map((e) => e.revision)).toEqual(tail.map((e) => e.revision).toSorted((a, b) => a - b));
    expect(tail.every((e) => e.seenAt !== undefined)).toBe(true);
    expect(tail.at(-1)).toMatchObject({ key: BLOCK, ref: { ref: { kind: "IPAMBlock" } } });
  });

  test(`${name}: other kinds, foreign paths and IPAM kinds at v3 paths are not said`, async () => {
    const { pool, prefix } = names();
    const { store } = env();
    const reader = follow();
    await equal(reader);
    await store.put(`${RESOURCES}/tiers/${prefix}t`, "{}");
    await store.put(`${RESOURCES}/nosuchkind/${prefix}u`, "{}");
    await store.put(`${RESOURCES}/ipamblocks/${prefix}v`, "{}");
    await store.put(`/calico/elsewhere/${prefix}w`, "{}");
    await store.put(pool("seen"), "{}");
    await equal(reader);
    expect(brief(reader.events, prefix)).toEqual(["updated seen"]);
  });

  test(`${name}: a value that is not a JSON object leaves what was there, and stops nothing`, async () => {
    const { pool, prefix } = names();
    const { store } = env();
    const reader = follow();
    await store.put(pool("a"), '{"n":1}');
    await equal(reader);
    for (const bad of ["", "hello", "[1]", "{", `{"a":"${"x".repeat(1_600_000)}"}`]) await store.put(pool("a"), bad);
    await store.put(pool("b"), `{"a":"${"x".repeat(1_400_000)}"}`); // as large as etcd takes it: carried
    const end = Date.now() + 10_000;
    while (!reader.state.has(pool("b")) && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(brief(reader.events, prefix)).toEqual(["updated a", "updated b"]);
    const late = follow(); // who comes now sees what can be worked with
    const lateEnd = Date.now() + 10_000;
    while (!late.feed.status().inSync && Date.now() < lateEnd) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(brief(late.events, prefix)).toContain("updated b");
    await store.put(pool("a"), '{"n":2}');
    await equal(reader);
    expect(brief(reader.events, prefix)).toEqual(["updated a", "updated b", "updated a"]);
  });

  test(`${name}: over interruptions nothing is missing, nothing is said twice, what went is said as deleted`, async () => {
    const { pool, prefix } = names();
    const { store } = env();
    for (const n of ["a", "b", "c"]) await store.put(pool(n), "{}");
    const reader = follow();
    await equal(reader);
    for (const gone of ["a", "b"]) {
      await env().interrupt();
      await store.delete(pool(gone));
      await store.put(pool(`after-${gone}`), "{}");
      await equal(reader);
    }
    const said = reader.events.flatMap((e) => (e.kind === "inSync" ? [] : [`${e.kind} ${e.key} ${e.revision}`]));
    expect(new Set(said).size).toBe(said.length);
    const own = brief(reader.events, prefix);
    expect(own.toSorted()).toEqual(["deleted a", "deleted b", "updated a", "updated after-a", "updated after-b", "updated b", "updated c"]);
  });
}
