import fc from "fast-check";
import { expect, test } from "vitest";
import type { Json } from "./api-object.ts";
import { jsonPatch, mergePatch } from "./json-patch.ts";
import { strategicPatch } from "./strategic-patch.ts";

test.for<{ name: string; target: Json; patch: Json; want: Json | string }>([
  { name: "add to a map", target: { a: 1 }, patch: [{ op: "add", path: "/b", value: 2 }], want: { a: 1, b: 2 } },
  { name: "add into a list", target: [1, 3], patch: [{ op: "add", path: "/1", value: 2 }], want: [1, 2, 3] },
  { name: "add at the end", target: { l: [1] }, patch: [{ op: "add", path: "/l/-", value: 2 }], want: { l: [1, 2] } },
  {
    name: "replace inside of a list",
    target: { l: [{ a: 1 }] },
    patch: [{ op: "replace", path: "/l/0/a", value: 2 }],
    want: { l: [{ a: 2 }] },
  },
  { name: "remove with escapes", target: { "a/b~c": 1, d: 2 }, patch: [{ op: "remove", path: "/a~1b~0c" }], want: { d: 2 } },
  { name: "move", target: { a: { b: 1 }, c: {} }, patch: [{ op: "move", from: "/a/b", path: "/c/d" }], want: { a: {}, c: { d: 1 } } },
  { name: "copy", target: { a: [1] }, patch: [{ op: "copy", from: "/a/0", path: "/b" }], want: { a: [1], b: 1 } },
  {
    name: "test holds",
    target: { a: { x: 1, y: 2 } },
    patch: [{ op: "test", path: "/a", value: { y: 2, x: 1 } }],
    want: { a: { x: 1, y: 2 } },
  },
  { name: "test fails", target: { a: 1 }, patch: [{ op: "test", path: "/a", value: 2 }], want: "operation 0 (test /a): the test failed" },
  {
    name: "remove what is not there",
    target: {},
    patch: [{ op: "remove", path: "/a" }],
    want: "operation 0 (remove /a): the path does not exist",
  },
  {
    name: "replace what is not there",
    target: {},
    patch: [{ op: "replace", path: "/a", value: 1 }],
    want: "operation 0 (replace /a): the path does not exist",
  },
  {
    name: "index out of range",
    target: [1],
    patch: [{ op: "add", path: "/3", value: 1 }],
    want: 'operation 0 (add /3): index "3" is out of range',
  },
  { name: "no list", target: {}, patch: {}, want: "a JSON patch is a list of operations" },
  { name: "unknown operation", target: {}, patch: [{ op: "x", path: "/a" }], want: "operation 0 (x /a): unknown operation" },
])("jsonPatch: $name", ({ target, patch, want }) => {
  if (typeof want === "string") expect(() => jsonPatch(target, patch)).toThrow(want);
  else expect(jsonPatch(target, patch)).toEqual(want);
});

// Source: RFC 7396 appendix A.
test.for<[Json, Json, Json]>([
  [{ a: "b" }, { a: "c" }, { a: "c" }],
  [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
  [{ a: "b" }, { a: null }, {}],
  [{ a: ["b"] }, { a: "c" }, { a: "c" }],
  [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
  [
    ["a", "b"],
    ["c", "d"],
    ["c", "d"],
  ],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [[1, 2], { a: "b", c: null }, { a: "b" }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
])("mergePatch: %j with %j is %j", ([target, patch, want]) => expect(mergePatch(target, patch)).toEqual(want));

test.for<{ name: string; target: Json; patch: Json; want: Json }>([
  {
    name: "containers are merged by name, their env by name",
    target: {
      spec: {
        containers: [
          { name: "a", image: "1", env: [{ name: "X", value: "1" }] },
          { name: "b", image: "1" },
        ],
      },
    },
    patch: { spec: { containers: [{ name: "a", image: "2", env: [{ name: "Y", value: "2" }] }] } },
    want: {
      spec: {
        containers: [
          {
            name: "a",
            image: "2",
            env: [
              { name: "X", value: "1" },
              { name: "Y", value: "2" },
            ],
          },
          { name: "b", image: "1" },
        ],
      },
    },
  },
  {
    name: "$patch: delete in a list",
    target: { spec: { containers: [{ name: "a" }, { name: "b" }] } },
    patch: { spec: { containers: [{ name: "a", $patch: "delete" }] } },
    want: { spec: { containers: [{ name: "b" }] } },
  },
  {
    name: "$patch: replace in a list and in a map",
    target: { spec: { containers: [{ name: "a" }] }, data: { a: "1" } },
    patch: { spec: { containers: [{ name: "c" }, { $patch: "replace" }] }, data: { b: "2", $patch: "replace" } },
    want: { spec: { containers: [{ name: "c" }] }, data: { b: "2" } },
  },
  {
    name: "$retainKeys keeps only what it names",
    target: { spec: { volumes: [{ name: "v", emptyDir: {} }] } },
    patch: { spec: { volumes: [{ name: "v", $retainKeys: ["name", "hostPath"], hostPath: { path: "/x" } }] } },
    want: { spec: { volumes: [{ name: "v", hostPath: { path: "/x" } }] } },
  },
  {
    name: "conditions by type, in status",
    target: {
      status: {
        conditions: [
          { type: "Ready", status: "False" },
          { type: "X", status: "True" },
        ],
      },
    },
    patch: { status: { conditions: [{ type: "Ready", status: "True" }] } },
    want: {
      status: {
        conditions: [
          { type: "Ready", status: "True" },
          { type: "X", status: "True" },
        ],
      },
    },
  },
  {
    name: "Service ports by port, container ports by containerPort",
    target: { spec: { ports: [{ port: 80, name: "a" }], containers: [{ name: "c", ports: [{ containerPort: 1 }] }] } },
    patch: { spec: { ports: [{ port: 443, name: "b" }], containers: [{ name: "c", ports: [{ containerPort: 2 }] }] } },
    want: {
      spec: {
        ports: [
          { port: 80, name: "a" },
          { port: 443, name: "b" },
        ],
        containers: [{ name: "c", ports: [{ containerPort: 1 }, { containerPort: 2 }] }],
      },
    },
  },
  {
    name: "lists without a merge key are replaced",
    target: { spec: { tolerations: [{ key: "a" }], ingress: [1, 2] } },
    patch: { spec: { tolerations: [{ key: "b" }], ingress: [3] } },
    want: { spec: { tolerations: [{ key: "b" }], ingress: [3] } },
  },
  {
    name: "sets grow, and shrink by $deleteFromPrimitiveList",
    target: { metadata: { finalizers: ["a", "b"] } },
    patch: { metadata: { "$deleteFromPrimitiveList/finalizers": ["a"], finalizers: ["c"] } },
    want: { metadata: { finalizers: ["b", "c"] } },
  },
  {
    name: "$setElementOrder orders what it names",
    target: { spec: { containers: [{ name: "a" }, { name: "b" }] } },
    patch: { spec: { "$setElementOrder/containers": [{ name: "c" }, { name: "b" }, { name: "a" }], containers: [{ name: "c" }] } },
    want: { spec: { containers: [{ name: "c" }, { name: "b" }, { name: "a" }] } },
  },
  { name: "null removes", target: { a: { b: 1, c: 2 } }, patch: { a: { b: null } }, want: { a: { c: 2 } } },
])("strategicPatch: $name", ({ target, patch, want }) => expect(strategicPatch(target, patch)).toEqual(want));

test("strategicPatch: an item without its merge key is refused", () => {
  expect(() => strategicPatch({}, { spec: { containers: [{ image: "x" }] } })).toThrow(
    'containers: each item of the patch needs its merge key "name"',
  );
});

test("mergePatch and strategicPatch: a patch of what is there changes nothing", () => {
  const plain = fc.dictionary(
    fc.constantFrom("a", "b", "c"),
    fc.oneof(fc.integer(), fc.string(), fc.dictionary(fc.constantFrom("x", "y"), fc.integer())),
  );
  fc.assert(
    fc.property(plain, (object) => {
      expect(mergePatch(object as Json, object as Json)).toEqual(object);
      expect(strategicPatch(object as Json, object as Json)).toEqual(object);
    }),
  );
});
