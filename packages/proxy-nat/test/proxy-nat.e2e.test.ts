/** proxy-nat against the real kernel: a node and pods as namespaces, real servers, both iptables back ends, events from a fake feed. */
import { makeFakeFeed } from "@calico/bus/testing";
import { makeMetrics } from "@calico/daemon";
import { recordingLogger } from "@calico/daemon/testing";
import { openIptables, type Iptables } from "@calico/linux";
import type { FeedEvent } from "@calico/bus";
import { parseCidr, type Applied } from "@calico/model";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { systemClock as clock } from "../src/adapter/clock.ts";
import { kernelConntrack } from "../src/adapter/conntrack.ts";
import { makeNatCore, renderNode } from "../src/mod.ts";
import { METRICS } from "../src/metrics.ts";
import { makeApplier } from "../src/service/applier.ts";
import { makePasses } from "../src/service/pass.ts";
import { makeProxy } from "../src/service/proxy.ts";
import { makeRecorder } from "../src/service/recorder.ts";
import { aService, aSlice, inSync } from "../src/testing.ts";
import { makeNetwork, type Network, type Place } from "./e2e/network.ts";

const PODS = { client: "192.200.0.10", a: "192.200.0.1", b: "192.200.0.2" };
const VIP = "10.96.0.20";
const pool = parseCidr("192.200.0.0/16");
const clusterCidrs = pool.ok ? [pool.value] : [];
const PORTS = { service: ["web:80/TCP", "dns:53/UDP"], slice: ["web:8080/TCP", "dns:8080/UDP"] };
const SERVICE = aService("default/web", { ip: VIP, ports: PORTS.service });
const endpoints = (...names: readonly (keyof typeof PODS)[]) =>
  aSlice("default/web", { endpoints: names.map((n) => PODS[n]), ports: PORTS.slice });

/** A running proxy on the node's real tables. `resyncMs` is long: comparisons come when a test restarts it or asks for a short one. */
function startProxy(tables: Iptables, netns: string, resyncMs = 3_600_000) {
  const feed = makeFakeFeed();
  const applied: Omit<Applied, "component" | "node">[] = [];
  const log = recordingLogger();
  const core = makeNatCore({ node: "n1", clusterCidrs, families: [4] });
  const passes = makePasses(
    { core, applier: makeApplier([tables]), conntrack: kernelConntrack({ netnsPath: netns }), clock },
    { resyncMs },
  );
  const reporter = { applied: (b: Omit<Applied, "component" | "node">) => void applied.push(b), status: () => {} };
  const recorder = makeRecorder({ core, reporter, metrics: makeMetrics(METRICS), clock, log }, { version: "test" });
  const proxy = makeProxy({ feed, core, passes, recorder, clock });
  const running = proxy.run(new AbortController().signal);
  let revision = 1;
  return {
    applied,
    log,
    proxy,
    /** Push events, and wait until they are in the kernel. */
    async program(...events: readonly FeedEvent[]) {
      const before = applied.length;
      revision++;
      feed.push(...events.map((e) => ({ ...e, revision })));
      await vi.waitUntil(() => applied.length > before || proxy.state().failure !== undefined, { timeout: 10_000, interval: 10 });
      expect(proxy.state().failure).toBeUndefined();
    },
    push: (...events: readonly FeedEvent[]) => feed.push(...events),
    async stop() {
      feed.end();
      await running;
    },
  };
}

describe.each(["nft", "legacy"] as const)("iptables %s", (backend) => {
  let network: Network;
  let tables: Iptables;
  let proxy: ReturnType<typeof startProxy>;
  let count = 0;
  const tcp = async (from: Place, ip = VIP, port = 80) => {
    const key = `once${count++}`;
    const answer = await from.ask({ do: "open", key, ip, port });
    if (answer.reply !== undefined) await from.ask({ do: "close", key });
    return answer;
  };
  const place = (name: keyof typeof PODS): Place => network.pods[name] ?? network.node;

  beforeAll(async () => {
    network = await makeNetwork(PODS);
    tables = openIptables({ backend, netnsPath: network.node.netns });
    for (const name of ["a", "b"] as const)
      expect(await place(name).ask({ do: "serve", name, ip: PODS[name], port: 8080 })).toEqual({ reply: "serving" });
    await tables.restore(FOREIGN, { noflush: true });
    proxy = startProxy(tables, network.node.netns);
    await proxy.program(SERVICE, endpoints("a"), inSync());
  });
  afterAll(async () => {
    await proxy.stop();
    await network[Symbol.asyncDispose]();
  });

  test("a pod reaches the service by TCP and UDP, with its own address", async () => {
    expect(await tcp(place("client"))).toEqual({ reply: `a ${PODS.client}` });
    expect(await place("client").ask({ do: "udp", key: "x", ip: VIP, port: 53 })).toEqual({ reply: `a ${PODS.client}` });
  });

  test("a process of the node reaches the service, masqueraded", async () => {
    expect(await tcp(network.node)).toEqual({ reply: "a 10.0.2.6" });
    expect(await network.node.ask({ do: "udp", key: "x", ip: VIP, port: 53 })).toEqual({ reply: "a 10.0.2.6" });
  });

  test("a pod reaches itself through the service", async () => {
    expect(await tcp(place("a"))).toEqual({ reply: "a 10.0.2.6" });
  });

  test("new connections are spread over the endpoints", async () => {
    await proxy.program(endpoints("a", "b"));
    const seen = new Set<string | undefined>();
    for (let i = 0; i < 40 && seen.size < 2; i++) seen.add((await tcp(place("client"))).reply);
    expect([...seen].toSorted()).toEqual([`a ${PODS.client}`, `b ${PODS.client}`]);
  });

  test("a removed UDP endpoint loses its flows; the client's socket goes on with the next; TCP to the one that stays is not cut", async () => {
    await proxy.program(endpoints("b"));
    expect(await place("client").ask({ do: "open", key: "stays", ip: VIP, port: 80 })).toEqual({ reply: `b ${PODS.client}` });
    await proxy.program(endpoints("a"));
    expect(await place("client").ask({ do: "udp", key: "resolver", ip: VIP, port: 53 })).toEqual({ reply: `a ${PODS.client}` });
    await proxy.program(endpoints("b"));
    await vi.waitUntil(() => proxy.log.lines.some((l) => l.message === "stale udp flows forgotten"), { timeout: 5_000 });
    expect(await place("client").ask({ do: "udp", key: "resolver", ip: VIP, port: 53 })).toEqual({ reply: `b ${PODS.client}` });
    expect(await place("client").ask({ do: "say", key: "stays" })).toEqual({ reply: `b ${PODS.client}` });
  });

  test("no endpoint: refused at once, from pods and from the node; served again afterwards", async () => {
    await proxy.program(endpoints());
    expect(await tcp(place("client"))).toEqual({ error: "ECONNREFUSED" });
    expect(await tcp(network.node)).toEqual({ error: "ECONNREFUSED" });
    await proxy.program(endpoints("a"));
    expect(await tcp(place("client"))).toEqual({ reply: `a ${PODS.client}` });
  });

  test("session affinity: a client stays where it was, whatever the dice say", async () => {
    await proxy.program(
      aService("default/web", { ip: VIP, ports: PORTS.service, spec: { sessionAffinity: "ClientIP" } }),
      endpoints("a", "b"),
    );
    const { reply } = await tcp(place("client"));
    for (let i = 0; i < 12; i++) expect(await tcp(place("client"))).toEqual({ reply });
    await proxy.program(SERVICE, endpoints("a"));
  });

  test("a restart keeps connections, and writes nothing when nothing changed", async () => {
    expect(await place("client").ask({ do: "open", key: "old", ip: VIP, port: 80 })).toEqual({ reply: `a ${PODS.client}` });
    const before = await rules(tables);
    await proxy.stop();
    expect(await place("client").ask({ do: "say", key: "old" })).toEqual({ reply: `a ${PODS.client}` });
    expect(await tcp(place("client"))).toEqual({ reply: `a ${PODS.client}` });
    proxy = startProxy(tables, network.node.netns, 100);
    proxy.push(SERVICE, endpoints("a"), inSync());
    await vi.waitUntil(() => proxy.proxy.state().inSync);
    await proxy.program(aService("default/second", { ip: "10.96.0.21" }));
    expect(proxy.applied.flatMap((a) => a.changed).filter((c) => /svc|sep|masq|postrouting/.test(c))).toEqual([]);
    expect(await place("client").ask({ do: "say", key: "old" })).toEqual({ reply: `a ${PODS.client}` });
    expect((await rules(tables)).filter((rule) => !rule.includes("default/second"))).toEqual(before);
  });

  test("drift is repaired and reported, and rules of others stay as they were", async () => {
    const before = await rules(tables);
    const svc = /-j (calinat-svc-\S+)/.exec(before.join("\n"))?.[1] ?? "";
    const hook = before.find((rule) => rule.startsWith("-A OUTPUT") && rule.includes("calinat-services"))?.replace("-A", "-D");
    expect((await tables.restore(`*nat\n:${svc} - [0:0]\n${hook}\n-A calinat-mark-masq -j ACCEPT\nCOMMIT\n`, { noflush: true })).ok).toBe(
      true,
    );
    await vi.waitUntil(() => proxy.applied.some((a) => a.repaired.length > 0), { timeout: 10_000 });
    expect(proxy.applied.at(-1)?.repaired).toEqual(expect.arrayContaining([`nat/${svc}`, "nat/calinat-mark-masq", "nat/OUTPUT hook"]));
    expect((await rules(tables)).toSorted()).toEqual(before.toSorted());
    expect(await tcp(network.node)).toEqual({ reply: "a 10.0.2.6" });
    const foreign = (await rules(tables)).filter((rule) => /KUBE-|cali-|CNI-/.test(rule));
    expect(foreign).toEqual(
      [
        "-A PREROUTING -j KUBE-SERVICES",
        "-A POSTROUTING -j CNI-HOSTPORT",
        "-A KUBE-SERVICES -d 10.96.9.9/32 -j RETURN",
        "-A CNI-HOSTPORT -s 1.1.1.1/32 -j RETURN",
        "-A cali-nat -d 2.2.2.2/32 -j RETURN",
      ].toSorted((a, b) => order(foreign, a, b)),
    );
  });

  test("what renderNode prints is taken by the kernel, twice, with every protocol and option", async () => {
    const everything = renderNode(
      [
        SERVICE,
        endpoints("a", "b"),
        aService("ns/sctp", { ip: "10.96.0.30", ports: ["5/SCTP"], spec: { sessionAffinity: "ClientIP" } }),
        aSlice("ns/sctp", { endpoints: ["192.200.0.3", "192.200.0.4", "192.200.0.5"], ports: ["6/SCTP"] }),
        aService("ns/none", { ip: "10.96.0.31" }),
        aService("ns/local", { ip: "10.96.0.32", spec: { internalTrafficPolicy: "Local" } }),
        aSlice("ns/local", { endpoints: ["192.200.0.3@elsewhere"] }),
      ],
      "n1",
      { clusterCidrs },
    ).get(4);
    for (let i = 0; i < 2; i++) expect(await tables.restore(everything ?? "", { noflush: true })).toMatchObject({ ok: true });
  });
});

const FOREIGN = `*nat
:KUBE-SERVICES - [0:0]
:CNI-HOSTPORT - [0:0]
:cali-nat - [0:0]
-A KUBE-SERVICES -d 10.96.9.9/32 -j RETURN
-A CNI-HOSTPORT -s 1.1.1.1/32 -j RETURN
-A cali-nat -d 2.2.2.2/32 -j RETURN
-A PREROUTING -j KUBE-SERVICES
-A POSTROUTING -j CNI-HOSTPORT
COMMIT
`;

async function rules(tables: Iptables): Promise<readonly string[]> {
  const texts = [await tables.save("nat"), await tables.save("filter")];
  return texts.flatMap((text) => text.split("\n").filter((line) => line.startsWith("-A ")));
}

/** Chains of others are printed in the kernel's order; only which rules are there matters. */
function order(found: readonly string[], a: string, b: string): number {
  return found.indexOf(a) - found.indexOf(b);
}
