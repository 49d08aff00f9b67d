import { API_VERSION, parseResource, type Resource, type WorkloadEndpoint } from "@calico/model";
import { expect, test } from "vitest";
import { nodeFacts } from "./facts.ts";
import { syncNode } from "./node-sync.ts";
import { labelEndpoint, podOfEndpoint } from "./pod-labels.ts";
import { profileOfNamespace, profileOfServiceAccount } from "./profiles.ts";
import { sameContent } from "./same-content.ts";
import { mirrorEndpointSlice, mirrorService } from "./service-mirror.ts";

function parsed<K extends "WorkloadEndpoint" | "Node">(kind: K, o: object): Resource<K> {
  const got = parseResource(kind, { apiVersion: API_VERSION, kind, ...o });
  if (!got.ok) throw new Error(JSON.stringify(got.error));
  return got.value;
}

test("profileOfNamespace: allows, and gives its labels to its pods", () => {
  expect(profileOfNamespace({ namespace: "", name: "shop", labels: { team: "a" } })).toMatchObject({
    object: {
      metadata: { name: "kns.shop" },
      spec: {
        ingress: [{ action: "Allow" }],
        egress: [{ action: "Allow" }],
        labelsToApply: { "pcns.team": "a", "pcns.projectcalico.org/name": "shop" },
      },
    },
  });
});

test("profileOfServiceAccount: labels only", () => {
  const got = profileOfServiceAccount({ namespace: "shop", name: "bot", labels: { x: "y" } });
  expect(got).toMatchObject({ object: { metadata: { name: "ksa.shop.bot" } } });
  expect(got.kind === "wanted" && got.object.spec).toEqual({ labelsToApply: { "pcsa.x": "y", "pcsa.projectcalico.org/name": "bot" } });
});

const endpoint = (labels: object, account?: string) =>
  parsed("WorkloadEndpoint", {
    metadata: { name: "n1-k8s-web--1-eth0", namespace: "shop", labels, resourceVersion: "9" },
    spec: { node: "n1", pod: "web-1", ...(account === undefined ? {} : { serviceAccountName: account }) },
  });
const system = { "projectcalico.org/namespace": "shop", "projectcalico.org/orchestrator": "k8s" };
const pod = { namespace: "shop", name: "web-1", labels: { app: "web" }, serviceAccount: "bot" };
const show = (w: WorkloadEndpoint | undefined) => w && { labels: w.metadata.labels, account: w.spec.serviceAccountName };

test.for([
  {
    name: "labels come, old ones go",
    wep: endpoint({ old: "1", ...system }),
    pod,
    want: { labels: { app: "web", ...system, "projectcalico.org/serviceaccount": "bot" }, account: "bot" },
  },
  {
    name: "nothing to do",
    wep: endpoint({ app: "web", ...system, "projectcalico.org/serviceaccount": "bot" }, "bot"),
    pod,
    want: undefined,
  },
  {
    name: "an account name that is no label value is in the spec only",
    wep: endpoint({}),
    pod: { ...pod, serviceAccount: "b".repeat(64) },
    want: { labels: { app: "web", ...system }, account: "b".repeat(64) },
  },
  { name: "an unknown pod changes nothing", wep: endpoint({ old: "1" }), pod: undefined, want: undefined },
])("labelEndpoint: $name", ({ wep, pod: p, want }) => expect(show(labelEndpoint(wep, p))).toEqual(want));

test.for([
  { name: "n1-k8s-web--1-eth0", want: "shop/web-1" },
  { name: "n1-cni-abc-eth0", want: undefined },
  { name: "nonsense", want: undefined },
])("podOfEndpoint: $name", ({ name, want }) => expect(podOfEndpoint("shop", name)).toBe(want));

const node = (labels: object, o: { tracked?: string; refs?: object[] } = {}) =>
  parsed("Node", {
    metadata: {
      name: "n1",
      labels,
      creationTimestamp: "2026-01-01T00:00:00Z",
      annotations: o.tracked === undefined ? {} : { "projectcalico.org/kube-labels": o.tracked },
    },
    spec: { orchRefs: o.refs ?? [{ nodeName: "n1", orchestrator: "k8s" }] },
  });
const kube = (labels: Record<string, string>, podCidrs: readonly string[] = []) => ({ namespace: "", name: "n1", labels, podCidrs });

test.for([
  {
    name: "labels are added, and tracked in order",
    node: node({ mine: "1" }),
    kube: kube({ b: "2", a: "1" }),
    want: '{"mine":"1","b":"2","a":"1"} {"a":"1","b":"2"}',
  },
  {
    name: "a person's labels stay, tracked ones that are gone go",
    node: node({ mine: "1", old: "x" }, { tracked: '{"old":"x"}' }),
    kube: kube({}),
    want: '{"mine":"1"} {}',
  },
  { name: "Kubernetes wins", node: node({ a: "mine" }), kube: kube({ a: "1" }), want: '{"a":"1"} {"a":"1"}' },
  { name: "in line", node: node({ a: "1" }, { tracked: '{"a":"1"}' }), kube: kube({ a: "1" }), want: "nothing" },
  {
    name: "a broken annotation takes nothing away",
    node: node({ mine: "1" }, { tracked: "{" }),
    kube: kube({}),
    want: '{"mine":"1"} {}',
  },
  { name: "not Kubernetes' node", node: node({}, { refs: [] }), kube: undefined, want: "nothing" },
  { name: "its Kubernetes node is gone: the collector's work", node: node({}), kube: undefined, want: "nothing" },
])("syncNode: $name", ({ node: n, kube: k, want }) => {
  const next = syncNode(n, k);
  const text = next && `${JSON.stringify(next.metadata.labels)} ${next.metadata.annotations?.["projectcalico.org/kube-labels"]}`;
  expect(text ?? "nothing").toBe(want);
});

test("syncNode: the pod CIDRs follow, beside what else the status says; none takes nothing away", () => {
  const before = { ...node({}, { tracked: "{}" }), status: { wireguardPublicKey: "k" } };
  const next = syncNode(before, kube({}, ["10.65.3.0/24", "fd00::/64"]));
  expect(next?.status).toEqual({ wireguardPublicKey: "k", podCIDRs: ["10.65.3.0/24", "fd00::/64"] });
  expect(next && syncNode(next, kube({}, ["10.65.3.0/24", "fd00::/64"]))).toBeUndefined();
  expect(next && syncNode(next, kube({}))).toBeUndefined();
});

test("nodeFacts: both of Kubernetes' fields", () => {
  const of = (spec: object) => nodeFacts({ metadata: { name: "n1" }, spec }).podCidrs;
  expect([of({ podCIDR: "10.0.0.0/24" }), of({ podCIDR: "10.0.0.0/24", podCIDRs: ["10.0.0.0/24", "fd00::/64"] }), of({})]).toEqual([
    ...[["10.0.0.0/24"], ["10.0.0.0/24", "fd00::/64"], []],
  ]);
});

const raw = (body: Record<string, unknown>, labels = {}, annotations = {}) => ({ namespace: "d", name: "web", labels, annotations, body });

test("mirrorService: what NAT needs, and nothing else", () => {
  const got = mirrorService(
    raw({
      spec: {
        clusterIP: "10.96.0.7",
        selector: { a: "b" },
        ipFamilies: ["IPv4"],
        ports: [{ port: 80, targetPort: "http", appProtocol: "x", nodePort: null }],
      },
    }),
  );
  expect(got.kind === "wanted" && got.object).toEqual({
    kind: "KubernetesService",
    metadata: { namespace: "d", name: "web" },
    spec: { clusterIP: "10.96.0.7", ports: [{ port: 80, targetPort: "http" }] },
  });
  expect(mirrorService(raw({ spec: { type: "ExternalName" } }))).toEqual({ kind: "unwanted" });
});

test("mirrorService: the marks that make a Service somebody else's go with it, other labels and annotations do not", () => {
  const labels = { "service.kubernetes.io/service-proxy-name": "other", app: "x" };
  const annotations = { "projectcalico.org/natExcludeService": "true", note: "y" };
  expect(mirrorService(raw({ spec: {} }, labels, annotations))).toMatchObject({
    object: {
      metadata: {
        namespace: "d",
        name: "web",
        labels: { "service.kubernetes.io/service-proxy-name": "other" },
        annotations: { "projectcalico.org/natExcludeService": "true" },
      },
    },
  });
});

test("mirrorEndpointSlice: with its service's label; a slice of no service is not there", () => {
  const label = { "kubernetes.io/service-name": "web" };
  const endpoints = [
    { addresses: ["1.1.1.1"], conditions: { ready: true }, zone: "z", targetRef: { kind: "Pod", name: "p", namespace: "d", uid: "u" } },
  ];
  const got = mirrorEndpointSlice(
    raw({ addressType: "IPv4", endpoints, ports: [{ name: "", port: 80, protocol: "TCP" }] }, { ...label, other: "x" }),
  );
  expect(got.kind === "wanted" && got.object).toEqual({
    kind: "KubernetesEndpointSlice",
    metadata: { namespace: "d", name: "web", labels: label },
    addressType: "IPv4",
    endpoints: [{ addresses: ["1.1.1.1"], conditions: { ready: true }, targetRef: { kind: "Pod", name: "p", namespace: "d" } }],
    ports: [{ name: "", port: 80, protocol: "TCP" }],
  });
  expect(mirrorEndpointSlice(raw({ addressType: "IPv4" }))).toEqual({ kind: "unwanted" });
});

test("sameContent: identity, key order and the tier label do not count; labels and spec do", () => {
  const a = {
    kind: "X",
    metadata: { name: "a", uid: "1", labels: { "projectcalico.org/tier": "default" } },
    spec: { a: 1, b: { c: undefined } },
  };
  const b = { spec: { b: {}, a: 1 }, metadata: { name: "a", resourceVersion: "7" }, kind: "X" };
  expect(sameContent(a, b)).toBe(true);
  expect(sameContent(a, { ...b, spec: { a: 2 } })).toBe(false);
  expect(sameContent(a, { ...b, metadata: { labels: { x: "y" } } })).toBe(false);
});
