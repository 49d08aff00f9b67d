import { expect, test } from "vitest";
import { resolveConfig } from "./config.ts";
import { API_KINDS, KIND_TABLE, kindOfName } from "./kind-table.ts";
import { headingsOf } from "./columns.ts";
import { jsonPatch, mergePatch } from "./patch.ts";
import { renderColumns } from "./table.ts";
import { formatG5, usageRows } from "./usage.ts";
import { versionMismatch } from "./version.ts";

const file = (spec: object, o: object = {}) => ({
  name: "cfg",
  json: { apiVersion: "projectcalico.org/v3", kind: "CalicoAPIConfig", metadata: {}, spec, ...o },
});

test.for<{ name: string; input: Parameters<typeof resolveConfig>[0]; want: string }>([
  { name: "environment", input: { flag: undefined, env: { ETCD_ENDPOINTS: "http://a:1, http://b:2" } }, want: "http://a:1 http://b:2" },
  {
    name: "prefixed variable wins",
    input: { flag: undefined, env: { ETCD_ENDPOINTS: "http://a:1", CALICO_ETCD_ENDPOINTS: "http://c:3" } },
    want: "http://c:3",
  },
  {
    name: "file wins over environment",
    input: { flag: undefined, env: { ETCD_ENDPOINTS: "http://a:1" }, file: file({ etcdEndpoints: "http://f:1" }) },
    want: "http://f:1",
  },
  {
    name: "flag wins over all",
    input: { flag: "http://x:1", env: { ETCD_ENDPOINTS: "http://a:1" }, file: file({ etcdEndpoints: "http://f:1" }) },
    want: "http://x:1",
  },
  {
    name: "nothing",
    input: { flag: undefined, env: {} },
    want: "cannot find the datastore: set --etcd, ETCD_ENDPOINTS, or etcdEndpoints in the file given with --config",
  },
  {
    name: "no URL",
    input: { flag: "10.0.0.1:2379", env: {} },
    want: 'etcd endpoint "10.0.0.1:2379" is not a URL; expected for example http://10.0.0.1:2379',
  },
  {
    name: "kubernetes",
    input: { flag: undefined, env: { ETCD_ENDPOINTS: "http://a:1", DATASTORE_TYPE: "kubernetes" } },
    want: "datastore type kubernetes is not supported: set DATASTORE_TYPE to etcdv3",
  },
  {
    name: "unknown field",
    input: { flag: undefined, env: {}, file: file({ etcdEndpoint: "x" }) },
    want: 'syntax error in cfg: unknown field "spec.etcdEndpoint"',
  },
  {
    name: "kind",
    input: { flag: undefined, env: {}, file: file({}, { kind: "Config" }) },
    want: "invalid config file: expected kind 'CalicoAPIConfig', got 'Config'",
  },
  {
    name: "version",
    input: { flag: undefined, env: {}, file: file({}, { apiVersion: "v1" }) },
    want: "invalid config file: unknown APIVersion 'v1'",
  },
])("resolveConfig: $name", ({ input, want }) => {
  let got: string;
  try {
    got = resolveConfig(input).endpoints.join(" ");
  } catch (error) {
    got = (error as Error).message;
  }
  expect(got).toBe(want);
});

test("resolveConfig: credentials", () => {
  const config = resolveConfig({
    flag: undefined,
    env: { ETCD_ENDPOINTS: "https://a:1", ETCD_USERNAME: "u", ETCD_PASSWORD: "p", ETCD_CA_CERT_FILE: "/ca" },
  });
  expect(config).toEqual({ endpoints: ["https://a:1"], username: "u", password: "p", tls: { ca: { file: "/ca" } } });
  expect(resolveConfig({ flag: undefined, env: {}, file: file({ etcdEndpoints: "https://a:1", etcdCACert: "PEM" }) }).tls).toEqual({
    ca: { pem: "PEM" },
  });
});

test.for([
  ["IPPools", "IPPool"],
  ["wep", "WorkloadEndpoint"],
  ["no", "Node"],
  ["POLICY", "NetworkPolicy"],
  ["gnp", "GlobalNetworkPolicy"],
  ["bps", "BGPPeer"],
  ["pods", undefined],
])("kindOfName: %s is %s", ([name, want]) => {
  expect(kindOfName(name as string)).toBe(want);
});

test("kind table: no name means two kinds, and every column can be shown", () => {
  const names = API_KINDS.flatMap((kind) => KIND_TABLE[kind].names);
  expect(new Set(names).size).toBe(names.length);
  for (const kind of API_KINDS)
    expect(headingsOf(kind)).toEqual(expect.arrayContaining([...KIND_TABLE[kind].ps, ...KIND_TABLE[kind].wide]));
});

test("renderColumns: as wide as the longest cell and three, at least five", () => {
  expect(
    renderColumns([
      ["A", "LONGER"],
      ["xyz", "y"],
    ]),
  ).toBe("A     LONGER   \nxyz   y        \n\n");
  expect(renderColumns([["A"]])).toBe("A    \n\n");
});

test.for([
  { used: 8, want: "8 (12%)" },
  { used: 24, want: "24 (38%)" },
  { used: 40, want: "40 (62%)" },
  { used: 1, want: "1 (2%)" },
  { used: 64, want: "64 (100%)" },
])("usageRows: $used of 64 is $want, as C rounds it", ({ used, want }) => {
  const pool = { pool: "p", cidr: "10.0.0.0/26", capacity: 64, free: 64 - used, reserved: 0, blocks: [] };
  expect(usageRows([pool], false)[0]?.[3]).toBe(want);
});

test.for([
  [0, "0"],
  [64, "64"],
  [65532, "65532"],
  [99999.6, "1e+05"],
  [1048576, "1.0486e+06"],
  [18446744073709552000, "1.8447e+19"],
])("formatG5: %d is %s", ([value, want]) => {
  expect(formatG5(value as number)).toBe(want);
});

test("versionMismatch: numbers are compared, suffixes are not", () => {
  expect([versionMismatch("v1.2.3", "1.2.3-rc1"), versionMismatch("v1.2.3", ""), versionMismatch("v1.2.3", undefined)]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect(versionMismatch("v1.2.3", "v1.2.4")).toBe(
    "version mismatch.\nClient Version:   v1.2.3\nCluster Version:  v1.2.4\nUse --allow-version-mismatch to override",
  );
});

test("mergePatch: null removes, lists are replaced", () => {
  expect(mergePatch({ a: { b: 1, c: 2 }, l: [1] }, { a: { b: null, d: 3 }, l: [2] })).toEqual({ a: { c: 2, d: 3 }, l: [2] });
});

test.for([
  { ops: [{ op: "add", path: "/l/1", value: 9 }], want: { a: 1, l: [1, 9, 2] } },
  { ops: [{ op: "add", path: "/l/-", value: 9 }], want: { a: 1, l: [1, 2, 9] } },
  { ops: [{ op: "remove", path: "/l/0" }], want: { a: 1, l: [2] } },
  {
    ops: [
      { op: "test", path: "/a", value: 1 },
      { op: "replace", path: "/a", value: 2 },
    ],
    want: { a: 2, l: [1, 2] },
  },
  { ops: [{ op: "move", from: "/a", path: "/b~1c" }], want: { "b/c": 1, l: [1, 2] } },
  { ops: [{ op: "copy", from: "/l/0", path: "/b" }], want: { a: 1, l: [1, 2], b: 1 } },
  { ops: [{ op: "test", path: "/a", value: 2 }], want: "the value is another" },
  { ops: [{ op: "remove", path: "/x" }], want: "there is no such path" },
  { ops: [{ op: "replace", path: "/l/7", value: 1 }], want: "there is no such index" },
  { ops: [{ op: "dance", path: "/a" }], want: "unknown operation" },
])("jsonPatch: $ops", ({ ops, want }) => {
  const target = { a: 1, l: [1, 2] };
  if (typeof want === "string") expect(() => jsonPatch(target, ops)).toThrow(want);
  else expect(jsonPatch(target, ops)).toEqual(want);
  expect(target).toEqual({ a: 1, l: [1, 2] });
});
