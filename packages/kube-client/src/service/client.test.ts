import { expect, test } from "vitest";
import { KubeConnectionError, KubeError } from "../domain/kube-error.ts";
import { RESOURCES } from "../domain/resource-type.ts";
import type { HttpRequest, Transport } from "../ports.ts";
import { makeClient } from "./client.ts";

type Answer = { readonly status?: number; readonly body?: unknown; readonly lines?: readonly string[]; readonly breaks?: boolean };

/** A transport with prepared answers, in order; it refuses a request that nobody prepared. */
function scripted(...answers: readonly Answer[]): Transport & { readonly sent: HttpRequest[] } {
  const sent: HttpRequest[] = [];
  const next = (request: HttpRequest): Answer => {
    const answer = answers[sent.length];
    if (answer === undefined) throw new Error(`Unexpected request ${request.method} ${request.path}`);
    sent.push(request);
    return answer;
  };
  return {
    sent,
    async request(request) {
      const { status = 200, body = {} } = next(request);
      return { status, body: typeof body === "string" ? body : JSON.stringify(body) };
    },
    async stream(request) {
      const { status = 200, lines = [], breaks = false } = next(request);
      async function* say() {
        yield* lines;
        if (breaks) throw new Error("connection aborted");
      }
      return { status, lines: say() };
    },
    close() {},
  };
}

const pod = (name: string, resourceVersion = "1") => ({ metadata: { name, namespace: "d", resourceVersion } });

test("list: reads all pages, with the version of the last", async () => {
  const transport = scripted(
    { body: { metadata: { resourceVersion: "7", continue: "tok" }, items: [pod("a")] } },
    { body: { metadata: { resourceVersion: "7" }, items: [pod("b")] } },
  );
  const list = await makeClient(transport).list(RESOURCES.pods, { labelSelector: "a=b", limit: 1 });
  expect(list.items.map((p) => p.metadata.name)).toEqual(["a", "b"]);
  expect(list.resourceVersion).toBe("7");
  expect(transport.sent.map((r) => r.path)).toEqual([
    "/api/v1/pods?limit=1&labelSelector=a%3Db",
    "/api/v1/pods?limit=1&continue=tok&labelSelector=a%3Db",
  ]);
});

test("get: an error carries the server's status, reason and words", async () => {
  const transport = scripted({ status: 404, body: { kind: "Status", reason: "NotFound", message: 'pods "x" not found' } });
  const error = await makeClient(transport)
    .get(RESOURCES.pods, { namespace: "d", name: "x" })
    .catch((e: unknown) => e);
  expect(error).toBeInstanceOf(KubeError);
  expect(error).toMatchObject({ status: 404, reason: "NotFound", message: 'Cannot get pods d/x: pods "x" not found (404 NotFound)' });
});

test("create, update, patch, delete: method, path and body", async () => {
  const transport = scripted({}, {}, {}, {}, {});
  const client = makeClient(transport);
  await client.create(RESOURCES.pods, pod("a"));
  await client.create(RESOURCES.pods, pod("a"), { subresource: "binding" });
  await client.update(RESOURCES.pods, pod("a"), { subresource: "status" });
  await client.patch(RESOURCES.pods, { namespace: "d", name: "a" }, { type: "strategic", body: { x: 1 } });
  await client.delete(RESOURCES.pods, { namespace: "d", name: "a" }, { gracePeriodSeconds: 0 });
  expect(transport.sent.map((r) => `${r.method} ${r.path} ${r.contentType ?? ""} ${r.body?.slice(0, 34)}`)).toEqual([
    'POST /api/v1/namespaces/d/pods  {"apiVersion":"v1","kind":"Pod","m',
    'POST /api/v1/namespaces/d/pods/a/binding  {"apiVersion":"v1","kind":"Pod","m',
    'PUT /api/v1/namespaces/d/pods/a/status  {"apiVersion":"v1","kind":"Pod","m',
    'PATCH /api/v1/namespaces/d/pods/a application/strategic-merge-patch+json {"x":1}',
    'DELETE /api/v1/namespaces/d/pods/a  {"kind":"DeleteOptions","apiVersio',
  ]);
});

async function watched(answer: Answer): Promise<string> {
  const said: string[] = [];
  try {
    for await (const e of makeClient(scripted(answer)).watch(RESOURCES.pods, {
      resourceVersion: "5",
      signal: new AbortController().signal,
    }))
      said.push(`${e.kind} ${e.object.metadata.name}`);
  } catch (e) {
    said.push(e instanceof KubeError ? `KubeError ${e.status}` : e instanceof KubeConnectionError ? "KubeConnectionError" : String(e));
  }
  return said.join("; ");
}

const line = (type: string, object: unknown) => JSON.stringify({ type, object });
test.for([
  {
    name: "events until the server ends",
    answer: { lines: [line("ADDED", pod("a")), line("BOOKMARK", pod("")), line("DELETED", pod("a"))] },
    want: "added a; bookmark ; deleted a",
  },
  { name: "410 in the head", answer: { status: 410, lines: ['{"kind":"Status","reason":"Expired"}'] }, want: "KubeError 410" },
  {
    name: "410 in the stream",
    answer: { lines: [line("ADDED", pod("a")), line("ERROR", { kind: "Status", code: 410, reason: "Expired" })] },
    want: "added a; KubeError 410",
  },
  { name: "a broken connection", answer: { lines: [line("ADDED", pod("a"))], breaks: true }, want: "added a; KubeConnectionError" },
  { name: "half a line", answer: { lines: ['{"type":"AD'] }, want: "KubeConnectionError" },
])("watch: $name", async ({ answer, want }) => expect(await watched(answer)).toBe(want));

test("get: whoever ends it ends its request", async () => {
  const transport = scripted({ body: pod("a") });
  const { signal } = new AbortController();
  await makeClient(transport).get(RESOURCES.pods, { namespace: "d", name: "a" }, { signal });
  expect(transport.sent[0]?.signal).toBe(signal);
});
