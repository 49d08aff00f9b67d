import { vmHandle } from "@calico/model";
import { expect, test } from "vitest";
import { type Allocation, type Evidence, judge, type World } from "./ipam-gc.ts";
import { restMs } from "./ipam-gc-hosts.ts";
import { dueHandles, type Judged, nextLedger } from "./ipam-gc-ledger.ts";

const WORLD: World = {
  pods: new Map([["d/a", { node: "k1", phase: "Running", ips: ["10.0.0.1"] }]]),
  podsRevision: "70",
  kubeNodes: new Set(["k1", "k2"]),
  nodesRevision: "71",
  calicoNodes: new Map([
    ["n1", "k1"],
    ["bare", undefined],
    ["left", "k9"],
  ]),
  endpoints: new Map(),
  etcdRevision: 5,
};
const A: Allocation = {
  ...{ id: "i", ip: "10.0.0.1", block: "10.0.0.0/26", pool: "p", handle: "h", sequence: 1n, borrowed: false },
  ...{ node: "n1", namespace: "d", pod: "a", type: undefined, service: undefined },
};
const LAUNCHER = { namespace: "d", pod: "virt-launcher-vm1-x", node: "n1" };
const MACHINES: Partial<Allocation> = { ...LAUNCHER, handle: "net.vmi.d.vm1", machine: { name: "d/vm1", owners: [LAUNCHER] } };
const STOPPED: Partial<Allocation> = { pod: undefined, namespace: undefined, node: undefined, machine: { name: "d/vm1", owners: [] } };
const LONG = { namespace: "n".repeat(63), name: "v".repeat(63) };
const target = (name: string): Partial<Allocation> => ({
  machine: { name: "d/vm1", owners: [LAUNCHER, { namespace: "d", pod: name, node: "n1" }] },
});
const machines = (...names: string[]): Partial<World> => ({ machines: { names: new Set(names), revision: "72" } });
const endpoint = { key: "/wep", modRevision: 4, node: "n1", namespace: "d", pod: "a", ips: ["10.0.0.1"] };
const pod = (o: object) => ({ pods: new Map([["d/a", { node: "k1", phase: "Running", ips: ["10.0.0.1"], ...o }]]) });

test.for<{ name: string; a?: Partial<Allocation>; world?: Partial<World>; saw?: boolean; want: string }>([
  { name: "its pod has it", want: "owned pod d/a" },
  { name: "no such pod", a: { pod: "b" }, want: "unowned later: podMissing@70 endpointMissing@5" },
  {
    name: "no such pod, its endpoint is left",
    a: { pod: "b" },
    world: { endpoints: new Map([["10.0.0.1", [endpoint]]]) },
    want: "unowned later: podMissing@70 endpointStale@5",
  },
  { name: "the pod is elsewhere", world: pod({ node: "k2" }), want: "unowned later: podElsewhere@70 endpointMissing@5" },
  { name: "the pod is not placed yet", world: pod({ node: "", ips: [] }), want: "owned pod d/a" },
  { name: "the pod was evicted", world: pod({ phase: "Failed" }), want: "unowned later: podFinished@70 endpointMissing@5" },
  { name: "the pod has another address", world: pod({ ips: ["10.0.0.9"] }), want: "unowned later: podHasOtherIps@70 endpointMissing@5" },
  {
    name: "the pod is being started again with it",
    world: { ...pod({ ips: ["10.0.0.9"] }), endpoints: new Map([["10.0.0.1", [endpoint]]]) },
    want: "owned pod d/a",
  },
  {
    name: "pod and node are gone",
    a: { pod: "b", node: "left" },
    saw: true,
    want: "unowned at once: podMissing@70 nodeGone@71 endpointMissing@5",
  },
  {
    name: "the node has not registered yet",
    a: { pod: "b", node: "left" },
    want: "unowned later: podMissing@70 nodeGone@71 endpointMissing@5",
  },
  {
    name: "a node that nothing knows",
    a: { pod: "b", node: "gone" },
    want: "unowned at once: podMissing@70 nodeGone@71 endpointMissing@5",
  },
  {
    name: "the node is gone, the pod is still in the API on it",
    a: { node: "left" },
    world: pod({ node: "k9" }),
    saw: true,
    want: "owned pod d/a",
  },
  {
    name: "a tunnel of a node that is there",
    a: { type: "ipipTunnelAddress", pod: undefined },
    want: "owned ipipTunnelAddress of node n1",
  },
  {
    name: "a tunnel of a node that is gone",
    a: { type: "ipipTunnelAddress", pod: undefined, node: "left" },
    saw: true,
    want: "unowned at once: nodeGone@71",
  },
  {
    name: "a tunnel of a node that is not Kubernetes'",
    a: { type: "vxlanTunnelAddress", pod: undefined, node: "bare" },
    want: "owned vxlanTunnelAddress of node bare",
  },
  { name: "a container without a pod", a: { pod: undefined }, want: "owned container of handle h on node n1" },
  { name: "a machine that runs", a: MACHINES, world: machines("d/vm1"), want: "owned virtual machine d/vm1" },
  { name: "a machine that is stopped", a: { ...MACHINES, ...STOPPED }, world: machines("d/vm1"), want: "owned virtual machine d/vm1" },
  { name: "a machine whose node is gone", a: { ...MACHINES, node: "gone" }, world: machines("d/vm1"), want: "owned virtual machine d/vm1" },
  {
    name: "a stopped machine of which only the hash is known",
    a: { ...MACHINES, ...STOPPED, handle: vmHandle("net", LONG), machine: { name: undefined, owners: [] } },
    world: machines(`${LONG.namespace}/${LONG.name}`),
    want: `owned virtual machine of handle ${vmHandle("net", LONG)}`,
  },
  {
    name: "a machine that is gone, and so are its pods",
    a: { ...MACHINES, ...target("t") },
    world: machines("d/vm2"),
    want: "unowned later: machineMissing@72 podMissing@70 podMissing@70 endpointMissing@5",
  },
  {
    name: "a machine that is gone, and its node too: the grace is owed all the same",
    a: { ...MACHINES, node: "gone" },
    world: machines(),
    saw: true,
    want: "unowned later: machineMissing@72 podMissing@70 endpointMissing@5",
  },
  {
    name: "a machine that is gone, and its pod runs",
    a: { ...MACHINES, ...target("a") },
    world: machines(),
    want: "owned pod d/a of virtual machine d/vm1",
  },
  {
    name: "a machine, and no API of machines",
    a: MACHINES,
    want: "exempt virtual machine d/vm1: the Kubernetes API lists no virtual machines to look it up in",
  },
  { name: "a service's", a: { service: "s", pod: undefined }, want: "exempt service d/s: released by the load balancer controller" },
  { name: "nobody's", a: { node: undefined, pod: undefined }, want: "exempt no node is recorded with it" },
])("judge: $name", ({ a, world, saw = false, want }) => {
  const v = judge({ ...A, ...a }, { ...WORLD, ...world }, () => saw);
  const text =
    v.kind === "owned"
      ? `owned ${v.owner}`
      : v.kind === "exempt"
        ? `exempt ${v.reason}`
        : `unowned ${v.atOnce ? "at once" : "later"}: ${v.evidence.map((e) => `${e.kind}@${e.revision}`).join(" ")}`;
  expect(text).toBe(want);
});

const judged = (id: string, handle: string, kind: "owned" | "unowned", atOnce = false, evidence: readonly Evidence[] = []): Judged => ({
  allocation: { ...A, id, handle },
  verdict: kind === "owned" ? { kind, owner: "x" } : { kind, evidence, atOnce },
});
const machine = (atOnce = false): Judged => {
  const j = judged("m", "net.vmi.d.vm1", "unowned", atOnce);
  return { ...j, allocation: { ...j.allocation, machine: { name: "d/vm1", owners: [] } } };
};
const neverSeen = judged("a", "h", "unowned", false, [{ kind: "nodeGone", text: "", source: "kubernetes", revision: "1" }]);

test.for([
  { name: "before its grace", group: [judged("a", "h", "unowned")], atMin: 14, want: [] },
  { name: "after its grace", group: [judged("a", "h", "unowned")], atMin: 15, want: ["h"] },
  { name: "its node is gone", group: [judged("a", "h", "unowned", true)], atMin: 0, want: ["h"] },
  { name: "one of the handle's addresses is in use", group: [judged("a", "h", "unowned"), judged("b", "h", "owned")], atMin: 60, want: [] },
  { name: "a machine, before its own grace of 5 minutes", group: [machine(true)], atMin: 4, graceMin: 1, want: [] },
  { name: "a machine, after it", group: [machine()], atMin: 5, graceMin: 1, want: ["net.vmi.d.vm1"] },
  { name: "a machine, before the grace of all", group: [machine()], atMin: 14, want: [] },
  { name: "a machine, where others are never released", group: [machine()], atMin: 5, graceMin: 0, want: ["net.vmi.d.vm1"] },
  { name: "a grace of 0 means never", group: [judged("a", "h", "unowned")], atMin: 60, graceMin: 0, want: [] },
  { name: "a grace of 0, and the node is gone", group: [judged("a", "h", "unowned", true)], atMin: 60, graceMin: 0, want: ["h"] },
  { name: "a grace of 0, and a node that was never seen: late, not gone", group: [neverSeen], atMin: 14, graceMin: 0, want: [] },
  { name: "a grace of 0, and a node that was never seen, long after", group: [neverSeen], atMin: 15, graceMin: 0, want: ["h"] },
])("dueHandles: $name", ({ group, atMin, graceMin = 15, want }) => {
  const ledger = nextLedger(new Map(), group, 0);
  const due = dueHandles(group, { ledger, nowMs: atMin * 60_000, graceMs: graceMin * 60_000 });
  expect(due.map((d) => d.handle)).toEqual(want);
});

test("nextLedger: an owner that comes back starts the time anew", () => {
  const lost = nextLedger(new Map(), [judged("a", "h", "unowned")], 1);
  expect(nextLedger(lost, [judged("a", "h", "unowned")], 9).get("a")?.sinceMs).toBe(1);
  const back = nextLedger(lost, [judged("a", "h", "owned")], 9);
  expect(back.size).toBe(0);
  expect(nextLedger(back, [judged("a", "h", "unowned")], 12).get("a")?.sinceMs).toBe(12);
});

test.for([
  { name: "no host is gone", gone: {}, want: 450 },
  { name: "one has just gone", gone: { a: 100 }, want: 10 },
  { name: "one went a while ago", gone: { a: 0 }, want: 25 },
  { name: "one went long ago, another just now", gone: { a: -9000, b: 99 }, want: 10 },
  { name: "one went long ago", gone: { a: -9000 }, want: 450 },
])("restMs: $name", ({ gone, want }) => {
  const goneSince = new Map(Object.entries(gone).map(([host, sec]) => [host, sec * 1000]));
  expect(restMs(goneSince, { nowMs: 100_000, periodMs: 450_000 })).toBe(want * 1000);
});
