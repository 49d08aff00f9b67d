/**
 * No schedule of several clients, with stale memories and crashes between any two operations on the store, gives an
 * address twice, loses one, or leaves records that contradict each other.
 */
import { makeFakeStore } from "@calico/datastore/testing";
import type { FakeStore } from "@calico/datastore/testing";
import fc from "fast-check";
import process from "node:process";
import { expect, test } from "vitest";
import type { Ipam } from "../ports.ts";
import { disagreements, putPool } from "../testing.ts";
import { makeIpam } from "./ipam.ts";

/** More by hand: `SCHEDULES=50000 vitest run packages/ipam/src/service/schedules.test.ts`. */
const RUNS = Number(process.env["SCHEDULES"] ?? 400);

type Action =
  | { readonly do: "assign"; readonly handle: string }
  | { readonly do: "assignIp"; readonly handle: string; readonly last: number }
  | { readonly do: "release"; readonly handle: string }
  | { readonly do: "releaseIp"; readonly last: number }
  | { readonly do: "leave" };

const handles = fc.constantFrom("h1", "h2", "h3", "h4");
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("assign" as const), handle: handles }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("assignIp" as const), handle: handles, last: fc.integer({ min: 0, max: 7 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("release" as const), handle: handles }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("releaseIp" as const), last: fc.integer({ min: 0, max: 7 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("leave" as const) }) },
);

/** A process: the node it is on, what it does, and after how many operations on the store it dies (then another takes its place). */
const processes = fc.array(
  fc.record({
    node: fc.constantFrom("n1", "n2"),
    actions: fc.array(action, { minLength: 1, maxLength: 5 }),
    diesAfter: fc.option(fc.integer({ min: 0, max: 25 }), { nil: Infinity }),
  }),
  { minLength: 1, maxLength: 4 },
);

class Death extends Error {}

/** A store whose every operation waits for the scheduler, and which ends its process after so many of them. */
function schedule(store: FakeStore, s: fc.Scheduler, diesAfter: number) {
  let left = diesAfter;
  const step = async <T>(action: () => Promise<T>): Promise<T> => {
    if (left-- <= 0) throw new Death();
    await s.schedule(Promise.resolve());
    return await action();
  };
  return {
    get: (key: string) => step(() => store.get(key)),
    list: (prefix: string) => step(() => store.list(prefix)),
    txn: (txn: Parameters<FakeStore["txn"]>[0]) => step(() => store.txn(txn)),
  };
}

type Journal = { readonly owned: { ip: string; handle: string }[]; readonly released: Set<string> };

async function perform(ipam: Ipam, node: string, a: Action, journal: Journal): Promise<void> {
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
}

/** Each look at the clock is 40 s later, so that idle blocks of other hosts are old enough to be taken over. */
function makeClock() {
  let ms = 1_785_578_400_000;
  return { now: () => (ms += 40_000) };
}

async function live(
  store: FakeStore,
  s: fc.Scheduler,
  p: { node: string; actions: readonly Action[]; diesAfter: number },
  journal: Journal,
) {
  const clock = makeClock();
  let ipam = makeIpam({ store: schedule(store, s, p.diesAfter), clock });
  for (const a of p.actions) {
    try {
      await perform(ipam, p.node, a, journal);
    } catch (e) {
      if (!(e instanceof Death)) throw e;
      ipam = makeIpam({ store: schedule(store, s, Infinity), clock });
    }
  }
}

let explored = 0;

test(`ipam: ${RUNS} schedules of up to four processes keep every address single and every record true`, { timeout: 600_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), processes, fc.boolean(), async (s, all, strict) => {
      const store = makeFakeStore();
      await putPool(store, "p", { cidr: "10.0.0.0/29", blockSize: 30 });
      await store.put(
        "/calico/ipam/v2/config",
        JSON.stringify(strict ? { strict_affinity: true, auto_allocate_blocks: true } : { auto_allocate_blocks: true }),
      );
      const journal: Journal = { owned: [], released: new Set() };
      await s.waitFor(Promise.all(all.map((p) => live(store, s, p, journal))));

      expect(disagreements(store.dump())).toEqual([]);
      const reader = makeIpam({ store });
      const kept = journal.owned.filter(({ ip, handle }) => !journal.released.has(ip) && !journal.released.has(handle));
      expect(new Set(kept.map((k) => k.ip)).size).toBe(kept.length);
      for (const { ip, handle } of kept) {
        const owner = await reader.ownerOf(ip);
        expect(owner.ok ? owner.value.handle : owner.error.message).toBe(handle);
      }
      explored++;
    }),
    { numRuns: RUNS },
  );
  console.log(`${explored} schedules explored`);
  expect(explored).toBeGreaterThanOrEqual(RUNS);
});
