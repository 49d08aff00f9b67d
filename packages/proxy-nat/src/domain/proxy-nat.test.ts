import { formatCidr, parseCidr } from "@calico/model";
import fc from "fast-check";
import { expect, test } from "vitest";
import { aService, aSlice, deleted, fakeTables, tracePacket, type FakeTables, type Packet } from "../testing.ts";
import { makeNatCore, type NatCore } from "./core.ts";
import { renderNode } from "./render-node.ts";
import { printRestore } from "./restore.ts";
import { HOOKS } from "./statics.ts";

const clusterCidrs = ["192.200.0.0/16"].map((text) => {
  const cidr = parseCidr(text);
  if (!cidr.ok) throw new Error(cidr.error);
  return cidr.value;
});

type Event = Parameters<NatCore["update"]>[0];

async function kernelOf(events: readonly Event[], config: Parameters<typeof renderNode>[2] = { clusterCidrs }): Promise<FakeTables> {
  const tables = fakeTables();
  const done = await tables.restore(renderNode(events, "n1", config).get(4) ?? "", { noflush: true });
  if (!done.ok) throw new Error(done.error.message);
  return tables;
}

const WEB = [
  aService("default/web", { ip: "10.96.0.20" }),
  aSlice("default/web-slice1", { endpoints: ["192.200.0.1@n1", "192.200.0.2@n2"], ports: ["8080/TCP"] }),
];
const DNS_PORTS = ["dns:53/UDP", "dns-tcp:53/TCP"];
const DNS = [
  aService("kube-system/kube-dns", { ip: "10.96.0.10", ports: DNS_PORTS }),
  aSlice("kube-system/kube-dns-slice1", { endpoints: ["192.200.0.9"], ports: DNS_PORTS }),
];
const pod: Pick<Packet, "from" | "proto" | "port"> = { from: "192.200.7.7", proto: "tcp", port: 80 };

test.for<{ name: string; events: readonly Event[]; packet: Packet; want: string }>([
  { name: "first share", events: WEB, packet: { ...pod, to: "10.96.0.20" }, want: "192.200.0.1:8080" },
  { name: "second share", events: WEB, packet: { ...pod, to: "10.96.0.20", dice: [0.5] }, want: "192.200.0.2:8080" },
  { name: "another port of the address is left alone", events: WEB, packet: { ...pod, to: "10.96.0.20", port: 81 }, want: "10.96.0.20:81" },
  { name: "another protocol is left alone", events: WEB, packet: { ...pod, to: "10.96.0.20", proto: "udp" }, want: "10.96.0.20:80" },
  {
    name: "a process of the node is masqueraded",
    events: WEB,
    packet: { ...pod, from: "10.0.2.6", to: "10.96.0.20", local: true },
    want: "192.200.0.1:8080 masquerade",
  },
  {
    name: "a client off the cluster is masqueraded",
    events: WEB,
    packet: { ...pod, from: "10.0.2.99", to: "10.96.0.20" },
    want: "192.200.0.1:8080 masquerade",
  },
  {
    name: "a pod that reaches itself is masqueraded",
    events: WEB,
    packet: { ...pod, from: "192.200.0.1", to: "10.96.0.20" },
    want: "192.200.0.1:8080 masquerade",
  },
  { name: "udp by port name", events: DNS, packet: { ...pod, to: "10.96.0.10", proto: "udp", port: 53 }, want: "192.200.0.9:53" },
  { name: "tcp by port name", events: DNS, packet: { ...pod, to: "10.96.0.10", port: 53 }, want: "192.200.0.9:53" },
  {
    name: "sctp",
    events: [aService("a/s", { ports: ["5/SCTP"] }), aSlice("a/s", { endpoints: ["192.200.0.3"], ports: ["6/SCTP"] })],
    packet: { ...pod, to: "10.96.0.10", proto: "sctp", port: 5 },
    want: "192.200.0.3:6",
  },
  { name: "no slice is refused", events: [aService("a/s")], packet: { ...pod, to: "10.96.0.10" }, want: "REJECT" },
  {
    name: "no slice is refused for the node too",
    events: [aService("a/s")],
    packet: { ...pod, to: "10.96.0.10", local: true },
    want: "REJECT",
  },
  {
    name: "only unready endpoints are refused",
    events: [aService("a/s"), aSlice("a/s", { endpoints: ["192.200.0.1!"] })],
    packet: { ...pod, to: "10.96.0.10" },
    want: "REJECT",
  },
  {
    name: "ready goes before draining",
    events: [aService("a/s"), aSlice("a/s", { endpoints: ["192.200.0.1~", "192.200.0.2"] })],
    packet: { ...pod, to: "10.96.0.10" },
    want: "192.200.0.2:80",
  },
  {
    name: "draining is used when nobody is ready",
    events: [aService("a/s"), aSlice("a/s", { endpoints: ["192.200.0.1~", "192.200.0.2!"] })],
    packet: { ...pod, to: "10.96.0.10" },
    want: "192.200.0.1:80",
  },
  {
    name: "internalTrafficPolicy Local keeps to the node",
    events: [
      aService("a/s", { spec: { internalTrafficPolicy: "Local" } }),
      aSlice("a/s", { endpoints: ["192.200.0.1@n2", "192.200.0.2@n1"] }),
    ],
    packet: { ...pod, to: "10.96.0.10" },
    want: "192.200.0.2:80",
  },
  {
    name: "internalTrafficPolicy Local with none here is dropped",
    events: [aService("a/s", { spec: { internalTrafficPolicy: "Local" } }), aSlice("a/s", { endpoints: ["192.200.0.1@n2"] })],
    packet: { ...pod, to: "10.96.0.10" },
    want: "DROP",
  },
  {
    name: "headless is left alone",
    events: [aService("a/s", { ip: "None" })],
    packet: { ...pod, to: "10.96.0.10" },
    want: "10.96.0.10:80",
  },
  {
    name: "another proxy's service is left alone",
    events: [aService("a/s", { metadata: { labels: { "service.kubernetes.io/service-proxy-name": "x" } } })],
    packet: { ...pod, to: "10.96.0.10" },
    want: "10.96.0.10:80",
  },
  {
    name: "an excluded service is left alone",
    events: [aService("a/s", { metadata: { annotations: { "projectcalico.org/natExcludeService": "true" } } })],
    packet: { ...pod, to: "10.96.0.10" },
    want: "10.96.0.10:80",
  },
  {
    name: "endpoints of two slices, listed twice, count once",
    events: [aService("a/s"), aSlice("a/s-slice1", { endpoints: ["192.200.0.1!"] }), aSlice("a/s-slice2", { endpoints: ["192.200.0.1"] })],
    packet: { ...pod, to: "10.96.0.10" },
    want: "192.200.0.1:80",
  },
])("tracePacket: $name", async ({ events, packet, want }) => {
  expect(tracePacket(await kernelOf(events), packet).verdict).toBe(want);
});

test("without a cluster CIDR only the node's own processes are masqueraded", async () => {
  const kernel = await kernelOf(WEB, {});
  expect(tracePacket(kernel, { ...pod, from: "10.0.2.99", to: "10.96.0.20" }).verdict).toBe("192.200.0.1:8080");
  expect(tracePacket(kernel, { ...pod, from: "10.0.2.6", to: "10.96.0.20", local: true }).verdict).toBe("192.200.0.1:8080 masquerade");
});

test("session affinity: a client that was seen in time keeps its endpoint, one seen too long ago is balanced", async () => {
  const kernel = await kernelOf([
    aService("a/s", { spec: { sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } } }),
    aSlice("a/s", { endpoints: ["192.200.0.1", "192.200.0.2"] }),
  ]);
  const second = tracePacket(kernel, { ...pod, to: "10.96.0.10", dice: [0.9] });
  expect(second).toMatchObject({ verdict: "192.200.0.2:80", remembered: [expect.stringMatching(/^calinat-sep-/)] });
  const seen = (seconds: number) =>
    tracePacket(kernel, { ...pod, to: "10.96.0.10", dice: [0], seen: { [second.remembered[0] ?? ""]: seconds } }).verdict;
  expect(seen(59)).toBe("192.200.0.2:80");
  expect(seen(61)).toBe("192.200.0.1:80");
});

test("dispatch: with 1,000 services a packet passes fewer than 100 rules, and one change writes fewer than 10 chains", async () => {
  const many = Array.from({ length: 1000 }, (_, i) => i).flatMap((i) => {
    const ip = `10.${96 + (i % 16)}.${(i * 7) % 256}.${(i * 13) % 256}`;
    return [aService(`ns/s${i}`, { ip }), aSlice(`ns/s${i}`, { endpoints: ["192.200.0.1"] })];
  });
  const kernel = await kernelOf(many);
  const passed = many
    .filter((e) => e.ref.ref.kind === "KubernetesService")
    .map((e) => {
      const trace = tracePacket(kernel, { ...pod, to: (e.value as { spec: { clusterIP: string } }).spec.clusterIP });
      expect(trace.verdict).toBe("192.200.0.1:80");
      return trace.rulesPassed;
    });
  expect(Math.max(...passed)).toBeLessThan(100);
  const core = makeNatCore({ node: "n1", families: [4], clusterCidrs });
  for (const e of many) core.update(e);
  core.flush();
  core.update(aSlice("ns/s500", { endpoints: ["192.200.0.1", "192.200.0.2"] }));
  expect(core.flush().set.map((c) => c.name)).toHaveLength(2);
  core.update(aService("ns/fresh", { ip: "10.100.200.1" }));
  core.update(aSlice("ns/fresh", { endpoints: ["192.200.0.1"] }));
  expect(core.flush().set.length).toBeLessThan(10);
});

const anEvent = fc
  .record({
    service: fc.integer({ min: 0, max: 11 }),
    what: fc.constantFrom("service", "slice", "noService", "noSlice"),
    endpoints: fc.subarray(["192.200.0.1@n1", "192.200.0.2@n2", "192.200.0.3!", "192.200.0.4~"]),
    local: fc.boolean(),
  })
  .map(({ service, what, endpoints, local }): Event => {
    const s = aService(`ns/s${service}`, {
      ip: `10.96.0.${service * (service % 2 ? 1 : 20)}`,
      ports: ["80/TCP", "dns:53/UDP"],
      spec: local ? { internalTrafficPolicy: "Local" } : {},
    });
    const e = aSlice(`ns/s${service}`, { endpoints, ports: ["8080/TCP", "dns:53/UDP"] });
    return what === "service" ? s : what === "slice" ? e : deleted(what === "noService" ? s : e);
  });

test("core: whatever the history and the batches, the kernel ends as if the last state had been rendered at once", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(anEvent, { maxLength: 8 }), { maxLength: 8 }), async (batches) => {
      const core = makeNatCore({ node: "n1", families: [4], clusterCidrs });
      const tables = fakeTables();
      for (const batch of batches) {
        for (const event of batch) core.update(event);
        const { set, remove } = core.flush();
        const done = await tables.restore(printRestore(4, { set, remove }), { noflush: true });
        if (!done.ok) throw new Error(done.error.message);
      }
      const hooks = HOOKS.map((h) => ({ table: h.table, line: `-I ${h.chain} ${h.rule}` }));
      const rest = core.flush();
      const done = await tables.restore(printRestore(4, { set: rest.set, remove: rest.remove, hooks }), { noflush: true });
      if (!done.ok) throw new Error(done.error.message);
      const want = await kernelOf(batches.flat());
      for (const table of ["nat", "filter"] as const) expect(textOf(tables, table)).toEqual(textOf(want, table));
    }),
    { numRuns: 150 },
  );
});

function textOf(tables: FakeTables, table: "nat" | "filter"): Record<string, readonly string[]> {
  return Object.fromEntries(
    [...tables.chains(table)].map(([name, rules]): [string, readonly string[]] => [name, rules.map((r) => r.text)]).toSorted(),
  );
}

test("core: a UDP endpoint that goes, and a UDP port's first endpoint, make stale flows; TCP does not", () => {
  const core = makeNatCore({ node: "n1", families: [4], clusterCidrs });
  for (const e of DNS) core.update(e);
  expect(core.flush().staleUdp).toEqual([{ vip: "10.96.0.10", port: 53 }]);
  core.update(aSlice("kube-system/kube-dns-slice1", { endpoints: ["192.200.0.8"], ports: DNS_PORTS }));
  expect(core.flush().staleUdp).toEqual([{ vip: "10.96.0.10", port: 53, target: "192.200.0.9" }]);
  core.update(deleted(aService("kube-system/kube-dns")));
  expect(core.flush().staleUdp).toEqual([{ vip: "10.96.0.10", port: 53, target: "192.200.0.8" }]);
});

test.for<{ name: string; event: Event; want: RegExp }>([
  {
    name: "an address that is none",
    event: aSlice("a/s", { endpoints: ["192.200.0.999"] }),
    want: /endpoints\[0\]\.addresses = '192\.200\.0\.999'/,
  },
  { name: "a port out of range", event: aService("a/s", { ports: ["70000/TCP"] }), want: /spec\.ports\[0\]\.port = '70000'/ },
  { name: "a cluster IP that is none", event: aService("a/s", { ip: "10.96.0.1 -j ACCEPT" }), want: /spec\.clusterIPs/ },
  {
    name: "no address type",
    event: { ...aSlice("a/s"), value: { kind: "KubernetesEndpointSlice", apiVersion: "v1", metadata: { name: "s" } } },
    want: /addressType/,
  },
])("core: refuses $name, and goes on", ({ event, want }) => {
  const core = makeNatCore({ node: "n1", families: [4], clusterCidrs });
  expect(core.update(event)?.reason).toMatch(want);
  for (const e of WEB) core.update(e);
  expect(core.flush().services).toContain("default/web");
});

test("core: names from outside cannot end a rule's comment", async () => {
  const evil = aService('a/x" -j ACCEPT\n-A FORWARD', { ip: "10.96.0.66" });
  const kernel = await kernelOf([evil]);
  expect(tracePacket(kernel, { ...pod, to: "10.96.0.66" }).verdict).toBe("REJECT");
  expect(kernel.chains("filter").get("FORWARD")).toHaveLength(1);
});

test("renderNode: IPv6 services are rendered for ip6tables", async () => {
  const events = [
    aService("a/six", { ip: ["10.96.0.6", "fd00::6"] }),
    aSlice("a/six-slice4", { endpoints: ["192.200.0.6"] }),
    aSlice("a/six-slice6", { endpoints: ["fd01::6"] }),
  ];
  const both = renderNode(events, "n1", { families: [4, 6], clusterCidrs });
  const six = fakeTables(6);
  expect(await six.restore(both.get(6) ?? "", { noflush: true })).toMatchObject({ ok: true });
  expect(tracePacket(six, { ...pod, from: "fd01::1", to: "fd00::6" }).verdict).toBe("fd01::6:80");
  expect(both.get(4)).toContain("192.200.0.6");
});

test.for([
  { name: "two-services", events: [...WEB, ...DNS] },
  {
    name: "affinity",
    events: [aService("a/s", { spec: { sessionAffinity: "ClientIP" } }), aSlice("a/s", { endpoints: ["192.200.0.1", "192.200.0.2"] })],
  },
  {
    name: "refused-and-local",
    events: [
      aService("a/none"),
      aService("a/local", { ip: "10.96.0.11", spec: { internalTrafficPolicy: "Local" } }),
      aSlice("a/local", { endpoints: ["192.200.0.1@n2"] }),
    ],
  },
  { name: "no-services", events: [] },
])("renderNode golden: $name", async ({ name, events }) => {
  const text = renderNode(events, "n1", { clusterCidrs }).get(4);
  await expect(text).toMatchFileSnapshot(`../../test/golden/${name}.iptables`);
  expect(text).toContain(formatCidr(clusterCidrs[0]!));
});
