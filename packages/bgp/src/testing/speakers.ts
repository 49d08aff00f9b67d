/** Whole speakers in one process, on a fake network, kernel and clock. */
import { recordingLogger } from "@calico/daemon/testing";
import { affinityKey, keyOf, parseKey } from "@calico/model";
import type { ObjectKind } from "@calico/model";
import { derivePlan } from "../domain/config/plan.ts";
import { makeWorld } from "../domain/config/world.ts";
import { deriveStatus } from "../domain/status.ts";
import { Speaker } from "../service/speaker.ts";
import { makeFakeClock } from "./fake-clock.ts";
import type { FakeClock } from "./fake-clock.ts";
import { makeFakeRouteKernel } from "./fake-kernel.ts";
import type { FakeRouteKernel } from "./fake-kernel.ts";
import { makeFakeNetwork } from "./fake-network.ts";
import type { FakeNetwork } from "./fake-network.ts";

export type TestObject = { readonly kind: ObjectKind; readonly metadata: { readonly name: string } };

export interface TestNode {
  readonly kernel: FakeRouteKernel;
  readonly log: ReturnType<typeof recordingLogger>;
  /** A new process on the node: its kernel is as it was left. */
  boot(): Promise<void>;
  /** `kill -9`. */
  kill(): void;
  status(): ReturnType<typeof deriveStatus>;
  history(address: string): readonly { what: string }[];
  /** Kernel routes as text, in order. */
  routes(): readonly string[];
}

export interface TestCluster {
  readonly clock: FakeClock;
  readonly network: FakeNetwork;
  node(name: string, address: string): TestNode;
  /** Write objects, and own blocks as `node block`; every running node hears of it. */
  write(...objects: readonly TestObject[]): void;
  affinity(node: string, block: string, state?: "confirmed" | "pending"): void;
  release(node: string, block: string): void;
}

export function makeTestCluster(): TestCluster {
  const clock = makeFakeClock();
  const network = makeFakeNetwork(clock);
  const store = new Map<string, unknown>();
  const replan = new Set<() => void>();
  const changed = () => replan.forEach((plan) => plan());

  return {
    clock,
    network,
    node: (name, address) => makeTestNode({ name, address, clock, network, store, replan }),
    write(...objects) {
      for (const object of objects) store.set(keyOf({ kind: object.kind, name: object.metadata.name }), object);
      changed();
    },
    affinity(node, block, state = "confirmed") {
      store.set(affinityKey(node, block), { state, deleted: false });
      changed();
    },
    release(node, block) {
      store.delete(affinityKey(node, block));
      changed();
    },
  };
}

type NodeParts = {
  readonly name: string;
  readonly address: string;
  readonly clock: FakeClock;
  readonly network: FakeNetwork;
  readonly store: ReadonlyMap<string, unknown>;
  readonly replan: Set<() => void>;
};

function makeTestNode({ name, address, clock, network, store, replan }: NodeParts): TestNode {
  const kernel = makeFakeRouteKernel({ reach: connectedTo(address) });
  const log = recordingLogger();
  let speaker: Speaker | undefined;
  let life = new AbortController();

  function plan(): void {
    const world = makeWorld(name);
    for (const [key, value] of store) {
      const ref = parseKey(key);
      if (ref === undefined) throw new Error(`no key: ${key}`);
      world.take({ kind: "updated", key, ref, value });
    }
    speaker?.setPlan(derivePlan(world.world, { node: name }));
  }

  return {
    kernel,
    log,
    async boot() {
      life = new AbortController();
      const nothing = () => {};
      const booted = new Speaker({
        transport: network.host(address),
        kernel,
        clock: mortal(clock, life.signal),
        log,
        onApplied: nothing,
        onChange: nothing,
        counted: nothing,
      });
      await booted.start(life.signal);
      speaker = booted;
      replan.add(plan);
      plan();
    },
    kill() {
      life.abort();
      replan.delete(plan);
      network.kill(address);
      speaker = undefined;
    },
    status() {
      if (speaker === undefined) throw new Error(`${name} is not running`);
      return deriveStatus(speaker.view(), { node: name, inSync: true, revision: 1 });
    },
    history: (of) => speaker?.history(of) ?? [],
    routes: () => [...kernel.own.values()].map(print).toSorted(),
  };
}

function print(route: Parameters<FakeRouteKernel["own"]["set"]>[1]): string {
  if (route.type === "blackhole") return `blackhole ${route.dst}`;
  return `${route.dst}${route.hops.map((hop) => ` via ${hop.via} dev ${hop.dev}${hop.onlink ? " onlink" : ""}`).join("")}`;
}

/** A clock whose timers die with their process. */
function mortal(clock: FakeClock, signal: AbortSignal): FakeClock {
  return { ...clock, after: (ms, action) => clock.after(ms, () => void (signal.aborted || action())) };
}

function connectedTo(address: string): FakeRouteKernel["reach"] {
  const value = address.split(".").reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  return { connected: [{ network: { family: 4, value: (value >> 8n) << 8n, len: 24 }, dev: "eth0" }], onward: [], ownAddresses: [address] };
}
