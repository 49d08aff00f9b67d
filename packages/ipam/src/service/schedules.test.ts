/**
 * No schedule of several clients, each asked for several things at once, with stale memories and stale views of pools and configuration, crashes before and after
 * any operation on the store, answers lost by who lives on (the write done at once or at any later time), pools, reservations and nodes that come and go, gives an address twice, loses one, or leaves
 * records that contradict each other. In the end everything can be given back, and then nothing is left.
 */
import { StoreUnavailable } from "@calico/datastore";
import { makeFakeStore } from "@calico/datastore/testing";
import type { FakeStore } from "@calico/datastore/testing";
import fc from "fast-check";
import process from "node:process";
import { expect, test } from "vitest";
import { affinityKey, blockKey, keyOf, parseCidr } from "@calico/model";
import { renderBlock } from "../domain/block-json.ts";
import { newBlock } from "../domain/block.ts";
import { disagreements, putPool } from "../testing.ts";
import { makeIpam, type IpamLibrary } from "./ipam.ts";

/** More by hand: `SCHEDULES=50000 vitest run packages/ipam/src/service/schedules.test.ts`. */
const RUNS = Number(process.env["SCHEDULES"] ?? 150);

type Action =
  | { readonly do: "assign"; readonly handle: string }
  | { readonly do: "assignIp"; readonly handle: string; readonly last: number }
  | { readonly do: "release"; readonly handle: string }
  | { readonly do: "releaseIp"; readonly last: number }
  | { readonly do: "leave" }
  | { readonly do: "nodeDies"; readonly node: string }
  | { readonly do: "poolGoes" }
  | { readonly do: "pool"; readonly spec: object }
  | { readonly do: "reserve"; readonly cidrs: readonly string[] }
  | { readonly do: "configure"; readonly strict: boolean; readonly cooldownSec: number }
  | { readonly do: "limited" }
  | { readonly do: "claim"; readonly cidr: string }
  | { readonly do: "halfClaim"; readonly node: string; readonly cidr: string; readonly block: boolean }
  | { readonly do: "collect" };

const POOL = "10.0.0.0/29";
const LIMITED = "one";
const HANDLES = ["h1", "h2", "h3", "h4", "h5", "h6"];
const handles = fc.constantFrom(...HANDLES);
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("assign" as const), handle: handles }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("assignIp" as const), handle: handles, last: fc.integer({ min: 0, max: 7 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("release" as const), handle: handles }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("releaseIp" as const), last: fc.integer({ min: 0, max: 7 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("leave" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("nodeDies" as const), node: fc.constantFrom("n1", "n2") }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("poolGoes" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("pool" as const),
      spec: fc.constantFrom({ disabled: true }, {}, { nodeSelector: "zone == 'b'" }, { allowedUses: ["Tunnel"] }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("reserve" as const), cidrs: fc.constantFrom([], ["10.0.0.0/30"], ["10.0.0.5"], [POOL]) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("configure" as const), strict: fc.boolean(), cooldownSec: fc.constantFrom(0, 60, 600) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("limited" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("claim" as const), cidr: fc.constantFrom(POOL, "10.0.0.4/30") }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("halfClaim" as const),
      node: fc.constantFrom("n1", "n2"),
      cidr: fc.constantFrom("10.0.0.0/30", "10.0.0.4/30"),
      block: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("collect" as const) }) },
);

/** What a process is asked for at once: its calls go out in groups. */
const burst = fc.array(action, { minLength: 1, maxLength: 5 });

/** A process: the node it is on, what it does, burst after burst, and after how many operations on the store it dies (then another takes its place). */
const processes = fc.array(
  fc.record({
    node: fc.constantFrom("n1", "n2"),
    bursts: fc.array(burst, { minLength: 1, maxLength: 4 }),
    diesAfter: fc.option(fc.integer({ min: 0, max: 25 }), { nil: Infinity }),
    /** The operation that it dies in is done, and nobody hears of it. */
    answerLost: fc.boolean(),
    /** It lives on without the answers to these of its operations on the store: done at once, or at any later time. */
    unanswered: fc.uniqueArray(fc.integer({ min: 0, max: 25 }), { maxLength: 3 }),
    isLate: fc.boolean(),
    /** It sees pools, configuration and claims as they were when it began. */
    isBehind: fc.boolean(),
    /** The size of the pool's blocks as it knows it, where the pool is made anew. */
    blockSize: fc.integer({ min: 29, max: 32 }),
  }),
  { minLength: 1, maxLength: 4 },
);

type Process = {
  node: string;
  bursts: readonly (readonly Action[])[];
  diesAfter: number;
  answerLost: boolean;
  unanswered: readonly number[];
  isLate: boolean;
  isBehind: boolean;
  blockSize: number;
};

class Death extends Error {}

/** The store as it is now, for ever. */
function frozen(store: FakeStore): Pick<FakeStore, "get" | "list"> {
  const seen = new Map(store.dump());
  return {
    get: async (key) => seen.get(key),
    list: async (prefix) => ({ items: [...seen.values()].filter((kv) => kv.key.startsWith(prefix)), revision: 0 }),
  };
}

/** The store, but for the block size of the pool. */
function withSize(store: FakeStore, blockSize: number): Pick<FakeStore, "get" | "list"> {
  return {
    get: store.get,
    async list(prefix) {
      const { items, revision } = await store.list(prefix);
      const value = JSON.stringify({ metadata: { name: "p" }, spec: { cidr: POOL, blockSize } });
      return { items: items.map((kv) => (kv.key === keyOf({ kind: "IPPool", name: "p" }) ? { ...kv, value } : kv)), revision };
    },
  };
}

/** A store whose every operation waits for the scheduler, whose answers can be lost, and which ends its process after so many operations. */
function schedule(
  store: FakeStore,
  s: fc.Scheduler,
  faults: Pick<Process, "diesAfter" | "answerLost" | "unanswered" | "isLate">,
  late: Late,
) {
  let [left, at] = [faults.diesAfter, 0];
  const step = async <T>(action: () => Promise<T>): Promise<T> => {
    const dies = left-- <= 0;
    const isLost = faults.unanswered.includes(at++);
    if (dies && !faults.answerLost) throw new Death();
    await s.schedule(Promise.resolve());
    if (isLost && faults.isLate) late.push(s.schedule(Promise.resolve()).then(action).then(countWritten));
    else {
      const answer = await action();
      if (dies) throw new Death();
      if (!isLost) return answer;
    }
    unanswered++;
    throw dies ? new Death() : new StoreUnavailable("no answer", { outcome: "unknown" });
  };
  return {
    get: (key: string) => step(() => store.get(key)),
    list: (prefix: string) => step(() => store.list(prefix)),
    txn: (txn: Parameters<FakeStore["txn"]>[0]) => step(() => store.txn(txn)),
  };
}

function countWritten(answer: unknown): void {
  if ((answer as { readonly succeeded?: boolean } | undefined)?.succeeded === true) lateWrites++;
}

const NO_FAULT = { diesAfter: Infinity, answerLost: false, unanswered: [], isLate: false };

/** What the store does after it was given up. */
type Late = Promise<unknown>[];

type Journal = { readonly owned: { ip: string; handle: string }[]; readonly released: Set<string> };

/** `isRemade`: the pool is made anew with other block sizes, which processes hear of at different times. Then nobody makes blocks as Calico does, which looks for none of other sizes. */
type World = { readonly store: FakeStore; readonly blockSize: number; readonly isRemade: boolean };

async function perform(ipam: IpamLibrary, o: { node: string } & World, a: Action, journal: Journal): Promise<void> {
  const { node, store, blockSize, isRemade } = o;
  if (a.do === "assign") {
    const outcome = await ipam.autoAssign({ node, num4: 1, num6: 0, handle: a.handle });
    if (outcome.ok) journal.owned.push(...outcome.value.v4.ips.map((i) => ({ ip: i.address.split("/")[0]!, handle: a.handle })));
  }
  if (a.do === "assignIp") {
    const outcome = await ipam.assignIp({ node, ip: `10.0.0.${a.last}`, handle: a.handle });
    if (outcome.ok) journal.owned.push({ ip: `10.0.0.${a.last}`, handle: a.handle });
  }
  if (a.do === "release") {
    journal.released.add(a.handle);
    await ipam.releaseByHandle(a.handle);
  }
  if (a.do === "releaseIp") {
    journal.released.add(`10.0.0.${a.last}`);
    await ipam.releaseIps([{ ip: `10.0.0.${a.last}` }]);
  }
  if (a.do === "leave") await ipam.releaseHostAffinities(node);
  if (a.do === "nodeDies") await ipam.removeHost(a.node);
  if (a.do === "poolGoes") await ipam.releasePoolAffinities(POOL);
  if (a.do === "pool") await putPool(store, "p", { cidr: POOL, blockSize, ...a.spec });
  if (a.do === "reserve") await store.put(RESERVATION, JSON.stringify({ spec: { reservedCIDRs: a.cidrs } }));
  if (a.do === "configure") await ipam.setConfig({ strictAffinity: a.strict, cooldownSec: a.cooldownSec });
  if (a.do === "limited") await ipam.autoAssign({ node, num4: 1, num6: 0, handle: LIMITED, maxPerHandle: 1 });
  if (a.do === "claim") await ipam.claimAffinity(a.cidr, node);
  if (a.do === "halfClaim" && blockSize === 30 && !isRemade) await halfClaim(store, a);
  if (a.do === "collect") await ipam.collectCold();
}

/** What a claim in two phases leaves that was cut off after the first, or within the second. */
async function halfClaim(store: Pick<FakeStore, "txn">, o: { node: string; cidr: string; block: boolean }): Promise<void> {
  const cidr = parseCidr(o.cidr);
  if (!cidr.ok) throw new Error(cidr.error);
  const put = (key: string, value: string) =>
    store.txn({
      compares: [{ key, target: "modRevision", is: "==", revision: 0 }],
      success: [{ do: "put", key, value }],
    });
  const marked = await put(affinityKey(o.node, cidr.value), '{"state":"pending","deleted":false}');
  if (!marked.succeeded || !o.block) return;
  await put(blockKey(cidr.value), renderBlock(newBlock(cidr.value, { affinity: `host:${o.node}`, nowMs: 1_785_578_400_000 })));
}

const RESERVATION = "/calico/resources/v3/projectcalico.org/ipreservations/r";

/** Each look at the clock is 40 s later, so that idle blocks of other hosts are old enough to be taken over. */
function makeClock() {
  let ms = 1_785_578_400_000;
  return { now: () => (ms += 40_000) };
}

async function live(world: World & { readonly late: Late }, s: fc.Scheduler, p: Process, journal: Journal) {
  const { store, late } = world;
  const clock = makeClock();
  const onGroup = (calls: number) => void (groups += calls > 1 ? 1 : 0);
  const reader = world.isRemade ? withSize(store, p.blockSize) : p.isBehind ? frozen(store) : undefined;
  let ipam = makeIpam({ store: schedule(store, s, p, late), clock, onGroup, ...(reader === undefined ? {} : { reader }) });
  for (const burst of p.bursts) {
    const done = await Promise.allSettled(burst.map((a) => perform(ipam, { node: p.node, ...world }, a, journal)));
    const failed = done.flatMap((d) => (d.status === "rejected" ? [d.reason as unknown] : []));
    for (const e of failed) if (!(e instanceof Death || e instanceof StoreUnavailable)) throw e;
    if (failed.some((e) => e instanceof Death)) {
      ipam = makeIpam({ store: schedule(store, s, NO_FAULT, late), clock });
    }
  }
}

/** Whatever happened before: with all handles and claims released and all cooled down, nothing of IPAM is left but its configuration. */
async function leavesNothing(store: FakeStore): Promise<void> {
  const ipam = makeIpam({ store, clock: { now: () => 1_985_578_400_000 } });
  for (const handle of [...HANDLES, LIMITED]) await ipam.releaseByHandle(handle);
  expect((await ipam.releasePoolAffinities(POOL)).ok).toBe(true);
  expect((await ipam.collectCold()).ok).toBe(true);
  const late = makeIpam({ store, clock: { now: () => 1_985_578_400_000 + 1_300_000 } });
  expect((await late.collectCold()).ok).toBe(true);
  expect([...store.dump().keys()].filter((k) => k.startsWith("/calico/ipam/v2/") && !k.endsWith("/config"))).toEqual([]);
}

let explored = 0;
let groups = 0;
let unanswered = 0;
let lateWrites = 0;

test(`ipam: ${RUNS} schedules of up to four processes keep every address single and every record true`, { timeout: 600_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      processes,
      fc.boolean(),
      fc.constantFrom(29, 30),
      fc.boolean(),
      async (s, all, strict, blockSize, isRemade) => {
        const store = makeFakeStore();
        await putPool(store, "p", { cidr: POOL, blockSize });
        await store.put(
          "/calico/ipam/v2/config",
          JSON.stringify(strict ? { strict_affinity: true, auto_allocate_blocks: true } : { auto_allocate_blocks: true }),
        );
        const journal: Journal = { owned: [], released: new Set() };
        const late: Late = [];
        await s.waitFor(Promise.all(all.map((p) => live({ store, blockSize, isRemade, late }, s, p, journal))));
        await s.waitFor(Promise.all(late));

        expect(disagreements(store.dump())).toEqual([]);
        const reader = makeIpam({ store });
        const kept = journal.owned.filter(({ ip, handle }) => !journal.released.has(ip) && !journal.released.has(handle));
        expect(new Set(kept.map((k) => k.ip)).size).toBe(kept.length);
        for (const { ip, handle } of kept) {
          const owner = await reader.ownerOf(ip);
          expect(owner.ok ? owner.value.handle : owner.error.message).toBe(handle);
        }
        const limited = await reader.ipsByHandle(LIMITED);
        expect(limited.ok ? limited.value.length : 0).toBeLessThanOrEqual(1);
        await leavesNothing(store);
        explored++;
      },
    ),
    { numRuns: RUNS },
  );
  console.log(
    `${explored} schedules explored, with ${groups} transactions of several calls and ${unanswered} answers lost by who lived on, ${lateWrites} writes done later`,
  );
  expect(explored).toBeGreaterThanOrEqual(RUNS);
  expect(groups).toBeGreaterThan(0);
  expect(unanswered).toBeGreaterThan(0);
  expect(lateWrites).toBeGreaterThan(0);
});
