/** Whatever stands at Calico's keys, in whatever form: reading it is an answer, never a throw. */
import {
  activePolicy,
  activeProfile,
  ALL_KINDS,
  API_VERSION,
  type ObjectKind,
  parseKey,
  parseResource,
  prefixOf,
  validateResource,
} from "@calico/model";
import type { Resource } from "@calico/model";
import fc from "fast-check";
import { expect, test } from "vitest";
import { parseStored, printStored } from "../domain/stored-form.ts";
import { makeFakeStore } from "../testing/fake-store.ts";
import { GOLDENS } from "../testing/goldens.ts";
import { resourceClient } from "./resource-client.ts";

const IPAM_VALUES = [
  {
    kind: "IPAMBlock",
    value: {
      cidr: "10.0.0.0/30",
      affinity: "host:n1",
      allocations: [null, 0, null, null],
      unallocated: [0, 2, 3],
      attributes: [{ handle_id: "h" }],
    },
  },
  { kind: "BlockAffinity", value: { state: "confirmed", deleted: false } },
] as const;
const OBJECTS = GOLDENS.map(({ kind, name, namespace, stored }) => ({
  kind,
  value: { kind, apiVersion: API_VERSION, metadata: { name, ...(namespace && { namespace }), labels: { a: "b" } }, spec: stored },
}));

const odd = fc.oneof(
  { weight: 3, arbitrary: fc.jsonValue({ maxDepth: 2 }) },
  fc.constantFrom<unknown>(null, "", -1, 1e308, "\u0000", "10.0.0.1/33", "::ffff:1.2.3.4/0", "(((", "a == 'b", "__proto__", [[]], [null], {
    "": null,
  }),
) as fc.Arbitrary<unknown>;

/** The object with what is at one path, found by `picks`, replaced. */
function replaceAt(value: unknown, picks: readonly number[], by: unknown): unknown {
  const [pick, ...rest] = picks;
  if (pick === undefined || typeof value !== "object" || value === null) return by;
  const names = Object.keys(value);
  const name = names[pick % Math.max(1, names.length)];
  if (name === undefined) return by;
  const next = replaceAt((value as Record<string, unknown>)[name], rest, by);
  if (Array.isArray(value)) return value.map((item: unknown, i) => (String(i) === name ? next : item));
  return { ...value, [name]: next };
}

/** Reads it in every way that our programs do. */
function readAll(kind: (typeof ALL_KINDS)[number], json: unknown): void {
  const parsed = parseResource(kind, json);
  if (kind === "IPAMBlock" || kind === "BlockAffinity") return;
  const stored = parseStored(kind as ObjectKind, JSON.stringify(json) ?? "", 5);
  if (stored.ok) printStored(stored.value as Parameters<typeof printStored>[0]);
  if (kind !== "KubernetesService" && kind !== "KubernetesEndpointSlice" && kind !== "LiveMigration") validateResource(kind, json);
  if (!parsed.ok) return;
  if (kind === "NetworkPolicy" || kind === "GlobalNetworkPolicy") activePolicy(parsed.value as Resource<"NetworkPolicy">);
  if (kind === "Profile") activeProfile(parsed.value as Resource<"Profile">);
}

test.for([...OBJECTS, ...IPAM_VALUES].map(({ kind, value }) => [kind, value] as const))(
  "bad input: %s with one thing in it that is another",
  ([kind, value]) => {
    fc.assert(
      fc.property(fc.array(fc.nat(12), { minLength: 1, maxLength: 6 }), odd, (picks, by) => readAll(kind, replaceAt(value, picks, by))),
      { numRuns: 30 },
    );
  },
);

test("bad input: any JSON and any text as any kind", () => {
  fc.assert(
    fc.property(fc.constantFrom(...ALL_KINDS), fc.oneof(odd, fc.string()), (kind, json) => {
      readAll(kind, json);
      if (typeof json === "string" && kind !== "IPAMBlock" && kind !== "BlockAffinity") parseStored(kind as ObjectKind, json, 5);
    }),
    { numRuns: 200 },
  );
});

test("bad input: any key", () => {
  const part = fc.oneof(
    fc.string(),
    fc.constantFrom("", "%2f", "%", "..", "host", "virtual", "ipv4", "block", "10.0.0.0-26", "10.0.0.0-99", "::-0"),
  );
  const prefix = fc.constantFrom(
    "",
    "/",
    "/calico/",
    "/calico/ipam/v2/",
    "/calico/ipam/v2/assignment/ipv4/block/",
    ...ALL_KINDS.map((kind) => prefixOf(kind)),
  );
  fc.assert(
    fc.property(prefix, fc.array(part, { maxLength: 5 }), (start, parts) => {
      const parsed = parseKey(start + parts.join("/"));
      if (parsed === undefined) return;
      expect(parsed.ref.name).not.toBe("");
      // Below IPAM's prefix it is a block or an affinity, and says which.
      if (start.startsWith("/calico/ipam/")) expect(parsed.cidr).toBeDefined();
    }),
    { numRuns: 800 },
  );
});

test("bad input: JSON as deep as it can be", () => {
  const deep = (open: string, close: string) => open.repeat(30_000) + close.repeat(30_000);
  for (const text of [deep("[", "]"), deep('{"a":', "}").replace(":}", ":1}")]) {
    for (const place of [text, `{"kind":"IPPool","apiVersion":"x","metadata":{"name":"a"},"spec":{"cidr":"10.0.0.0/16","x":${text}}}`])
      expect(parseStored("IPPool", place, 5).ok).toBe(false);
  }
});

test("bad input: among good objects it is told apart, and the rest is served", async () => {
  const store = makeFakeStore();
  const client = resourceClient(store);
  await client.create({ kind: "IPReservation", metadata: { name: "good" }, spec: {} });
  const prefix = prefixOf("IPReservation");
  const bad = ["", "{", "null", "[]", '"x"', '{"kind":"IPPool"}', '{"metadata":null}', '{"metadata":{"name":1}}', "\u0000"];
  for (const [i, text] of bad.entries()) await store.put(`${prefix}bad-${i}`, text);
  await store.put(`${prefix}a/b/c`, "{}");
  const { items, unparsable } = await client.list("IPReservation");
  expect(items.map(({ metadata }) => metadata.name)).toEqual(["good"]);
  expect(unparsable.length).toBe(bad.length + 1);
  for (const { message } of unparsable) expect(message).toMatch(/^failed to parse datastore entry key=\/calico\/resources\/v3/);
});
