/** The graph's output depends on what is, never on how it came to be. */
import { aNamespaceProfile, aNode, aPolicy, aPool, anObject } from "@calico/model/testing";
import type { AnyObject } from "@calico/model";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { vxlanMac } from "../src/adapter/vxlan-mac.ts";
import { Graph, applyDelta, emptyProgram, printProgram } from "../src/mod.ts";
import type { Program, ProgramDelta } from "../src/mod.ts";
import { NODE, baseCluster, pod } from "./cluster.ts";
import { expand, transition } from "./expand.ts";
import type { Snapshot } from "./expand.ts";

const base = baseCluster();
const without = (...names: string[]): readonly AnyObject[] => base.filter((o) => !names.some((n) => o.metadata.name.includes(n)));
const relabelled = (name: string, labels: Record<string, string>): AnyObject => {
  const object = pod(name);
  return { ...object, metadata: { ...object.metadata, labels: { ...object.metadata.labels, ...labels } } } as AnyObject;
};
const p1 = aPolicy(
  "p1",
  {
    selector: "app == 'web'",
    ingress: [{ action: "Allow", protocol: "TCP", source: { selector: "app == 'client'" }, destination: { ports: ["http", 80] } }],
  },
  "default",
);
const p1changed = aPolicy(
  "p1",
  {
    selector: "has(app)",
    order: 5,
    ingress: [{ action: "Deny", source: { selector: "app == 'client'" } }, { action: "Allow" }],
    egress: [{ action: "Allow" }],
  },
  "default",
);
const p2 = aPolicy(
  "p2",
  {
    selector: "all()",
    ingress: [{ action: "Pass", source: { selector: "app == 'client'", namespaceSelector: "team == 'b'" } }],
    tier: "sec",
  },
  undefined,
);
const tier = (order: number, defaultAction: string) => anObject("Tier", { name: "sec" }, { order, defaultAction });
const bad = { ...p1, spec: { ...p1.spec, selector: "app = 'web'" } } as unknown as AnyObject;
const block = (cidr: string, node: string) => ({
  block: {
    cidr,
    affinity: `host:${node}`,
    allocations: [null, 0, null, null],
    unallocated: [0, 2, 3],
    attributes: [{ secondary: { node: "node3" } }],
  },
});
/** Of 10.0.0.1, which is web's: who has it, and who is to have it. */
const machines = (active: string | undefined, alternate: string | undefined) => {
  const on = (node: string | undefined): Record<string, string> =>
    node === undefined ? {} : { node, pod: "web", namespace: "default", "vmi-name": "vm1" };
  const { block: b } = block("10.0.0.0/30", "node3");
  return { block: { ...b, attributes: [{ secondary: on(active), alternateOwnerAttrs: on(alternate) }] } };
};
const vxlanNode = (name: string, ip: string, tunnel: string) => aNode(name, ip, { ipv4VXLANTunnelAddr: tunnel });
const pool = (mode: string) => aPool("pods", "10.0.0.0/16", { vxlanMode: mode, natOutgoing: true });
const nodes = [
  vxlanNode("node1", "192.168.81.101/24", "10.0.0.64"),
  vxlanNode("node2", "192.168.81.102/24", "10.0.1.64"),
  vxlanNode("node3", "192.168.82.103/24", "10.0.2.64"),
];
const slice = (addresses: readonly string[]) =>
  ({
    kind: "KubernetesEndpointSlice",
    apiVersion: "projectcalico.org/v3",
    metadata: { name: "s1", namespace: "default", labels: { "kubernetes.io/service-name": "db" } },
    addressType: "IPv4",
    endpoints: addresses.map((a) => ({ addresses: [a] })),
    ports: [{ protocol: "TCP", port: 5432 }],
  }) as unknown as AnyObject;
const toService = aPolicy(
  "svc",
  { selector: "app == 'client'", types: ["Egress"], egress: [{ action: "Allow", destination: { services: { name: "db" } } }] },
  "default",
);

/** Wants the interface of `web`, and sorts before it. */
const claimant = {
  ...pod("web"),
  metadata: { ...pod("web").metadata, name: "node1-k8s-aaa-eth0" },
  spec: { ...(pod("web") as { readonly spec?: object }).spec, ipNetworks: ["10.0.0.77/32"] },
} as unknown as AnyObject;

const SCENARIOS: Readonly<Record<string, readonly Snapshot[]>> = {
  "pods come and go": [base, without("client"), without("web"), base],
  "a policy comes, changes, goes": [base, [...base, p1], [...base, p1changed], base],
  "labels change a selector's members": [
    [...base, p1],
    [...base.map((o) => (o.metadata.name.includes("client") ? relabelled("client", { app: "x" }) : o)), p1],
    [...base, p1],
  ],
  "a namespace's labels change": [
    [...base, p2],
    [...base.map((o) => (o.metadata.name === "kns.other" ? aNamespaceProfile("other", { team: "c" }) : o)), p2],
    [...without("kns.other"), p2],
  ],
  "a tier changes order and default, and is missing": [
    [...base, p1, p2],
    [...base, p1, p2, tier(1, "Deny")],
    [...base, p1, p2, tier(2e6, "Pass")],
    [...base, p2],
  ],
  "a policy is wrong for a while": [
    [...base, p1],
    [...base, bad],
    [...base, p1changed],
  ],
  "profiles go missing": [base, without("kns.default"), without("kns", "ksa")],
  "a network set comes and changes": [
    [
      ...base,
      p1,
      anObject("NetworkSet", { name: "n", namespace: "default", labels: { app: "client" } }, { nets: ["192.0.2.0/24", "10.0.0.2"] }),
    ],
    [...base, p1, anObject("NetworkSet", { name: "n", namespace: "default", labels: { app: "client" } }, { nets: ["198.51.100.0/24"] })],
    [...base, p1],
  ],
  "a pod moves to another node and back": [
    base,
    base.map((o) =>
      o.metadata.name.includes("-client-")
        ? ({ ...o, spec: { ...(o as { readonly spec?: object }).spec, node: "node2" } } as AnyObject)
        : o,
    ),
    base,
  ],
  "two endpoints claim one interface": [base, [...base, claimant], without("-web-"), [...without("-web-"), claimant], [...base, claimant]],
  "a virtual machine arrives, after a move that failed": [
    [...base, machines("node2", undefined)],
    [...base, machines("node2", NODE)],
    [...without("-web-"), machines("node2", undefined)],
    [...base, machines("node2", NODE)],
    [...base, machines(NODE, undefined)],
    base,
  ],
  tunnels: [
    [...base, pool("Always"), ...nodes, block("10.0.1.0/30", "node2"), block("10.0.2.0/30", "node2")],
    [...base, pool("CrossSubnet"), ...nodes, block("10.0.1.0/30", "node2"), block("10.0.2.0/30", "node3")],
    [...base, pool("Never"), ...nodes, block("10.0.1.0/30", "node2")],
    [...base, pool("Always"), nodes[1]!, nodes[2]!, block("10.0.1.0/30", "node3")],
    [
      ...base,
      aPool("pods", "10.0.0.0/16", { ipipMode: "Always" }),
      aNode("node1", "192.168.81.101/24", { bgp: { ipv4Address: "192.168.81.101/24", ipv4IPIPTunnelAddr: "10.0.0.65" } }),
    ],
  ],
  "a service's endpoints": [
    [...base, toService, slice(["10.0.1.9"])],
    [...base, toService, slice(["10.0.1.9", "10.0.1.10"])],
    [...base, slice(["10.0.1.10"])],
    [...base, toService],
  ],
  "service networks": [
    base,
    [...base, anObject("BGPConfiguration", { name: "default" }, { serviceClusterIPs: [{ cidr: "10.96.0.0/12" }] })],
    base,
  ],
};

/** Last object of a key wins, as in a store. */
const asStore = (s: Snapshot): Snapshot => [
  ...new Map(
    s.map((item) => ["block" in item ? item.block.cidr : `${item.kind} ${item.metadata.namespace} ${item.metadata.name}`, item]),
  ).values(),
];

function runStates(states: readonly Snapshot[], flush: "each" | "last"): string {
  const graph = new Graph({ node: NODE, macOf: vxlanMac });
  const program = emptyProgram();
  let at: Snapshot = [];
  for (const [i, state] of states.entries()) {
    for (const event of transition(at, state, i)) graph.update(event);
    at = state;
    if (flush === "last" && i < states.length - 1) continue;
    const delta = graph.flush();
    checkDelta(program, delta);
    applyDelta(program, delta);
  }
  return printProgram(program);
}

/** A delta adds what is not there and removes what is; and asking twice brings nothing. */
function checkDelta(program: Program, delta: ProgramDelta): void {
  for (const { name, add, remove } of delta.sets) {
    const members = program.sets.get(name)?.members ?? new Set();
    expect(
      add.filter((m) => members.has(m)),
      `${name} adds what it has`,
    ).toEqual([]);
    expect(
      remove.filter((m) => !members.has(m)),
      `${name} removes what it has not`,
    ).toEqual([]);
  }
  for (const { family, table, name, chain } of delta.chains) {
    if (chain === undefined) expect(program.chains.get(`${family} ${table}`)?.has(name), `${name} is removed but not there`).toBe(true);
  }
}

const fresh = (state: Snapshot): string => runStates([state], "each");

describe.for(Object.entries(SCENARIOS))("graph: %s", ([, states]) => {
  const stored = states.map(asStore);
  test.for(expand(stored))("$how", ({ states: run, flush }) => {
    if (flush === "last") return expect(runStates(run, "last")).toBe(fresh(run.at(-1)!));
    for (let n = 1; n <= run.length; n++) expect(runStates(run.slice(0, n), "each")).toBe(fresh(run[n - 1]!));
  });
});

test("graph: any walk through any subsets of objects ends where a fresh start ends", () => {
  const objects = [
    ...base,
    p1,
    p1changed,
    p2,
    tier(1, "Deny"),
    ...nodes,
    pool("Always"),
    block("10.0.1.0/30", "node2"),
    toService,
    slice(["10.0.1.9"]),
    bad,
  ];
  const state = fc.subarray(objects).map(asStore);
  fc.assert(
    fc.property(fc.array(state, { minLength: 1, maxLength: 5 }), fc.boolean(), (states, squash) => {
      expect(runStates(states, squash ? "last" : "each")).toBe(fresh(states.at(-1)!));
    }),
    { numRuns: 150 },
  );
});

test("graph: a flush without news brings nothing", () => {
  const graph = new Graph({ node: NODE, macOf: vxlanMac });
  for (const event of transition([], asStore([...base, p1, p2]), 1)) graph.update(event);
  graph.flush();
  expect(graph.flush()).toEqual({ chains: [], hooks: [], sets: [], workloads: [], vteps: [], routes: [] });
  for (const event of transition([], asStore([...base, p1, p2]), 1)) graph.update(event);
  expect(graph.flush()).toEqual({ chains: [], hooks: [], sets: [], workloads: [], vteps: [], routes: [] });
});

test.for([
  { name: "it runs here", block: machines(NODE, undefined), want: ["10.0.0.1/32"] },
  { name: "it is to come here, and runs elsewhere", block: machines("node2", NODE), want: [] },
  { name: "it leaves from here", block: machines(NODE, "node2"), want: ["10.0.0.1/32"] },
  { name: "it was started again elsewhere, and its endpoint is left here", block: machines("node2", undefined), want: [] },
  { name: "an address of no machine, whatever its node", block: block("10.0.0.0/30", "node3"), want: ["10.0.0.1/32"] },
  { name: "its source is gone without a word", block: machines(undefined, NODE), want: ["10.0.0.1/32"] },
])("graph: routes to a virtual machine's pod: $name", ({ block: b, want }) => {
  const graph = new Graph({ node: NODE, macOf: vxlanMac });
  for (const event of transition([], asStore([pod("web"), b]), 1)) graph.update(event);
  expect(graph.flush().workloads.flatMap(({ workload }) => workload?.addresses)).toEqual(want);
});
