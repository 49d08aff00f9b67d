import type { KubeObject } from "@calico/kube-client";
import { expect, test } from "vitest";
import { deriveEndpoints, deriveSlices } from "./endpoints.ts";
import { sameObject } from "./same-object.ts";
import { chooseNode, isWaiting } from "./schedule.ts";

const node = (name: string, o: { ready?: boolean; spec?: object; labels?: Record<string, string> } = {}): KubeObject => ({
  metadata: { name, labels: o.labels ?? {} },
  spec: o.spec ?? {},
  status: { conditions: [{ type: "Ready", status: o.ready === false ? "False" : "True" }] },
});
type PodOptions = { labels?: Record<string, string>; spec?: object; status?: object; metadata?: object };
const pod = (name: string, o: PodOptions = {}): KubeObject => ({
  metadata: { name, namespace: "d", labels: o.labels ?? {}, ...o.metadata },
  spec: o.spec ?? {},
  status: o.status ?? {},
});
const on = (nodeName: string, name: string, labels: Record<string, string> = {}) => pod(name, { labels, spec: { nodeName } });
const choose = (p: KubeObject, nodes: KubeObject[], pods: KubeObject[] = [], assumed: [string, string][] = []) =>
  chooseNode(p, { nodes, pods, assumed: new Map(assumed) });

test.for([
  { name: "the first by name, when all are alike", nodes: [node("b"), node("a")], pods: [], want: "a" },
  { name: "the one with fewer pods", nodes: [node("a"), node("b")], pods: [on("a", "x")], want: "b" },
  {
    name: "replicas spread before load counts",
    nodes: [node("a"), node("b")],
    pods: [on("a", "x", { app: "w" }), on("b", "y"), on("b", "z")],
    want: "b",
  },
  {
    name: "finished pods do not count",
    nodes: [node("a"), node("b")],
    pods: [pod("x", { spec: { nodeName: "a" }, status: { phase: "Succeeded" } })],
    want: "a",
  },
  { name: "not a node that is not ready", nodes: [node("a", { ready: false }), node("b")], pods: [], want: "b" },
  { name: "not a cordoned node", nodes: [node("a", { spec: { unschedulable: true } }), node("b")], pods: [], want: "b" },
  {
    name: "not a tainted node",
    nodes: [node("a", { spec: { taints: [{ key: "k", effect: "NoSchedule" }] } }), node("b")],
    pods: [],
    want: "b",
  },
  { name: "none", nodes: [node("a", { ready: false })], pods: [], want: undefined },
])("chooseNode: $name", ({ nodes, pods, want }) => expect(choose(pod("p", { labels: { app: "w" } }), nodes, pods)).toBe(want));

test("chooseNode: nodeSelector, tolerations, and bindings that are not seen yet", () => {
  const zoned = [node("a"), node("b", { labels: { zone: "z" } })];
  expect(choose(pod("p", { spec: { nodeSelector: { zone: "z" } } }), zoned)).toBe("b");
  const tainted = [node("a", { spec: { taints: [{ key: "k", value: "v", effect: "NoSchedule" }] } })];
  expect(choose(pod("p", { spec: { tolerations: [{ key: "k", operator: "Equal", value: "v" }] } }), tainted)).toBe("a");
  expect(choose(pod("p"), [node("a"), node("b")], [pod("x")], [["d/x", "a"]])).toBe("b");
});

test.for([
  { name: "a new pod", p: pod("p"), want: true },
  { name: "a bound one", p: on("a", "p"), want: false },
  { name: "one that goes", p: pod("p", { metadata: { deletionTimestamp: "t" } }), want: false },
  { name: "another scheduler's", p: pod("p", { spec: { schedulerName: "other" } }), want: false },
])("isWaiting: $name", ({ p, want }) => expect(isWaiting(p)).toBe(want));

const service = (spec: object): KubeObject => ({
  metadata: { name: "web", namespace: "d", uid: "u" },
  spec: { selector: { app: "w" }, ports: [{ name: "http", port: 80, targetPort: "web" }], ...spec },
});
const backend = (
  name: string,
  ip: string,
  o: { port?: number; ready?: boolean; metadata?: object; labels?: Record<string, string>; phase?: string } = {},
) =>
  pod(name, {
    labels: o.labels ?? { app: "w" },
    metadata: o.metadata ?? {},
    spec: { nodeName: "n1", containers: [{ ports: [{ name: "web", containerPort: o.port ?? 8080 }] }] },
    status: { podIP: ip, phase: o.phase ?? "Running", conditions: [{ type: "Ready", status: o.ready === false ? "False" : "True" }] },
  });
type Slice = { ports: { port: number }[]; endpoints: { addresses: string[]; conditions: { ready: boolean; terminating: boolean } }[] };
const show = (slices: readonly KubeObject[]) =>
  slices.map((s) => {
    const { ports, endpoints } = s as unknown as Slice;
    return `${s.metadata.name}:${ports.map((p) => p.port).join()} ${endpoints.map((e) => e.addresses.join() + (e.conditions.ready ? "" : "!") + (e.conditions.terminating ? "~" : "")).join(" ")}`.trim();
  });

test.for<{ name: string; spec: object; pods: KubeObject[]; want: string[] }>([
  { name: "nobody", spec: {}, pods: [], want: ["web-0:"] },
  {
    name: "ready and not",
    spec: {},
    pods: [backend("b", "1.1.1.2", { ready: false }), backend("a", "1.1.1.1")],
    want: ["web-0:8080 1.1.1.1 1.1.1.2!"],
  },
  {
    name: "one that goes",
    spec: {},
    pods: [backend("a", "1.1.1.1", { metadata: { deletionTimestamp: "t" } })],
    want: ["web-0:8080 1.1.1.1!~"],
  },
  {
    name: "not the others, the finished, those without an address",
    spec: {},
    pods: [backend("a", "1.1.1.1", { labels: {} }), backend("b", "1.1.1.2", { phase: "Failed" }), backend("c", "")],
    want: ["web-0:"],
  },
  {
    name: "a name that means two ports makes two slices",
    spec: {},
    pods: [backend("a", "1.1.1.1", { port: 81 }), backend("b", "1.1.1.2", { port: 80 })],
    want: ["web-0:80 1.1.1.2", "web-1:81 1.1.1.1"],
  },
  {
    name: "a name that no container has",
    spec: { ports: [{ port: 80, targetPort: "nope" }] },
    pods: [backend("a", "1.1.1.1")],
    want: ["web-0:"],
  },
  {
    name: "a number needs no name",
    spec: { ports: [{ port: 80, targetPort: 9 }] },
    pods: [backend("a", "1.1.1.1")],
    want: ["web-0:9 1.1.1.1"],
  },
  {
    name: "headless, not ready but published",
    spec: { ports: [], publishNotReadyAddresses: true },
    pods: [backend("a", "1.1.1.1", { ready: false })],
    want: ["web-0: 1.1.1.1"],
  },
  {
    name: "a hundred per slice",
    spec: {},
    pods: Array.from({ length: 101 }, (_, i) => backend(`p${String(i).padStart(3, "0")}`, `1.1.1.${i}`)),
    want: [expect.stringMatching(/^web-0:8080 /), "web-1:8080 1.1.1.100"],
  },
])("deriveSlices: $name", ({ spec, pods, want }) => expect(show(deriveSlices(service(spec), pods))).toEqual(want));

test("deriveEndpoints: ready and not ready apart", () => {
  const got = deriveEndpoints(service({}), [backend("a", "1.1.1.1"), backend("b", "1.1.1.2", { ready: false })]);
  expect(got["subsets"]).toMatchObject([
    { addresses: [{ ip: "1.1.1.1" }], notReadyAddresses: [{ ip: "1.1.1.2" }], ports: [{ name: "http", port: 8080, protocol: "TCP" }] },
  ]);
});

test("sameObject: what the server adds does not count, content does", () => {
  const [wanted] = deriveSlices(service({}), [backend("a", "1.1.1.1")]);
  if (wanted === undefined) throw new Error("no slice");
  const there = { ...wanted, metadata: { ...wanted.metadata, uid: "x", resourceVersion: "1", creationTimestamp: "t" } };
  expect(sameObject(there, wanted)).toBe(true);
  expect(sameObject({ ...there, endpoints: [] }, wanted)).toBe(false);
  expect(sameObject({ ...there, metadata: { ...there.metadata, labels: {} } }, wanted)).toBe(false);
});
