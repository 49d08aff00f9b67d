/** One pod's containers under many schedules: old ones' calls, late ones, put aside ones and GC among the newest's. */
import { StoreUnavailable } from "@calico/datastore";
import { addFakeNetns } from "@calico/linux/testing";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { aNetconf, anEnvironment, endpointsOf, leftIn, makeFakeWorld } from "../testing.ts";
import type { FakeWorld } from "../testing.ts";
import { makeAgent } from "./agent.ts";

const SCHEDULES = Number(process.env["SCHEDULES"] ?? 60);
const STEPS = 60;

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

/** Source: mulberry32. */
function makeRandom(seed: number) {
  let state = seed;
  return (below: number): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Every operation on the datastore waits, before and after, until it is let go, or fails there. */
function holdAll(world: FakeWorld, isAway: () => boolean) {
  const waiting: (() => void)[] = [];
  const turn = async () => {
    await new Promise<void>((resolve) => waiting.push(resolve));
    if (isAway()) throw new StoreUnavailable("etcd is away", { outcome: "unknown" });
  };
  const held = <T extends object>(target: T): T =>
    new Proxy(target, {
      get(object, key) {
        const value: unknown = Reflect.get(object, key, object);
        if (typeof value !== "function") return value;
        return async (...args: unknown[]) => {
          await turn();
          const answer: unknown = await (value as (...a: unknown[]) => unknown).apply(object, args);
          await turn();
          return answer;
        };
      },
    });
  const { resources, ipam, ...rest } = world.datastoreOf(undefined);
  const datastore = { ...rest, resources: held(resources), ipam: held(ipam) };
  world.datastoreOf = () => datastore;
  return { waiting, letGo: (i: number) => waiting.splice(i, 1)[0]?.() };
}

async function settleDown(): Promise<void> {
  for (let i = 0; i < 8; i++) await new Promise(setImmediate);
}

const netnsOf = (container: string) => `/run/netns/pod${container.slice(1)}`;
const handleOf = (container: unknown) => `/calico/ipam/v2/handle/k8s-pod-network.${String(container)}`;

/** What an endpoint or a device of the pod has is somebody's: that container's. */
function checkAddresses(world: FakeWorld, containers: readonly string[], when: string): void {
  const held = new Set(world.store.dump().keys());
  const owners = endpointsOf(world).map((e) => e.spec["containerID"]);
  const wired = containers.filter((c) => (world.fakeKernel.namespaces.get(netnsOf(c))?.addresses ?? []).length > 0);
  for (const owner of [...owners, ...wired])
    expect(held.has(handleOf(owner)), `${when}: ${String(owner)} has an address that is free`).toBe(true);
}

async function play(seed: number): Promise<"alive" | "other"> {
  const random = makeRandom(seed);
  const world = await makeFakeWorld();
  const containers = ["c1", "c2", "c3"];
  for (const c of containers.slice(1)) addFakeNetns(world.fakeKernel, netnsOf(c));
  let isDraining = false;
  const { waiting, letGo } = holdAll(world, () => !isDraining && random(40) === 0);
  const agent = makeAgent(world, { settings: world.settings, log: world.log, deadlinesMs: { ADD: 4000, DEL: 6000, GC: 4000 } });
  const busy = new Set<string>();
  const last = new Map<string, string>();
  const history: string[] = [];
  let open = 0;
  const follow = (work: Promise<unknown>) => {
    open++;
    void work.finally(() => open--);
  };
  let newest = 0;
  const call = (command: string, container: string, conf: Record<string, unknown> = {}) => {
    busy.add(container);
    last.set(container, `${command} …`);
    const env = anEnvironment({ CNI_COMMAND: command, CNI_CONTAINERID: container, CNI_NETNS: random(3) ? netnsOf(container) : "" });
    const whole = command === "ADD" ? { ...env, CNI_NETNS: netnsOf(container) } : env;
    history.push(`${command} ${container}`);
    const answer = agent.answer({ fields: new Map(Object.entries({ PLUGIN: "calico", STDIN: aNetconf(conf), ...whole })) });
    follow(
      answer.then(({ exit }) => {
        history.push(`${command} ${container} → ${exit}`);
        last.set(container, `${command} ${exit}`);
        busy.delete(container);
      }),
    );
  };
  const start = () => {
    const container = containers[newest]!;
    const free = containers.slice(0, newest + 1).filter((c) => !busy.has(c));
    switch (random(8)) {
      case 0:
        newest = Math.min(newest + 1, containers.length - 1);
        return;
      case 1:
        // As the specification asks of runtimes, no ADD and no DEL is unanswered.
        if (busy.size === 0) call("GC", "gc", gcConf(containers.filter((c) => last.get(c) === "ADD 0")));
        return;
      case 2:
        follow(agent.settle());
        return;
      case 3:
      case 4:
        if (free.length > 0 && !busy.has("gc")) call("DEL", free[random(free.length)]!);
        return;
      default:
        if (free.includes(container) && !busy.has("gc")) call("ADD", container);
    }
  };
  const drain = async () => {
    isDraining = true;
    for (let i = 0; waiting.length > 0 || open > 0; i++) {
      if (i > 5000) throw new Error(`seed ${seed}: it does not come to an end: ${history.join(", ")}`);
      letGo(0);
      if (waiting.length === 0) await vi.advanceTimersByTimeAsync(500);
      await settleDown();
      checkAddresses(world, containers, `seed ${seed}, ${history.join(", ")}`);
    }
  };

  for (let step = 0; step < STEPS; step++) {
    const choice = random(10);
    if (choice < 3) start();
    else if (choice === 3) await vi.advanceTimersByTimeAsync(random(4000));
    // The newest is often the fastest: old ones are held up.
    else if (waiting.length > 0) letGo(random(3) ? waiting.length - 1 : random(waiting.length));
    await settleDown();
    checkAddresses(world, containers, `seed ${seed}, ${history.join(", ")}`);
  }
  await drain();
  const alive = containers[newest]!;
  const isAlive = last.get(alive) === "ADD 0";
  if (isAlive) {
    const what = `seed ${seed}: ${history.join(", ")}`;
    expect(
      endpointsOf(world).map((e) => e.spec["containerID"]),
      what,
    ).toEqual([alive]);
    expect(
      world.fakeKernel.namespaces.get(netnsOf(alive))?.links.map((l) => l.name),
      what,
    ).toContain("eth0");
  }
  for (const c of containers) {
    call("DEL", c);
    await drain();
  }
  for (let i = 0; i < 3; i++) {
    follow(agent.settle());
    await drain();
  }
  expect(leftIn(world), `seed ${seed}: ${history.join(", ")}`).toEqual([]);
  return isAlive ? "alive" : "other";
}

function gcConf(valid: readonly string[]): Record<string, unknown> {
  return { cniVersion: "1.1.0", "cni.dev/valid-attachments": valid.map((containerID) => ({ containerID, ifname: "eth0" })) };
}

test(`a pod's containers: ${SCHEDULES} schedules keep what the newest has, and leave nothing`, { timeout: 600_000 }, async () => {
  const ends = { alive: 0, other: 0 };
  for (let seed = 1; seed <= SCHEDULES; seed++) ends[await play(seed)]++;
  expect(ends.alive).toBeGreaterThan(SCHEDULES / 20);
});
