import { makeFakeStore } from "@calico/datastore/testing";
import { parseCidr } from "@calico/model";
import { expect, test } from "vitest";
import { ApiError } from "../domain/api-error.ts";
import { type ApiAnswer, makeApi } from "./api.ts";
import { bootstrap, keepBootstrapped } from "./bootstrap.ts";
import { expireEvents } from "./expire-events.ts";
import { makeRegistry } from "./registry.ts";

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- a test looks into JSON of many shapes
type Any = any;
type Body = { metadata: { name: string; resourceVersion: string; uid: string; continue?: string; [k: string]: unknown }; [k: string]: Any };

async function world() {
  const store = makeFakeStore();
  const cidr = parseCidr("10.96.0.0/12");
  if (!cidr.ok) throw new Error(cidr.error);
  let count = 0;
  const time = { now: Date.parse("2026-01-01T00:00:00Z") };
  const ports = {
    store,
    clock: () => new Date(time.now),
    uid: () => `uid-${++count}`,
    suffix: () => `s${++count}`,
    serviceCidr: cidr.value,
  };
  const registry = makeRegistry(ports);
  await bootstrap(ports, registry, { ip: "192.168.81.100", port: 6443 });
  const handle = makeApi(ports, registry, { address: "x:1", bookmarkMs: 20 });
  const signal = new AbortController();
  const call = async (method: string, url: string, body?: unknown, type?: string): Promise<ApiAnswer> => {
    const { pathname, searchParams } = new URL(url, "http://x");
    const text = body === undefined ? "" : typeof body === "string" ? body : JSON.stringify(body);
    return handle({
      method,
      path: pathname,
      query: searchParams,
      accept: "application/json",
      contentType: type ?? "application/json",
      body: text,
      signal: signal.signal,
    });
  };
  const ok = async (method: string, url: string, body?: unknown, type?: string): Promise<Body> => {
    const answer = await call(method, url, body, type);
    if (answer.kind !== "json") throw new Error(`expected JSON, got ${answer.kind}`);
    return answer.body as Body;
  };
  /** `code reason` of the failure. */
  const refused = (method: string, url: string, body?: unknown, type?: string) =>
    call(method, url, body, type).then(
      () => "accepted",
      (e: unknown) => {
        if (!(e instanceof ApiError)) throw e;
        return `${e.status.code} ${e.status.reason}: ${e.status.message}`;
      },
    );
  /** Start a watch; `take(n)` gives `TYPE name` of the next n events. */
  const watch = async (url: string) => {
    const answer = await call("GET", url);
    if (answer.kind !== "stream") throw new Error("expected a stream");
    const events = answer.events[Symbol.asyncIterator]();
    return async (n: number) => {
      const got: string[] = [];
      while (got.length < n) {
        const next = await events.next();
        if (next.done) return [...got, "end"];
        const { type, object } = next.value as { type: string; object: Body };
        got.push(`${type} ${type === "ERROR" ? object["code"] : (object.metadata.name ?? "")}`.trim());
      }
      return got;
    };
  };
  return { store, ports, registry, call, ok, refused, watch, time };
}

const PODS = "/api/v1/namespaces/default/pods";
const pod = (name: string, o: { labels?: object; spec?: object } = {}) => ({
  metadata: { name, labels: o.labels ?? {} },
  spec: { containers: [{ name: "c", image: "i" }], ...o.spec },
});
const SERVICES = "/api/v1/namespaces/default/services";
const service = (name: string, spec: object = {}) => ({ metadata: { name }, spec: { ports: [{ port: 80 }], ...spec } });

test("bootstrap: namespaces and the Service kubernetes; again it changes nothing", async () => {
  const { store, ports, registry, ok } = await world();
  expect((await ok("GET", "/api/v1/namespaces"))["items"].map((n: Body) => n.metadata.name)).toEqual(["default", "kube-system"]);
  expect((await ok("GET", `${SERVICES}/kubernetes`))["spec"]).toMatchObject({ clusterIP: "10.96.0.1" });
  const before = store.revision;
  await bootstrap(ports, registry, { ip: "192.168.81.100", port: 6443 });
  expect(store.revision).toBe(before);
});

test("keepBootstrapped: the Service kubernetes comes back", async () => {
  const { ports, registry, ok } = await world();
  const stop = new AbortController();
  const keeping = keepBootstrapped(ports, registry, { advertised: { ip: "192.168.81.100", port: 6443 }, signal: stop.signal });
  await ok("DELETE", `${SERVICES}/kubernetes`);
  const address = () =>
    ok("GET", `${SERVICES}/kubernetes`).then(
      (s) => s.spec.clusterIP,
      () => "none",
    );
  await expect.poll(address).toBe("10.96.0.1");
  stop.abort();
  await keeping;
});

test("create: twice is 409; without namespace 404; into a namespace that goes 403", async () => {
  const { ok, refused } = await world();
  expect((await ok("POST", PODS, pod("a"))).metadata).toMatchObject({
    name: "a",
    namespace: "default",
    uid: expect.any(String),
    resourceVersion: expect.any(String),
  });
  expect(await refused("POST", PODS, pod("a"))).toBe('409 AlreadyExists: pods "a" already exists');
  expect(await refused("POST", "/api/v1/namespaces/nope/pods", pod("a"))).toBe('404 NotFound: namespaces "nope" not found');
  await ok("POST", "/api/v1/namespaces", { metadata: { name: "x" } });
  expect(await ok("DELETE", "/api/v1/namespaces/x")).toMatchObject({ status: { phase: "Terminating" } });
  expect(await refused("POST", "/api/v1/namespaces/x/pods", pod("a"))).toMatch(/^403 Forbidden: .*being terminated/);
  expect(await ok("PUT", "/api/v1/namespaces/x/finalize", { metadata: { name: "x" }, spec: { finalizers: [] } })).toMatchObject({
    metadata: { name: "x" },
  });
  expect(await refused("GET", "/api/v1/namespaces/x")).toMatch(/^404/);
});

test.for([
  { name: "no JSON", method: "POST", url: PODS, body: "{", want: /^400 BadRequest: the object provided is unrecognized/ },
  { name: "another media type", method: "POST", url: PODS, body: "a: b", type: "application/yaml", want: /^415 UnsupportedMediaType/ },
  {
    name: "server-side apply",
    method: "PATCH",
    url: `${PODS}/a`,
    body: "{}",
    type: "application/apply-patch+yaml",
    want: /^415 .*use kubectl apply without --server-side/,
  },
  { name: "pod logs", method: "GET", url: `${PODS}/a/log`, want: /^501 NotImplemented: pods\/log/ },
  { name: "a dry run", method: "POST", url: `${PODS}?dryRun=All`, body: pod("a"), want: /^400 .*--dry-run=client/ },
  { name: "a bad selector", method: "GET", url: `${PODS}?labelSelector=a+b`, want: /^400 BadRequest: unable to parse requirement/ },
  { name: "PUT of a collection", method: "PUT", url: PODS, body: {}, want: /^405/ },
  {
    name: "no containers",
    method: "POST",
    url: PODS,
    body: { metadata: { name: "a" } },
    want: /^422 Invalid: Pod "a" is invalid: spec.containers: Required value/,
  },
  { name: "no name", method: "POST", url: PODS, body: {}, want: /^400 BadRequest: name or generateName is required/ },
])("refused: $name", async ({ method, url, body, type, want }) => {
  const { refused } = await world();
  expect(await refused(method, url, body, type)).toMatch(want);
});

test("update: an old resourceVersion is 409, none wins; nothing changed writes nothing", async () => {
  const { ok, refused, store } = await world();
  const first = await ok("POST", PODS, pod("a"));
  const second = await ok("PUT", `${PODS}/a`, { ...first, metadata: { ...first.metadata, labels: { v: "1" } } });
  expect(await refused("PUT", `${PODS}/a`, { ...first, metadata: { ...first.metadata, labels: { v: "2" } } })).toMatch(
    /^409 Conflict: Operation cannot be fulfilled on pods "a": the object has been modified/,
  );
  const before = store.revision;
  expect((await ok("PUT", `${PODS}/a`, second)).metadata.resourceVersion).toBe(second.metadata.resourceVersion);
  expect(store.revision).toBe(before);
  const { resourceVersion: _v, ...metadata } = second.metadata;
  expect(await ok("PUT", `${PODS}/a`, { ...second, metadata: { ...metadata, labels: { v: "3" } } })).toMatchObject({
    metadata: { labels: { v: "3" } },
  });
  expect(await refused("PUT", `${PODS}/a`, { ...second, spec: { ...second["spec"], nodeName: "n" } })).toMatch(/^409|^422 Invalid/);
});

test("patch: the three types, status apart, a stale resourceVersion in the patch is 409", async () => {
  const { ok, refused } = await world();
  const first = await ok("POST", PODS, pod("a", { labels: { a: "1" } }));
  const strategic = "application/strategic-merge-patch+json";
  expect(await ok("PATCH", `${PODS}/a`, { spec: { containers: [{ name: "c", image: "j" }] } }, strategic)).toMatchObject({
    spec: { containers: [{ name: "c", image: "j" }] },
  });
  expect(
    (await ok("PATCH", `${PODS}/a`, { metadata: { labels: { a: null, b: "2" } } }, "application/merge-patch+json")).metadata["labels"],
  ).toEqual({ b: "2" });
  expect(
    (await ok("PATCH", `${PODS}/a`, [{ op: "add", path: "/metadata/labels/c", value: "3" }], "application/json-patch+json")).metadata[
      "labels"
    ],
  ).toEqual({ b: "2", c: "3" });
  const status = { status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }] } };
  expect(await ok("PATCH", `${PODS}/a`, status, strategic)).toMatchObject({ status: { phase: "Pending" } });
  expect(await ok("PATCH", `${PODS}/a/status`, status, strategic)).toMatchObject({ status: { phase: "Running", qosClass: "BestEffort" } });
  expect(
    await refused("PATCH", `${PODS}/a`, { metadata: { resourceVersion: first.metadata.resourceVersion, labels: { d: "4" } } }, strategic),
  ).toMatch(/^409 Conflict/);
  expect(await refused("PATCH", `${PODS}/none`, {}, strategic)).toMatch(/^404/);
});

test("binding: once; delete of a bound pod waits for grace 0", async () => {
  const { ok, refused } = await world();
  await ok("POST", PODS, pod("a"));
  expect(await ok("POST", `${PODS}/a/binding`, { target: { name: "n1" } })).toMatchObject({ status: "Success", code: 201 });
  expect(await refused("POST", `${PODS}/a/binding`, { target: { name: "n2" } })).toMatch(/^409 Conflict: .*already assigned to node "n1"/);
  expect(await ok("GET", `${PODS}/a`)).toMatchObject({
    spec: { nodeName: "n1" },
    status: { conditions: [{ type: "PodScheduled", status: "True" }] },
  });
  expect((await ok("DELETE", `${PODS}/a`)).metadata).toMatchObject({
    deletionTimestamp: "2026-01-01T00:00:30Z",
    deletionGracePeriodSeconds: 30,
  });
  expect(await ok("GET", `${PODS}?fieldSelector=spec.nodeName%3Dn1`)).toMatchObject({ items: [{}] });
  expect(await refused("DELETE", `${PODS}/a`, { preconditions: { uid: "other" } })).toMatch(/^409 Conflict: .*UID in the precondition/);
  expect(await ok("DELETE", `${PODS}/a?gracePeriodSeconds=0`)).toMatchObject({ status: "Success", details: { name: "a", kind: "pods" } });
  expect(await refused("GET", `${PODS}/a`)).toMatch(/^404/);
});

test("finalizers: the object stays until the last one goes", async () => {
  const { ok, refused } = await world();
  await ok("POST", PODS, { ...pod("a"), metadata: { name: "a", finalizers: ["x/y"] } });
  expect((await ok("DELETE", `${PODS}/a`)).metadata["deletionTimestamp"]).toBeDefined();
  expect(
    (await ok("PATCH", `${PODS}/a`, { metadata: { labels: { still: "here" } } }, "application/merge-patch+json")).metadata["labels"],
  ).toEqual({ still: "here" });
  await ok("PATCH", `${PODS}/a`, { metadata: { finalizers: null } }, "application/merge-patch+json");
  expect(await refused("GET", `${PODS}/a`)).toMatch(/^404/);
});

test("services: an address each, one that was asked for, none twice, back when deleted", async () => {
  const { ok, refused } = await world();
  const given = await Promise.all(Array.from({ length: 10 }, (_, i) => ok("POST", SERVICES, service(`s${i}`))));
  expect(new Set(given.map((s) => s["spec"].clusterIP)).size).toBe(10);
  expect(await ok("POST", SERVICES, service("dns", { clusterIP: "10.96.0.10" }))).toMatchObject({
    spec: { clusterIP: "10.96.0.10", clusterIPs: ["10.96.0.10"] },
  });
  expect(await refused("POST", SERVICES, service("dns2", { clusterIP: "10.96.0.10" }))).toMatch(
    /^422 Invalid: .*provided IP is already allocated/,
  );
  expect(await refused("POST", SERVICES, service("far", { clusterIP: "1.2.3.4" }))).toMatch(/^422 Invalid: .*not in the valid range/);
  expect(await refused("PUT", `${SERVICES}/dns`, service("dns", { clusterIP: "10.96.0.11" }))).toMatch(
    /^422 Invalid: .*may not change once set/,
  );
  expect(await ok("PUT", `${SERVICES}/dns`, service("dns", { ports: [{ port: 53, protocol: "UDP" }] }))).toMatchObject({
    spec: { clusterIP: "10.96.0.10", ports: [{ port: 53, targetPort: 53 }] },
  });
  await ok("DELETE", `${SERVICES}/dns`);
  expect(await ok("POST", SERVICES, service("dns2", { clusterIP: "10.96.0.10" }))).toMatchObject({ spec: { clusterIP: "10.96.0.10" } });
  expect(await ok("POST", SERVICES, service("np", { type: "NodePort" }))).toMatchObject({ spec: { ports: [{ nodePort: 30000 }] } });
  expect(await refused("POST", SERVICES, service("np2", { type: "NodePort", ports: [{ port: 1, nodePort: 30000 }] }))).toMatch(
    /^422 Invalid: .*already allocated/,
  );
  expect((await ok("POST", SERVICES, service("headless", { clusterIP: "None" })))["spec"].clusterIP).toBe("None");
});

test("list: pages as of the first one's revision; 410 when that is compacted", async () => {
  const { ok, refused, store } = await world();
  for (const name of ["a", "b", "c"]) await ok("POST", PODS, pod(name));
  const first = await ok("GET", `${PODS}?limit=2`);
  expect(first["items"].map((p: Body) => p.metadata.name)).toEqual(["a", "b"]);
  await ok("DELETE", `${PODS}/c`);
  const token = encodeURIComponent(first.metadata.continue ?? "");
  const second = await ok("GET", `${PODS}?limit=2&continue=${token}`);
  expect(second).toMatchObject({ metadata: { resourceVersion: first.metadata.resourceVersion }, items: [{ metadata: { name: "c" } }] });
  expect(second.metadata.continue).toBeUndefined();
  store.compact();
  expect(await refused("GET", `${PODS}?limit=2&continue=${token}`)).toMatch(/^410 Expired/);
});

test("watch: what a selector sees come and go, in order, with the last state of what is gone", async () => {
  const { ok, watch } = await world();
  const { metadata } = await ok("GET", PODS);
  const all = await watch(`${PODS}?watch=1&resourceVersion=${metadata.resourceVersion}`);
  const web = await watch(`${PODS}?watch=1&labelSelector=app%3Dweb&resourceVersion=${metadata.resourceVersion}`);
  await ok("POST", PODS, pod("a", { labels: { app: "web" } }));
  await ok("POST", PODS, pod("b"));
  const patch = (name: string, app: string | null) =>
    ok("PATCH", `${PODS}/${name}`, { metadata: { labels: { app } } }, "application/merge-patch+json");
  await patch("a", null);
  await patch("b", "web");
  await ok("DELETE", `${PODS}/a`);
  await ok("DELETE", `${PODS}/b`);
  expect(await all(6)).toEqual(["ADDED a", "ADDED b", "MODIFIED a", "MODIFIED b", "DELETED a", "DELETED b"]);
  expect(await web(4)).toEqual(["ADDED a", "DELETED a", "ADDED b", "DELETED b"]);
});

test("watch: from nothing it begins with what is there; bookmarks; an end; 410 for what is compacted", async () => {
  const { ok, watch, store } = await world();
  await ok("POST", PODS, pod("a"));
  const fresh = await watch(`${PODS}?watch=true&allowWatchBookmarks=true`);
  expect(await fresh(2)).toEqual(["ADDED a", "BOOKMARK"]);
  const short = await watch(`${PODS}?watch=1&timeoutSeconds=1&resourceVersion=${store.revision}`);
  expect(await short(1)).toEqual(["end"]);
  await ok("DELETE", `${PODS}/a`);
  store.compact();
  const late = await watch(`${PODS}?watch=1&resourceVersion=1`);
  expect(await late(2)).toEqual(["ERROR 410", "end"]);
});

test("deletecollection: only what is selected", async () => {
  const { ok } = await world();
  for (const name of ["a", "b"]) await ok("POST", PODS, pod(name, { labels: { name } }));
  await ok("DELETE", `${PODS}?labelSelector=name%3Da`);
  expect((await ok("GET", PODS))["items"].map((p: Body) => p.metadata.name)).toEqual(["b"]);
});

test("expireEvents: an hour after they were last seen", async () => {
  const { ok, ports, registry, time } = await world();
  const EVENTS = "/api/v1/namespaces/default/events";
  await ok("POST", EVENTS, { metadata: { name: "old" } });
  await ok("POST", EVENTS, { metadata: { name: "seen" }, lastTimestamp: "2026-01-01T00:30:00Z" });
  time.now += 3_600_001;
  expect(await expireEvents(ports, registry)).toBe(1);
  expect((await ok("GET", EVENTS))["items"].map((e: Body) => e.metadata.name)).toEqual(["seen"]);
});

test("discovery: kubectl's documents", async () => {
  const { ok, call, refused } = await world();
  expect(await ok("GET", "/apis")).toMatchObject({
    kind: "APIGroupList",
    groups: [{ name: "discovery.k8s.io" }, { name: "networking.k8s.io" }, { name: "kubevirt.io" }],
  });
  expect((await ok("GET", "/api/v1"))["resources"].map((r: { name: string }) => r.name)).toContain("pods/binding");
  expect(await call("GET", "/openapi/v2")).toMatchObject({ kind: "raw", body: "" });
  expect(await refused("GET", "/openapi/v3")).toMatch(/^404/);
  expect(await call("GET", "/readyz")).toMatchObject({ kind: "raw", body: "ok" });
});
