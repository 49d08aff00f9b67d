import { ALL_KINDS, API_VERSION, kindInfo, type ObjectKind, RESOURCES_PREFIX } from "@calico/model";
import fc from "fast-check";
import { expect, test } from "vitest";
import { parseStored, printStored } from "../domain/stored-form.ts";
import type { ResourceInput } from "../domain/resource-input.ts";
import { makeFakeStore } from "../testing/fake-store.ts";
import { type Golden, GOLDENS } from "../testing/goldens.ts";
import { resourceClient } from "./resource-client.ts";

const identity = { uid: "7a9f2a36-0000-4000-8000-000000000001", creationTimestamp: "2026-08-01T10:00:00Z" };

function inputOf({ kind, name, namespace, labels, written }: Golden): ResourceInput {
  return { kind, metadata: { name, ...(namespace && { namespace }), ...(labels && { labels }), ...identity }, spec: written };
}

test("layout: every kind that is stored has a golden", () => {
  const stored = ALL_KINDS.filter((kind) => !["IPAMBlock", "BlockAffinity", "KubernetesService", "KubernetesEndpointSlice"].includes(kind));
  expect(GOLDENS.map(({ kind }) => kind).sort()).toEqual([...stored].sort());
});

test.for(GOLDENS.map((golden) => [golden.kind, golden] as const))(
  "layout: %s is stored at Calico's key with Calico's JSON",
  async ([kind, golden]) => {
    const store = makeFakeStore();
    const client = resourceClient(store);
    await client.create({ kind: "Tier", metadata: { name: "security" }, spec: {} });
    if (kind === "Tier") await store.delete(`${RESOURCES_PREFIX}tiers/security`);
    const made = await client.create(inputOf(golden));
    if (!made.ok) throw new Error(made.error.message);
    const kv = await store.get(`${RESOURCES_PREFIX}${golden.key}`);
    const labels = { ...golden.labels, ...golden.added?.labels };
    expect(JSON.parse(kv?.value ?? "null")).toEqual({
      kind,
      apiVersion: API_VERSION,
      metadata: {
        name: golden.name,
        ...(golden.namespace && { namespace: golden.namespace }),
        ...identity,
        ...(Object.keys(labels).length > 0 && { labels }),
        ...(golden.added?.annotations && { annotations: golden.added.annotations }),
      },
      spec: golden.stored,
    });
    // What was stored is read as what create gave back, and writing it again changes nothing.
    const read = await client.get({ kind, name: golden.name, namespace: golden.namespace });
    expect(read).toEqual(made);
    if (read.ok) expect(printStored(read.value)).toBe(kv?.value);
    const again = await client.apply(inputOf(golden));
    expect(again.ok && again.value.metadata.resourceVersion).toBe(made.value.metadata.resourceVersion);
  },
);

/** Changes that leave an object valid: other labels, an unknown field that a newer Calico wrote, fields as null. */
const foreign = fc.record({
  labels: fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.stringMatching(/^[a-z0-9]{0,8}$/), { maxKeys: 3 }),
  extra: fc.oneof(fc.integer(), fc.stringMatching(/^[a-z]{1,9}$/), fc.constant({ deep: [1, { x: "y" }] })),
  nulls: fc.subarray(["status", "metadata.finalizers", "spec.order"]),
});

test.for(GOLDENS.map((golden) => [golden.kind, golden] as const))(
  "layout: %s written by a newer Calico loses nothing",
  ([kind, golden]) => {
    fc.assert(
      fc.property(foreign, ({ labels, extra, nulls }) => {
        const metadata = { name: golden.name, ...(golden.namespace && { namespace: golden.namespace }), labels, ...identity };
        const object: Record<string, unknown> = {
          kind,
          apiVersion: API_VERSION,
          metadata,
          spec: { ...golden.stored, fromTheFuture: extra },
        };
        if (nulls.includes("status")) object["status"] = null;
        if (nulls.includes("metadata.finalizers")) object["metadata"] = { ...metadata, finalizers: null };
        const first = parseStored(kind as ObjectKind, JSON.stringify(object), 7);
        if (!first.ok) throw new Error(JSON.stringify(first.error));
        const text = printStored(first.value);
        const second = parseStored(kind as ObjectKind, text, 7);
        expect(second).toEqual(first);
        const stored = JSON.parse(text) as { spec: Record<string, unknown>; metadata: { labels: object } };
        expect(stored.spec).toEqual({ ...golden.stored, fromTheFuture: extra });
        expect(stored.metadata.labels).toMatchObject(labels);
      }),
      { numRuns: 50 },
    );
  },
);

test("layout: keys of namespaced kinds have a namespace, others have none", () => {
  for (const { kind, key } of GOLDENS) expect(key.split("/").length).toBe(kindInfo(kind).namespaced ? 3 : 2);
});
