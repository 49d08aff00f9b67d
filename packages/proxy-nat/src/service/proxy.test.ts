import { recordingLogger } from "@calico/daemon/testing";
import { makeMetrics } from "@calico/daemon";
import type { FeedEvent } from "@calico/bus";
import type { Applied, Status } from "@calico/model";
import { expect, test } from "vitest";
import { makeNatCore, type StaleFlow } from "../domain/core.ts";
import { METRICS } from "../metrics.ts";
import type { Clock } from "../ports.ts";
import { aService, aSlice, deleted, fakeTables, inSync, tracePacket } from "../testing.ts";
import { makeApplier } from "./applier.ts";
import { makePasses } from "./pass.ts";
import { makeProxy } from "./proxy.ts";
import { makeRecorder } from "./recorder.ts";

/** A feed that the test pushes into, and a clock that it moves. */
function harness(tables = fakeTables()) {
  const batches: (readonly FeedEvent[])[] = [];
  let more = () => {};
  let closed = false;
  const timers: { at: number; fire: () => void }[] = [];
  let now = 0;
  const clock: Clock = {
    nowMs: () => now,
    timestamp: () => "2024-01-01T00:00:00.000Z",
    pause: (ms, signal) =>
      new Promise((resolve) => {
        timers.push({ at: now + ms, fire: resolve });
        signal.addEventListener("abort", () => resolve(), { once: true });
      }),
  };
  const feed = {
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const batch = batches.shift();
        if (batch !== undefined) yield batch;
        else if (closed) return;
        else await new Promise<void>((resolve) => (more = resolve));
      }
    },
  };
  const applied: Omit<Applied, "component" | "node">[] = [];
  const status: Omit<Status, "component" | "node">[] = [];
  const forgotten: StaleFlow[] = [];
  const log = recordingLogger();
  const core = makeNatCore({ node: "n1", clusterCidrs: [], families: [4] });
  const conntrack = {
    async forget(flows: readonly StaleFlow[]) {
      forgotten.push(...flows);
      return flows.length;
    },
  };
  const passes = makePasses({ core, applier: makeApplier([tables]), conntrack, clock }, { resyncMs: 1000 });
  const reporter = {
    applied: (b: Omit<Applied, "component" | "node">) => void applied.push(b),
    status: (b: Omit<Status, "component" | "node">) => void status.push(b),
  };
  const metrics = makeMetrics(METRICS);
  const proxy = makeProxy({
    feed,
    core,
    passes,
    clock,
    recorder: makeRecorder({ core, reporter, metrics, clock, log }, { version: "1" }),
  });
  const running = proxy.run(new AbortController().signal);
  /** Let everything that can go on go on. */
  const settle = async () => {
    for (let i = 0; i < 50; i++) await Promise.resolve();
  };
  return {
    tables,
    applied,
    status,
    forgotten,
    log,
    proxy,
    metrics,
    settle,
    async push(...events: readonly FeedEvent[]) {
      batches.push(events);
      more();
      await settle();
    },
    async advance(ms: number) {
      now += ms;
      for (const t of timers.splice(0))
        if (t.at <= now) t.fire();
        else timers.push(t);
      await settle();
    },
    async stop() {
      closed = true;
      more();
      await running;
    },
  };
}

const packet = { from: "192.200.7.7", to: "10.96.0.10", proto: "tcp", port: 80 } as const;
const S = aService("a/s");
const E = aSlice("a/s", { endpoints: ["192.200.0.1"] });

test("proxy: nothing is written before the feed is in sync; then all at once", async () => {
  const h = harness();
  await h.push(S, E);
  expect(h.tables.restores).toHaveLength(0);
  expect(h.proxy.state().inSync).toBe(false);
  await h.push(inSync(7));
  expect(tracePacket(h.tables, packet).verdict).toBe("192.200.0.1:80");
  expect(h.applied).toMatchObject([{ revision: 7, repaired: [] }]);
  expect(h.status.at(-1)).toMatchObject({ healthy: true, inSync: true, detail: { services: 1, slices: 1 } });
  await h.stop();
});

test("proxy: a restart that finds the same rules writes nothing; services that vanished meanwhile are removed", async () => {
  const first = harness();
  await first.push(S, E, aService("a/gone", { ip: "10.96.0.11" }), aSlice("a/gone", { endpoints: ["192.200.0.2"] }), inSync());
  await first.stop();
  const same = harness(first.tables);
  const writes = first.tables.restores.length;
  await same.push(S, E, aService("a/gone", { ip: "10.96.0.11" }), aSlice("a/gone", { endpoints: ["192.200.0.2"] }), inSync());
  await same.stop();
  expect(first.tables.restores.slice(writes)).toEqual([]);
  const fewer = harness(first.tables);
  await fewer.push(S, E, inSync());
  await fewer.stop();
  expect(tracePacket(first.tables, packet).verdict).toBe("192.200.0.1:80");
  expect(tracePacket(first.tables, { ...packet, to: "10.96.0.11" }).verdict).toBe("10.96.0.11:80");
  expect([...first.tables.chains("nat").keys()].filter((c) => c.startsWith("calinat-sep-"))).toHaveLength(1);
});

test("proxy: drift is repaired at the next comparison and reported; foreign rules stay", async () => {
  const h = harness();
  await h.tables.restore("*nat\n:KUBE-SERVICES - [0:0]\n-A KUBE-SERVICES -p tcp -j ACCEPT\n-I PREROUTING -j KUBE-SERVICES\nCOMMIT\n", {
    noflush: true,
  });
  await h.push(S, E, inSync());
  const svc = [...h.tables.chains("nat").keys()].find((c) => c.startsWith("calinat-svc-")) ?? "";
  const hook = h.tables.chains("nat").get("OUTPUT")?.[0]?.text ?? "";
  await h.tables.restore(`*nat\n:${svc} - [0:0]\n-A calinat-mark-masq -j ACCEPT\n-D OUTPUT ${hook}\nCOMMIT\n`, { noflush: true });
  await h.advance(1000);
  expect(h.applied.at(-1)).toMatchObject({ changed: [], repaired: ["nat/calinat-mark-masq", `nat/${svc}`, "nat/OUTPUT hook"] });
  expect(tracePacket(h.tables, { ...packet, local: true }).verdict).toBe("192.200.0.1:80 masquerade");
  expect(h.tables.chains("nat").get("KUBE-SERVICES")).toHaveLength(1);
  expect(h.tables.chains("nat").get("PREROUTING")?.at(-1)?.target).toBe("KUBE-SERVICES");
  await h.advance(1000);
  expect(h.applied).toHaveLength(2);
  await h.stop();
});

test("proxy: a refused write is retried with all that changed meanwhile, and health says so until it succeeds", async () => {
  const h = harness();
  await h.push(inSync());
  h.tables.failNext(2);
  await h.push(S, E);
  expect(h.proxy.state().failure).toMatch(/injected/);
  expect(h.status.at(-1)).toMatchObject({ healthy: false });
  await h.advance(100);
  await h.push(aService("a/late", { ip: "10.96.0.12" }));
  await h.advance(200);
  expect(h.proxy.state().failure).toBeUndefined();
  expect(tracePacket(h.tables, packet).verdict).toBe("192.200.0.1:80");
  expect(tracePacket(h.tables, { ...packet, to: "10.96.0.12" }).verdict).toBe("REJECT");
  expect(h.status.at(-1)).toMatchObject({ healthy: true });
  await h.stop();
});

test("proxy: UDP flows of endpoints that went are forgotten, also those that went while nobody watched", async () => {
  const ports = ["53/UDP"];
  const dns = (...endpoints: string[]) => aSlice("a/dns", { endpoints, ports });
  const service = aService("a/dns", { ports });
  const first = harness();
  await first.push(service, dns("192.200.0.1", "192.200.0.2", "192.200.0.3"), inSync());
  expect(first.forgotten).toEqual([{ vip: "10.96.0.10", port: 53 }]);
  await first.push(dns("192.200.0.1", "192.200.0.2"));
  expect(first.forgotten.slice(1)).toEqual([{ vip: "10.96.0.10", port: 53, target: "192.200.0.3" }]);
  await first.stop();
  const second = harness(first.tables);
  await second.push(service, dns("192.200.0.1"), inSync());
  expect(second.forgotten).toEqual([{ vip: "10.96.0.10", port: 53, target: "192.200.0.2" }]);
  await second.push(deleted(service));
  expect(second.forgotten.slice(1)).toEqual([{ vip: "10.96.0.10", port: 53, target: "192.200.0.1" }]);
  await second.stop();
});

test("proxy: an object that cannot be read is logged with its key and counted; others go on", async () => {
  const h = harness();
  await h.push(S, E, aSlice("a/bad", { endpoints: ["192.200.0.999"] }), inSync());
  expect(h.log.lines).toContainEqual(expect.objectContaining({ level: "warn", message: "object refused; its service is left out" }));
  expect(await h.metrics.print()).toContain("calinat_objects_refused_total 1");
  expect(tracePacket(h.tables, packet).verdict).toBe("192.200.0.1:80");
  await h.stop();
});
