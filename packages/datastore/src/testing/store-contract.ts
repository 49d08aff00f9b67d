import { expect, test } from "vitest";
import type { Store, WatchEvent } from "../ports.ts";

export interface ContractHarness {
  readonly store: Store;
  /** Forget the history up to now. */
  compact(): Promise<void>;
}

let serial = 0;

/** What every Store must do; run on etcd and on the fake. Each test has a prefix of its own. */
export function testStoreContract(name: string, harness: () => ContractHarness): void {
  const prefix = () => `/contract/${++serial}/`;
  const it = (title: string, run: (store: Store, p: string, h: ContractHarness) => Promise<void>) =>
    test(`${name}: ${title}`, () => run(harness().store, prefix(), harness()));

  it("create makes a key once, and shows the current one to whoever comes second", async (store, p) => {
    const made = await store.create(`${p}a`, "1");
    expect(made).toMatchObject({ ok: true, value: { key: `${p}a`, value: "1" } });
    if (!made.ok) return;
    expect(made.value.createRevision).toBe(made.value.modRevision);
    expect(await store.create(`${p}a`, "2")).toEqual({ ok: false, error: { kind: "alreadyExists", key: `${p}a`, current: made.value } });
    expect(await store.get(`${p}a`)).toEqual(made.value);
  });

  it("get of a missing key is undefined", async (store, p) => {
    expect(await store.get(`${p}none`)).toBeUndefined();
  });

  it("update compares the revision, and keeps the create revision", async (store, p) => {
    const first = await store.put(`${p}a`, "1");
    const second = await store.update(`${p}a`, "2", first.modRevision);
    expect(second).toMatchObject({ ok: true, value: { value: "2", createRevision: first.createRevision } });
    if (!second.ok) return;
    expect(second.value.modRevision).toBeGreaterThan(first.modRevision);
    expect(await store.update(`${p}a`, "3", first.modRevision)).toEqual({
      ok: false,
      error: { kind: "conflict", key: `${p}a`, current: second.value },
    });
    expect(await store.update(`${p}a`, "4")).toMatchObject({ ok: true, value: { value: "4" } });
    expect(await store.update(`${p}b`, "1")).toEqual({ ok: false, error: { kind: "notFound", key: `${p}b` } });
    expect(await store.update(`${p}b`, "1", 1)).toEqual({ ok: false, error: { kind: "notFound", key: `${p}b` } });
  });

  it("delete returns what it removed, compares the revision, and says when there is nothing", async (store, p) => {
    const kv = await store.put(`${p}a`, "1");
    expect(await store.delete(`${p}a`, kv.modRevision - 1)).toEqual({ ok: false, error: { kind: "conflict", key: `${p}a`, current: kv } });
    expect(await store.delete(`${p}a`, kv.modRevision)).toEqual({ ok: true, value: kv });
    expect(await store.delete(`${p}a`)).toEqual({ ok: false, error: { kind: "notFound", key: `${p}a` } });
  });

  it("txn runs one branch, all of it at one revision", async (store, p) => {
    const a = await store.put(`${p}a`, "1");
    const done = await store.txn({
      compares: [
        { key: `${p}a`, target: "modRevision", is: "==", revision: a.modRevision },
        { key: `${p}b`, target: "createRevision", is: "==", revision: 0 },
      ],
      success: [
        { do: "put", key: `${p}a`, value: "2" },
        { do: "put", key: `${p}b`, value: "3" },
        { do: "get", key: `${p}none` },
      ],
    });
    expect(done.succeeded).toBe(true);
    expect(done.results).toEqual([
      { key: `${p}a`, value: "2", modRevision: done.revision, createRevision: a.createRevision },
      { key: `${p}b`, value: "3", modRevision: done.revision, createRevision: done.revision },
      undefined,
    ]);
    const refused = await store.txn({
      compares: [{ key: `${p}a`, target: "modRevision", is: "<", revision: done.revision }],
      success: [{ do: "delete", key: `${p}b` }],
      failure: [{ do: "get", key: `${p}b` }],
    });
    expect(refused).toMatchObject({ succeeded: false, results: [{ key: `${p}b`, value: "3" }] });
    const removed = await store.txn({ compares: [], success: [{ do: "delete", key: `${p}b` }] });
    expect(removed).toMatchObject({ succeeded: true, results: [{ value: "3" }] });
  });

  it("txn compares all keys below a prefix: none of them made, or changed, since a revision", async (store, p) => {
    const { modRevision: before } = await store.put(`${p}a/1`, "1");
    const { modRevision: since } = await store.put(`${p}a/2`, "1");
    await store.put(`${p}b/1`, "a neighbour");
    const unlessMade = (target: "createRevision" | "modRevision", revision: number) =>
      store.txn({ compares: [{ key: `${p}a/`, isPrefix: true, target, is: "<", revision }], success: [] }).then((t) => t.succeeded);
    expect([await unlessMade("createRevision", since + 1), await unlessMade("createRevision", since)]).toEqual([true, false]);
    expect(await unlessMade("createRevision", before + 1)).toBe(false);
    await store.put(`${p}a/1`, "2");
    expect([await unlessMade("createRevision", since + 1), await unlessMade("modRevision", since + 1)]).toEqual([true, false]);
    await store.delete(`${p}a/1`);
    await store.delete(`${p}a/2`);
    expect([await unlessMade("modRevision", 1), await unlessMade("modRevision", 0)]).toEqual([true, false]);
  });

  it("txn takes the create revision of a put that its caller knows", async (store, p) => {
    const { createRevision, modRevision: revision } = await store.put(`${p}a`, "1");
    const done = await store.txn({
      compares: [{ key: `${p}a`, target: "modRevision", is: "==", revision }],
      success: [{ do: "put", key: `${p}a`, value: "2", createRevision }],
    });
    expect(done.results).toEqual([{ key: `${p}a`, value: "2", modRevision: done.revision, createRevision }]);
    expect(await store.get(`${p}a`)).toEqual(done.results[0]);
  });

  it("txn refuses two writes of one key", async (store, p) => {
    const twice = { compares: [], success: ["1", "2"].map((value) => ({ do: "put" as const, key: `${p}a`, value })) };
    await expect(store.txn(twice)).rejects.toThrow(/duplicate key/);
    expect(await store.get(`${p}a`)).toBeUndefined();
  });

  it("list is in key order, only below the prefix, and as of one revision", async (store, p) => {
    for (const key of ["b", "a/1", "a"]) await store.put(p + key, key);
    await store.put(`${p.slice(0, -1)}0`, "a neighbour");
    const listed = await store.list(p);
    expect(listed.items.map(({ key }) => key)).toEqual([`${p}a`, `${p}a/1`, `${p}b`]);
    await store.delete(`${p}a`);
    await store.put(`${p}b`, "changed");
    const before = await store.list(p, { revision: listed.revision });
    expect(before).toEqual(listed);
    expect((await store.list(p)).items.map(({ value }) => value)).toEqual(["a/1", "changed"]);
  });

  it("keys and values may be any text", async (store, p) => {
    const kv = await store.put(`${p}ä b%2f"\\`, `{"x":"…\\n✓"}`);
    expect(await store.get(kv.key)).toEqual(kv);
  });

  it("watch yields from the asked revision on, in order, and only below the prefix", async (store, p) => {
    const first = await store.put(`${p}a`, "1");
    await store.put(`/contract/other`, "x");
    await store.put(`${p}b`, "2");
    await store.delete(`${p}a`);
    const events = await take(store, p, { fromRevision: first.modRevision, count: 3 });
    expect(events.map(brief)).toEqual([`put a=1`, `put b=2`, `delete a`].map((e) => e.replace(/ (.)/, ` ${p}$1`)));
  });

  it("watch shows what comes later, and all keys of a transaction under one revision", async (store, p) => {
    const { revision } = await store.list(p);
    const seen = take(store, p, { fromRevision: revision + 1, count: 3 });
    const done = await store.txn({ compares: [], success: ["a", "b", "c"].map((k) => ({ do: "put", key: p + k, value: k })) });
    const events = await seen;
    expect(new Set(events.map((e) => e.kind === "put" && e.modRevision))).toEqual(new Set([done.revision]));
    expect(events.map((e) => e.kind === "put" && e.value).sort()).toEqual(["a", "b", "c"]);
    expect(events.map((e) => e.kind === "put" && e.more)).toEqual([true, true, undefined]);
  });

  it("watch ends on the signal", async (store, p) => {
    const abort = new AbortController();
    const events = drain(store.watch(p, { fromRevision: 1 + (await store.list(p)).revision, signal: abort.signal }));
    abort.abort();
    expect(await events).toEqual([]);
  });

  it("watch from a forgotten revision says compacted, and ends", async (store, p, { compact }) => {
    const first = await store.put(`${p}a`, "1");
    await store.put(`${p}a`, "2");
    await compact();
    const events = await drain(store.watch(p, { fromRevision: first.modRevision, signal: AbortSignal.timeout(5000) }));
    expect(events.map(({ kind }) => kind)).toEqual(["compacted"]);
  });

  it("watch from a revision that the store has not reached says compacted", async (store, p) => {
    const { revision } = await store.list(p);
    const events = await drain(store.watch(p, { fromRevision: revision + 1000, signal: AbortSignal.timeout(5000) }));
    expect(events).toEqual([{ kind: "compacted", revision }]);
  });

  it("elect lets one lead; the next follows when it resigns, with a larger epoch", async (store, p) => {
    const { signal } = new AbortController();
    const first = await store.elect(p, "one", signal);
    const waiting = store.elect(p, "two", signal);
    expect(await Promise.race([waiting, store.list(p).then(() => "nobody")])).toBe("nobody");
    expect(first.lost.aborted).toBe(false);
    await first.resign();
    expect(first.lost.aborted).toBe(true);
    const second = await waiting;
    expect(second.epoch).toBeGreaterThan(first.epoch);
    await second.resign();
  });

  it("elect rejects with the signal's reason, and leaves no candidate behind", async (store, p) => {
    const first = await store.elect(p, "one", new AbortController().signal);
    const abort = new AbortController();
    const waiting = store.elect(p, "two", abort.signal);
    abort.abort("gave up");
    await expect(waiting).rejects.toBe("gave up");
    const third = store.elect(p, "three", new AbortController().signal);
    await first.resign();
    await (await third).resign();
  });
}

function brief(event: WatchEvent): string {
  if (event.kind === "put") return `put ${event.key}=${event.value}`;
  return event.kind === "delete" ? `delete ${event.key}` : event.kind;
}

/** The first `count` puts and deletes. */
export async function take(store: Store, prefix: string, o: { fromRevision: number; count: number }): Promise<WatchEvent[]> {
  const events: WatchEvent[] = [];
  for await (const event of store.watch(prefix, { fromRevision: o.fromRevision, signal: AbortSignal.timeout(10_000) })) {
    if (event.kind !== "progress") events.push(event);
    if (events.length >= o.count) break;
  }
  return events;
}

async function drain(events: AsyncIterable<WatchEvent>): Promise<WatchEvent[]> {
  const all: WatchEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}
