import { expect, test } from "vitest";
import type { ApiObject } from "./api-object.ts";
import { planDelete } from "./deletion.ts";
import { kindNamed } from "./kinds.ts";
import { decodeContinue, encodeContinue } from "./paging.ts";
import { parseObject, prepareCreate, prepareUpdate, updateProblems, withGeneration } from "./prepare.ts";
import { parseShape, parseTarget } from "./request.ts";
import { printAge, renderTable } from "./table.ts";
import { problemsOf } from "./validate.ts";

const facts = { namespace: "d", now: "2026-01-01T00:00:00Z", uid: "u", suffix: "abcde" };
const pod = (o: { spec?: object; metadata?: object; status?: object } = {}): ApiObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "p", namespace: "d", ...o.metadata },
  spec: { containers: [{ name: "c", image: "i" }], ...o.spec },
  ...(o.status === undefined ? {} : { status: o.status }),
});

test.for([
  { path: "/api/v1/pods", want: "Pod all" },
  { path: "/api/v1/namespaces/d/pods/p/status", want: "Pod d p status" },
  { path: "/api/v1/namespaces/d", want: "Namespace all d" },
  { path: "/api/v1/namespaces/d/finalize", want: "Namespace all d finalize" },
  { path: "/apis/discovery.k8s.io/v1beta1/namespaces/d/endpointslices", want: "EndpointSlice d" },
  { path: "/apis/networking.k8s.io/v1", want: "none" },
  { path: "/healthz", want: "none" },
  { path: "/api/v1/widgets", want: "404" },
  { path: "/apis/apps/v1/deployments", want: "404" },
  { path: "/api/v1/pods/p", want: "404" },
  { path: "/api/v1/namespaces/d/pods/p/status/x", want: "404" },
  { path: "/api/v1/namespaces/%zz/pods", want: "400" },
])("parseTarget: $path is $want", ({ path, want }) => {
  const show = () => {
    const t = parseTarget(path);
    return t === undefined ? "none" : [t.kind.kind, t.namespace ?? "all", t.name, t.sub].filter((s) => s !== undefined).join(" ");
  };
  if (/^\d/.test(want)) expect(show).toThrow(expect.objectContaining({ status: expect.objectContaining({ code: Number(want) }) }));
  else expect(show()).toBe(want);
});

test.for([
  { accept: undefined, want: "object" },
  { accept: "*/*", want: "object" },
  { accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", want: "table" },
  { accept: "application/vnd.kubernetes.protobuf,application/json", want: "object" },
  { accept: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", want: "metadata" },
  { accept: "text/html", want: "406" },
])("parseShape: $accept is $want", ({ accept, want }) => {
  if (want === "406") expect(() => parseShape(accept, null)).toThrow(/media types are accepted/);
  else expect(parseShape(accept, null).as).toBe(want);
});

test.for([
  { name: "unbound", object: pod(), grace: undefined, want: "remove" },
  { name: "bound", object: pod({ spec: { nodeName: "n" } }), grace: undefined, want: "mark 30" },
  {
    name: "bound, its own grace",
    object: pod({ spec: { nodeName: "n", terminationGracePeriodSeconds: 5 } }),
    grace: undefined,
    want: "mark 5",
  },
  { name: "bound, grace 0", object: pod({ spec: { nodeName: "n" } }), grace: 0, want: "remove" },
  { name: "finished", object: pod({ spec: { nodeName: "n" }, status: { phase: "Failed" } }), grace: undefined, want: "remove" },
  {
    name: "going already",
    object: pod({ spec: { nodeName: "n" }, metadata: { deletionTimestamp: "x", deletionGracePeriodSeconds: 30 } }),
    grace: 30,
    want: "nothing",
  },
  {
    name: "going, but sooner",
    object: pod({ spec: { nodeName: "n" }, metadata: { deletionTimestamp: "x", deletionGracePeriodSeconds: 30 } }),
    grace: 1,
    want: "mark 1",
  },
  { name: "with a finalizer", object: pod({ metadata: { finalizers: ["f"] } }), grace: 0, want: "mark 0" },
  {
    name: "a namespace",
    object: { apiVersion: "v1", kind: "Namespace", metadata: { name: "x" }, spec: { finalizers: ["kubernetes"] } },
    grace: undefined,
    want: "mark 0",
  },
])("planDelete: $name", ({ object, grace, want }) => {
  const plan = planDelete(object, { graceSec: grace, nowMs: 0 });
  expect([plan.do, plan.next?.metadata.deletionGracePeriodSeconds].filter((s) => s !== undefined).join(" ")).toBe(want);
});

test("prepareCreate: identity, defaults; a pod's status is not the client's", () => {
  const sent = parseObject(
    kindNamed("Pod"),
    { metadata: { generateName: "web-" }, spec: { containers: [{ name: "c", image: "nginx:1" }] }, status: { phase: "Running" } },
    "d",
  );
  const made = prepareCreate(kindNamed("Pod"), sent, facts);
  expect(made.metadata).toEqual({
    name: "web-abcde",
    generateName: "web-",
    namespace: "d",
    uid: "u",
    creationTimestamp: facts.now,
    generation: 1,
  });
  expect(made["status"]).toEqual({ phase: "Pending", qosClass: "BestEffort" });
  expect(made["spec"]).toMatchObject({
    restartPolicy: "Always",
    serviceAccountName: "default",
    containers: [{ imagePullPolicy: "IfNotPresent" }],
  });
});

test.for([
  { name: "another kind", body: { kind: "Node" }, want: /kind is "Node", this path takes Pod/ },
  { name: "another version", body: { apiVersion: "v2" }, want: /apiVersion is "v2"/ },
  { name: "another namespace", body: { metadata: { namespace: "x" } }, want: /does not match the namespace sent/ },
  { name: "no object", body: [], want: /not an object/ },
])("parseObject: refuses $name", ({ body, want }) => expect(() => parseObject(kindNamed("Pod"), body, "d")).toThrow(want));

test("prepareUpdate: the main path leaves status alone, the status path everything else", () => {
  const old = pod({ status: { phase: "Pending" }, metadata: { uid: "u", creationTimestamp: "t", generation: 1 } });
  const next = pod({
    status: { phase: "Running" },
    metadata: { uid: "forged", labels: { a: "b" } },
    spec: { terminationGracePeriodSeconds: 1 },
  });
  const main = withGeneration(old, prepareUpdate(kindNamed("Pod"), old, next, undefined));
  expect(main).toMatchObject({
    metadata: { uid: "u", generation: 2, labels: { a: "b" } },
    status: { phase: "Pending" },
    spec: { terminationGracePeriodSeconds: 1 },
  });
  const status = prepareUpdate(kindNamed("Pod"), old, next, "status");
  expect(status).toMatchObject({ metadata: { uid: "u", generation: 1, labels: { a: "b" } }, status: { phase: "Running" } });
  expect(status["spec"]).toEqual(old["spec"]);
});

test("updateProblems: a pod's image may change, its node may not", () => {
  const image = (i: string) => pod({ spec: { containers: [{ name: "c", image: i }] } });
  expect(updateProblems(image("a"), image("b"))).toEqual([]);
  expect(updateProblems(pod(), pod({ spec: { nodeName: "n" } }))).toMatchObject([{ field: "spec", reason: "FieldValueForbidden" }]);
});

const service = (o: { name?: string; spec?: object }): ApiObject => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: o.name ?? "s" },
  spec: { ports: [{ port: 80, protocol: "TCP" }], ...o.spec },
});
test.for<{ name: string; object: ApiObject; want: string }>([
  { name: "a good pod", object: pod(), want: "" },
  { name: "a bad name", object: pod({ metadata: { name: "A_b" } }), want: "metadata.name" },
  { name: "a bad label", object: pod({ metadata: { labels: { "a b": "c", ok: "-" } } }), want: "metadata.labels metadata.labels" },
  { name: "no containers", object: pod({ spec: { containers: [] } }), want: "spec.containers" },
  {
    name: "twice the same container",
    object: pod({
      spec: {
        containers: [
          { name: "c", image: "i" },
          { name: "c", image: "i" },
        ],
      },
    }),
    want: "spec.containers[1].name",
  },
  { name: "a service that begins with a digit", object: service({ name: "1s" }), want: "metadata.name" },
  { name: "a service without ports", object: service({ spec: { ports: [] } }), want: "spec.ports" },
  { name: "headless without ports", object: service({ spec: { clusterIP: "None", ports: [] } }), want: "" },
  {
    name: "several ports need names",
    object: service({
      spec: {
        ports: [
          { port: 1, protocol: "TCP" },
          { port: 2, protocol: "TCP", name: "b" },
        ],
      },
    }),
    want: "spec.ports[0].name",
  },
  {
    name: "a port out of range",
    object: service({ spec: { ports: [{ port: 0, protocol: "ICMP" }] } }),
    want: "spec.ports[0].port spec.ports[0].protocol",
  },
])("problemsOf: $name", ({ object, want }) =>
  expect(
    problemsOf(kindNamed(object.kind), object)
      .map((p) => p.field)
      .join(" "),
  ).toBe(want),
);

test.for([
  { sec: 0, want: "0s" },
  { sec: 119, want: "119s" },
  { sec: 120, want: "2m" },
  { sec: 125, want: "2m5s" },
  { sec: 3600, want: "60m" },
  { sec: 3 * 3600 + 60, want: "3h1m" },
  { sec: 30 * 3600, want: "30h" },
  { sec: 72 * 3600, want: "3d" },
])("printAge: $sec s is $want", ({ sec, want }) =>
  expect(printAge("2026-01-01T00:00:00Z", Date.parse("2026-01-01T00:00:00Z") + sec * 1000)).toBe(want),
);

test("renderTable: cells, wide columns, and the object that was asked for", () => {
  const running = pod({
    spec: { nodeName: "n1" },
    status: { phase: "Running", podIP: "1.1.1.1", containerStatuses: [{ ready: true, restartCount: 2 }] },
  });
  const table = renderTable("Pod", [running], { nowMs: 0, include: "None", version: "v1", listMetadata: {}, header: true }) as {
    rows: { cells: unknown[] }[];
    columnDefinitions: { priority: number }[];
  };
  expect(table.rows[0]?.cells).toEqual(["p", "1/1", "Running", 2, "<unknown>", "1.1.1.1", "n1", "<none>", "<none>"]);
  expect(table.columnDefinitions.map((c) => c.priority)).toEqual([0, 0, 0, 0, 0, 1, 1, 1, 1]);
});

test("encodeContinue, decodeContinue: round trip; a made-up token is 400", () => {
  const place = { revision: 7, after: "/registry/pods/dé/x" };
  expect(decodeContinue(encodeContinue(place))).toEqual(place);
  expect(() => decodeContinue("abc")).toThrow(/not issued by this server/);
});
