/**
 * No schedule of two nodes, a collector and ordinary pods, with launchers of one machine that start, migrate, fail and go, calls that are
 * repeated, late or killed before and after any operation on the store, doubles the machine's address, gives it to anybody else, or releases
 * it while a launcher that runs has it.
 */
import { resourceClient } from "@calico/datastore";
import { makeFakeStore } from "@calico/datastore/testing";
import type { FakeStore } from "@calico/datastore/testing";
import { makeIpam } from "@calico/ipam";
import type { IpamLibrary } from "@calico/ipam";
import { disagreements, putPool } from "@calico/ipam/testing";
import fc from "fast-check";
import process from "node:process";
import { expect, test } from "vitest";
import { CniFault } from "../domain/fault.ts";
import { parseCall } from "../domain/env.ts";
import { parseNetconf } from "../domain/netconf.ts";
import { anEnvironment, aNetconf } from "../testing.ts";
import { handlesOf } from "./allocations.ts";
import { ipamAdd, ipamDel } from "./ipam-plugin.ts";
import type { IpamPorts } from "./ipam-plugin.ts";

/** More by hand: `SCHEDULES=20000 vitest run packages/cni/src/service/machine-schedules.test.ts`. */
const RUNS = Number(process.env["SCHEDULES"] ?? 150);

const HANDLE = "k8s-pod-network.vmi.d.vm1";
const conf = parseNetconf(aNetconf());

/** Of the machine's first life: a source and two targets, one after the other; of its second: a source. */
const LAUNCHERS = {
  source: { life: "1", migration: undefined },
  target: { life: "1", migration: "M1" },
  second: { life: "1", migration: "M2" },
  reborn: { life: "2", migration: undefined },
} as const;
type Name = keyof typeof LAUNCHERS;
const names = fc.constantFrom<Name[]>("source", "source", "target", "target", "target", "second", "reborn");

type Action = { readonly do: "add" | "del"; readonly who: Name } | { readonly do: "ordinary" | "look" | "release" | "deleteMachine" };
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom("add" as const, "del" as const), who: names }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("ordinary" as const, "look" as const, "release" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("deleteMachine" as const) }) },
);
const processes = fc.array(
  fc.record({
    node: fc.constantFrom("n1", "n2"),
    actions: fc.array(action, { minLength: 1, maxLength: 7 }),
    diesAfter: fc.option(fc.integer({ min: 0, max: 30 }), { nil: Infinity }),
    answerLost: fc.boolean(),
  }),
  { minLength: 1, maxLength: 4 },
);
type Process = { node: string; actions: readonly Action[]; diesAfter: number; answerLost: boolean };

class Death extends Error {}

function schedule(store: FakeStore, s: fc.Scheduler, { diesAfter, answerLost }: Pick<Process, "diesAfter" | "answerLost">) {
  let left = diesAfter;
  const step = async <T>(operation: () => Promise<T>): Promise<T> => {
    const dies = left-- <= 0;
    if (dies && !answerLost) throw new Death();
    await s.schedule(Promise.resolve());
    const answer = await operation();
    if (dies) throw new Death();
    return answer;
  };
  return {
    get: (key: string) => step(() => store.get(key)),
    list: (prefix: string) => step(() => store.list(prefix)),
    txn: (txn: Parameters<FakeStore["txn"]>[0]) => step(() => store.txn(txn)),
  };
}

/** What is so, whatever the records say. */
type Truth = {
  readonly using: Map<Name, string>;
  readonly begun: Set<Name>;
  readonly left: Set<Name>;
  isDeleted: boolean;
  wasReleasable: boolean;
  readonly given: Set<string>;
  readonly others: Set<string>;
};
type Seen = { readonly ip: string; readonly sequence: bigint | undefined };

type World = { readonly store: FakeStore; readonly truth: Truth; readonly node: string; seen: Seen | undefined; ordinary: number };

function callOf(command: "ADD" | "DEL", pod: string) {
  return parseCall(
    anEnvironment({ CNI_COMMAND: command, CNI_CONTAINERID: `c-${pod}`, CNI_ARGS: `K8S_POD_NAMESPACE=d;K8S_POD_NAME=${pod}` }),
  );
}

function portsOf(ipam: IpamLibrary, { store, truth }: World, who: Name | undefined): IpamPorts {
  const launcher = who && LAUNCHERS[who];
  return {
    ipam,
    resources: resourceClient(store),
    clock: { now: Date.now },
    namespaceLabels: async () => ({}),
    mayBeMachine: who !== undefined,
    async machine() {
      // The API server knows the machine's present life, and no pods that are over.
      if (who !== undefined && isOver(truth, who)) throw new CniFault("tryAgain", "not the machine's any more");
      return launcher && { namespace: "d", name: "vm1", vmiUid: launcher.life, vmUid: "V", migrationUid: launcher.migration };
    },
    isEnding: async () => truth.isDeleted,
    handlesOf: (owner) => handlesOf(store, owner),
  };
}

async function perform(ipam: IpamLibrary, w: World, a: Action): Promise<void> {
  const { truth } = w;
  if (a.do === "add") await addLauncher(ipam, w, a.who);
  if (a.do === "del") {
    truth.using.delete(a.who);
    truth.begun.add(a.who); // a container that was deleted is not added any more
    truth.left.add(a.who);
    await ipamDel(portsOf(ipam, w, a.who), { conf, call: callOf("DEL", `virt-launcher-vm1-${a.who}`) });
  }
  if (a.do === "ordinary") {
    const call = callOf("ADD", `web-${w.node}-${w.ordinary++}`);
    const { ips } = await ipamAdd(portsOf(ipam, w, undefined), { conf, call, node: w.node });
    for (const { address } of ips) truth.others.add(address.split("/")[0] ?? "");
  }
  if (a.do === "deleteMachine") truth.wasReleasable = truth.isDeleted = true;
  if (a.do === "look") w.seen = await lookFor(ipam, w);
  if (a.do === "release" && w.seen !== undefined) {
    const { ip, sequence } = w.seen;
    w.seen = undefined;
    await ipam.releaseIps([{ ip, handle: HANDLE, ...(sequence === undefined ? {} : { sequence }) }]);
  }
}

/** The collector's evidence: the machine is gone, and nobody that runs has its address. */
async function lookFor(ipam: IpamLibrary, { truth }: World): Promise<Seen | undefined> {
  const held = await ipam.ipsByHandle(HANDLE);
  const ip = held.ok ? (held.value[0]?.split("/")[0] ?? "") : "";
  const owner = ip === "" ? undefined : await ipam.ownerOf(ip);
  const isUnused = truth.isDeleted && truth.using.size === 0;
  return owner?.ok === true && isUnused ? { ip, sequence: owner.value.sequence } : undefined;
}

async function addLauncher(ipam: IpamLibrary, w: World, who: Name): Promise<void> {
  const { truth } = w;
  if (truth.begun.has(who)) return;
  truth.begun.add(who);
  if (who === "second") truth.using.delete("target");
  if (who === "reborn") {
    truth.using.clear();
    truth.isDeleted = false;
  }
  const { ips } = await ipamAdd(portsOf(ipam, w, who), { conf, call: callOf("ADD", `virt-launcher-vm1-${who}`), node: w.node });
  expect(ips).toHaveLength(1);
  const ip = ips[0]?.address.split("/")[0] ?? "";
  truth.given.add(ip);
  if (!isOver(truth, who)) truth.using.set(who, ip);
}

/** KubeVirt starts one after the other: what was there before does not run any more. */
function isOver({ left, begun }: Truth, who: Name): boolean {
  return left.has(who) || (who !== "reborn" && begun.has("reborn")) || (who === "target" && begun.has("second"));
}

let explored = 0;
let migrations = 0;

async function live(store: FakeStore, s: fc.Scheduler, truth: Truth, p: Process): Promise<void> {
  let ipam = makeIpam({ store: schedule(store, s, p) });
  const w: World = { store, truth, node: p.node, seen: undefined, ordinary: 0 };
  for (const a of p.actions) {
    try {
      await perform(ipam, w, a);
    } catch (e) {
      if (e instanceof CniFault) continue; // refused: nothing is used
      if (!(e instanceof Death)) throw e;
      ipam = makeIpam({ store: schedule(store, s, { diesAfter: Infinity, answerLost: false }) });
    }
  }
}

test(`machines: ${RUNS} schedules keep the machine's address single, its own and its own alone`, { timeout: 600_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), processes, fc.boolean(), async (s, all, isRunning) => {
      const store = makeFakeStore();
      await resourceClient(store).ensureInitialized();
      await putPool(store, "p", { cidr: "10.0.0.0/29", blockSize: 30 });
      const truth: Truth = {
        using: new Map(),
        begun: new Set(),
        left: new Set(),
        isDeleted: false,
        wasReleasable: false,
        given: new Set(),
        others: new Set(),
      };
      const first: World = { store, truth, node: "n1", seen: undefined, ordinary: 100 };
      if (isRunning) await addLauncher(makeIpam({ store }), first, "source");
      await s.waitFor(Promise.all(all.map((p) => live(store, s, truth, p))));

      expect(disagreements(store.dump())).toEqual([]);
      const reader = makeIpam({ store });
      const held = await reader.ipsByHandle(HANDLE);
      const ips = held.ok ? held.value.map((a) => a.split("/")[0]) : [];
      expect(ips.length).toBeLessThanOrEqual(1);
      const owner = await reader.ownerOf(ips[0] ?? "10.0.0.0");
      const owners = owner.ok ? [owner.value.attrs["pod"], owner.value.alternate["pod"]] : [];
      for (const [who, ip] of truth.using) {
        expect(`${who} ${ip}`).toBe(`${who} ${ips[0]}`);
        expect(owners).toContain(`virt-launcher-vm1-${who}`);
      }
      if (!truth.wasReleasable) {
        expect(truth.given.size).toBeLessThanOrEqual(1);
        expect([...truth.given].filter((ip) => truth.others.has(ip) || !ips.includes(ip))).toEqual([]);
      }
      explored++;
      if (truth.left.has("source") && (truth.using.has("target") || truth.using.has("second"))) migrations++;
    }),
    { numRuns: RUNS },
  );
  console.log(`${explored} schedules explored, ${migrations} of them ended with a target that had taken over`);
  expect(explored).toBeGreaterThanOrEqual(RUNS);
});
