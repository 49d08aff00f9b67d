import fc from "fast-check";
import { expect, test } from "vitest";
import { fakeApi } from "../fake-api.ts";
import { RESOURCES } from "../domain/resource-type.ts";
import { keyOfObject, reflect, type ReflectorEvent } from "./reflector.ts";

const pod = (name: string, labels: Record<string, string> = {}) => ({ metadata: { name, namespace: "d", labels } });

/** Follow pods; `next(n)` gives the next n events as short text. */
function start(api = fakeApi()) {
  const abort = new AbortController();
  const errors: string[] = [];
  const stream = reflect(api, RESOURCES.pods, {
    signal: abort.signal,
    project: (o) => o.metadata.labels?.["v"] ?? "",
    onError: (e) => errors.push(e instanceof Error ? e.name : String(e)),
    random: () => 0,
  });
  const print = (e: ReflectorEvent<string>) => (e.kind === "inSync" ? "inSync" : `${e.kind} ${e.key} ${e.object}`.trim());
  const next = async (n: number) => {
    const events: string[] = [];
    while (events.length < n) {
      const got = await stream.next();
      if (got.done) break;
      events.push(print(got.value));
    }
    return events;
  };
  return { api, errors, next, stop: () => abort.abort(), stream };
}

test("reflect: the list, in sync, then changes", async () => {
  const { api, next, stop, stream } = start();
  api.set(RESOURCES.pods, pod("a", { v: "1" }));
  expect(await next(2)).toEqual(["added d/a 1", "inSync"]);
  api.set(RESOURCES.pods, pod("a", { v: "2" }));
  api.set(RESOURCES.pods, pod("b"));
  api.remove(RESOURCES.pods, "d/a");
  expect(await next(3)).toEqual(["modified d/a 2", "added d/b", "deleted d/a 2"]);
  stop();
  expect((await stream.next()).done).toBe(true);
});

test("reflect: a broken watch goes on from its place, without a list", async () => {
  const { api, next, stop, errors } = start();
  expect(await next(1)).toEqual(["inSync"]);
  const waiting = next(1);
  await expect.poll(() => api.calls).toContain("watch");
  api.breakWatches();
  api.set(RESOURCES.pods, pod("a"));
  expect(await waiting).toEqual(["added d/a"]);
  expect(errors).toEqual(["KubeConnectionError"]);
  expect(api.calls.filter((c) => c === "list")).toHaveLength(1);
  stop();
});

test("reflect: a version that is too old lists again, and makes up the deletes that it missed", async () => {
  const { api, next, stop, errors } = start();
  for (const name of ["kept", "changed", "gone"]) api.set(RESOURCES.pods, pod(name, { v: "1" }));
  expect(await next(4)).toHaveLength(4);
  const waiting = next(4);
  api.remove(RESOURCES.pods, "d/gone");
  api.set(RESOURCES.pods, pod("changed", { v: "2" }));
  api.set(RESOURCES.pods, pod("new"));
  api.compact();
  api.breakWatches();
  expect(await waiting).toEqual(["deleted d/gone 1", "modified d/changed 2", "added d/new", "inSync"]);
  expect(errors).toEqual(["KubeConnectionError", "KubeError"]);
  stop();
});

test("reflect: a server that refuses is asked again until it answers", async () => {
  const api = fakeApi();
  api.refuse("list", 3);
  const { next, errors, stop } = start(api);
  expect(await next(1)).toEqual(["inSync"]);
  expect(errors).toHaveLength(3);
  stop();
});

test("reflect: whatever happens between, who applies the events holds what the server holds", async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("set" as const), name: fc.constantFrom("a", "b", "c") }),
    fc.record({ do: fc.constant("remove" as const), name: fc.constantFrom("a", "b", "c") }),
    fc.constant({ do: "compact" as const }),
    fc.constant({ do: "break" as const }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 8 }), async (steps) => {
      const api = fakeApi();
      const abort = new AbortController();
      const held = new Map<string, string>();
      const there = () =>
        api.list(RESOURCES.pods).then(({ items }) => new Map(items.map((o) => [keyOfObject(o), o.metadata.resourceVersion ?? ""])));
      const stream = reflect(api, RESOURCES.pods, {
        signal: abort.signal,
        project: (o) => o.metadata.resourceVersion ?? "",
        random: () => 0,
      });
      const following = (async () => {
        for await (const e of stream) {
          if (e.kind === "deleted") held.delete(e.key);
          else if (e.kind !== "inSync") held.set(e.key, e.object);
        }
      })();
      for (const s of steps) {
        if (s.do === "set") api.set(RESOURCES.pods, pod(s.name));
        else if (s.do === "remove" && (await there()).has(`d/${s.name}`)) api.remove(RESOURCES.pods, `d/${s.name}`);
        else if (s.do === "compact") api.compact();
        else if (s.do === "break") api.breakWatches();
        await new Promise((resolve) => setImmediate(resolve)); // let the reflector run into the middle of it
      }
      const last = api.set(RESOURCES.pods, pod("last"));
      const want = await there();
      await expect.poll(() => held.get("d/last"), { interval: 1 }).toBe(last.metadata.resourceVersion);
      abort.abort();
      await following;
      const missing = [...want].filter(([k, v]) => held.get(k) !== v);
      const extra = [...held.keys()].filter((k) => !want.has(k));
      expect({ missing, extra }).toEqual({ missing: [], extra: [] });
    }),
    { numRuns: 30 },
  );
});
