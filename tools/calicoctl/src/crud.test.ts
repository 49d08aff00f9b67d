import { resourceClient } from "@calico/datastore";
import { makeIpam } from "@calico/ipam";
import { expect, test } from "vitest";
import { makeFakeCli } from "./testing.ts";

const POOL = { kind: "IPPool", apiVersion: "projectcalico.org/v3", metadata: { name: "pool1" }, spec: { cidr: "10.0.0.0/16" } };
const TIER = { kind: "Tier", apiVersion: "projectcalico.org/v3", metadata: { name: "security" }, spec: { order: 100 } };
const POLICY = {
  kind: "NetworkPolicy",
  apiVersion: "projectcalico.org/v3",
  metadata: { name: "web", namespace: "shop" },
  spec: { order: 10, selector: "app == 'web'", ingress: [{ action: "Allow" }] },
};
const pool = (name: string, cidr: string) => ({ ...POOL, metadata: { name }, spec: { cidr } });
const files = (content: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(content).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]));

test("apply: creates, then updates, and says how many of which kind", async () => {
  const cli = makeFakeCli(files({ f: POOL }));
  expect(await cli.run("apply -f f")).toEqual({ code: 0, out: "Successfully applied 1 'IPPool' resource(s)\n", err: "" });
  cli.files.set("f", JSON.stringify({ ...POOL, spec: { ...POOL.spec, natOutgoing: true } }));
  expect((await cli.run("apply -f f")).code).toBe(0);
  expect((await cli.run("get ippools -o wide")).out).toBe(
    [
      "NAME    CIDR          NAT    IPIPMODE   VXLANMODE   DISABLED   DISABLEBGPEXPORT   SELECTOR   ASSIGNMENTMODE   ",
      "pool1   10.0.0.0/16   true   Never      Never       false      false              all()      Automatic        ",
      "",
      "",
    ].join("\n"),
  );
});

test("apply: several documents, lists and arrays, of several kinds", async () => {
  const list = { kind: "IPPoolList", apiVersion: "projectcalico.org/v3", items: [pool("b", "10.2.0.0/16")] };
  const yaml = [POOL, [TIER], list].map((value) => JSON.stringify(value)).join("\n---\n");
  const cli = makeFakeCli({ f: `---\n${yaml}\n---\n` });
  expect((await cli.run("apply -f f")).out).toBe("Successfully applied 3 resource(s)\n");
});

test.for([
  {
    name: "exists",
    first: POOL,
    second: POOL,
    args: "create -f f",
    want: "failed to create 'IPPool' resource: [resource already exists: IPPool(pool1) with error:",
  },
  {
    name: "does not exist",
    first: TIER,
    second: POOL,
    args: "replace -f f",
    want: "failed to replace 'IPPool' resource: [resource does not exist: IPPool(pool1) with error:",
  },
  {
    name: "all fail",
    first: POOL,
    second: [POOL, pool("b", "10.1.0.0/16")],
    args: "create -f f",
    want: "failed to create any 'IPPool' resources: [",
  },
  {
    name: "overlapping pool",
    first: POOL,
    second: pool("b", "10.0.1.0/24"),
    args: "apply -f f",
    want: "IPPool(b) CIDR overlaps with IPPool(pool1) CIDR 10.0.0.0/16",
  },
  { name: "pool moved", first: POOL, second: pool("pool1", "10.9.0.0/16"), args: "apply -f f", want: "IPPool CIDR cannot be modified" },
  {
    name: "cluster information",
    first: POOL,
    second: { ...POOL, kind: "ClusterInformation", metadata: { name: "default" }, spec: {} },
    args: "apply -f f",
    want: "operation create or apply is not supported on default",
  },
  {
    name: "policy of Kubernetes",
    first: POOL,
    second: { ...POLICY, metadata: { name: "knp.default.x" } },
    args: "replace -f f",
    want: "operation apply or replace is not supported on knp.default.x",
  },
  {
    name: "no such tier",
    first: POOL,
    second: { ...POLICY, spec: { tier: "nowhere" } },
    args: "apply -f f",
    want: "resource does not exist: Tier(nowhere)",
  },
  {
    name: "old revision",
    first: POOL,
    second: { ...POOL, metadata: { name: "pool1", resourceVersion: "1" } },
    args: "replace -f f",
    want: "resource version '1' is out of date (latest: ",
  },
  {
    name: "unknown kind",
    first: POOL,
    second: { kind: "Pod", apiVersion: "v1" },
    args: "apply -f f",
    want: "f: unknown resource type (Pod) and/or version (v1)",
  },
  {
    name: "other namespace",
    first: POOL,
    second: POLICY,
    args: "apply -n other -f f",
    want: "resource namespace does not match client namespace. shop != other",
  },
  { name: "no file", first: POOL, second: POOL, args: "apply -f absent", want: "cannot read absent: no such file or folder" },
  { name: "empty file", first: POOL, second: "", args: "apply -f f", want: "no resources specified in file f" },
  {
    name: "unknown field",
    first: POOL,
    second: { ...POOL, spec: { cidr: "10.0.0.0/16", natOutgoin: true } },
    args: "apply -f f",
    want: 'unknown field "spec.natOutgoin"',
  },
])("write: refused: $name", async ({ first, second, args, want }) => {
  const cli = makeFakeCli(files({ first, f: second }));
  expect((await cli.run("apply -f first")).err).toBe("");
  const before = (await cli.run("get pools -o json")).out.replace(/"resourceVersion": "\d+"/g, "");
  const ran = await cli.run(args);
  expect(ran.code).toBe(1);
  expect(ran.err).toContain(want);
  expect((await cli.run("get pools -o json")).out.replace(/"resourceVersion": "\d+"/g, "")).toBe(before);
});

test("create: stops at the first failure and says how far it came", async () => {
  const cli = makeFakeCli(files({ f: [pool("a", "10.1.0.0/16"), pool("a", "10.1.0.0/16"), pool("b", "10.2.0.0/16")] }));
  const ran = await cli.run("create -f f");
  expect(ran.out).toBe("Partial success: created the first 1 out of 3 'IPPool' resources:\n");
  expect(ran.err).toMatch(/^hit error: resource already exists: IPPool\(a\)/);
  expect((await cli.run("get pools")).out).not.toContain("10.2.0.0/16");
  expect((await cli.run("create -f f --skip-exists")).out).toBe(
    "Successfully created 1 'IPPool' resource(s)\nSkipped 2 'IPPool' resource(s)\n",
  );
});

test("apply: a bad selector is refused with file, object, field, offset and a caret, and nothing is written", async () => {
  const bad = { ...POLICY, spec: { selector: "app == 'web' && (role = 'x')" } };
  const cli = makeFakeCli(files({ "p.yaml": [POOL, bad] }));
  const ran = await cli.run("apply -f p.yaml");
  expect(ran.code).toBe(1);
  expect(ran.err).toBe(
    [
      "failed to execute command: p.yaml: NetworkPolicy(shop/web): error with field spec.selector = 'app == 'web' && (role = 'x')' (invalid selector: expected == at offset 22)",
      "    app == 'web' && (role = 'x')",
      "                          ^",
      "",
    ].join("\n"),
  );
  expect(cli.store.dump().size).toBe(0);
});

test("replace: takes the revision from the datastore, or holds the file to it", async () => {
  const cli = makeFakeCli(files({ f: POOL }));
  await cli.run("create -f f");
  const stored = JSON.parse((await cli.run("get pool pool1 -o json")).out);
  cli.files.set("f", JSON.stringify({ ...POOL, spec: { cidr: "10.0.0.0/16", disabled: true } }));
  expect((await cli.run("replace -f f")).out).toBe("Successfully replaced 1 'IPPool' resource(s)\n");
  cli.files.set("f", JSON.stringify(stored));
  expect((await cli.run("replace -f f")).err).toContain("is out of date");
  const now = JSON.parse((await cli.run("get pool pool1 -o json")).out);
  expect([now.spec.disabled, now.metadata.uid]).toEqual([true, stored.metadata.uid]);
});

test("delete: by name, by file, and those that are not there", async () => {
  const cli = makeFakeCli(files({ f: [POOL, POLICY] }));
  await cli.run("apply -f f");
  expect((await cli.run("delete policy web -n shop")).out).toBe("Successfully deleted 1 'NetworkPolicy' resource(s)\n");
  expect((await cli.run("delete -f f")).err).toContain("hit error: resource does not exist: NetworkPolicy(shop/web)");
  expect((await cli.run("delete pool pool1 --skip-not-exists")).out).toBe("Skipped 1 'IPPool' resource(s)\n");
  expect((await cli.run("delete tier default")).err).toContain(
    "failed to delete 'Tier' resource: [operation Delete is not supported on Tier(default)",
  );
  expect((await cli.run("get pools")).out).toBe("NAME   CIDR   SELECTOR   \n\n");
});

test("get: columns, namespaces, names", async () => {
  const cli = makeFakeCli(files({ f: [POLICY, { ...POLICY, metadata: { name: "db" } }] }));
  await cli.run("apply -f f");
  expect((await cli.run("get NetworkPolicies")).out).toBe("NAME   TIER      \ndb     default   \n\n");
  expect((await cli.run("get np -A -o wide")).out).toBe(
    "NAMESPACE   NAME   TIER      ORDER   SELECTOR       \ndefault     db     default   10      app == 'web'   \nshop        web    default   10      app == 'web'   \n\n",
  );
  expect((await cli.run("get np -A -o custom-columns=name,order")).out).toBe(
    "NAMESPACE   NAME   ORDER   \ndefault     db     10      \nshop        web    10      \n\n",
  );
  expect((await cli.run("get np web -n shop -o yaml --export")).out).toMatch(
    /^apiVersion: projectcalico.org\/v3\nkind: NetworkPolicy\nmetadata:\n {2}labels:\n/,
  );
  const list = JSON.parse((await cli.run("get np -n shop -o json")).out);
  expect([list.kind, list.items.length, list.items[0].metadata.annotations]).toEqual(["NetworkPolicyList", 1, undefined]);
  expect(JSON.parse((await cli.run("get -f f -o json")).out)).toHaveLength(2);
  const partly = await cli.run("get np web,absent -n shop");
  expect(partly.out).toContain("web");
  expect([partly.code, partly.err]).toEqual([
    1,
    "resource does not exist: NetworkPolicy(shop/absent) with error: it was not found in the datastore\n",
  ]);
});

test.for([
  { args: "get gizmo", want: "resource type 'gizmo' is not supported" },
  { args: "get nodes -n x", want: "Node is not namespaced" },
  { args: "get np -n x -A", want: "cannot use both --namespace and --all-namespaces flags at the same time" },
  { args: "get np web -A", want: "cannot use --all-namespaces with the name of a resource" },
  { args: "get np -o bird", want: "unrecognized output format 'bird'" },
  { args: "get np -o custom-columns=NAME,AGE", want: "unknown heading AGE, valid values are: NAME, NAMESPACE, TIER, ORDER, SELECTOR" },
  { args: "get", want: "say what to get" },
  { args: "fetch", want: "unknown command 'fetch'" },
  { args: "apply", want: "required option '-f, --filename <file>' not specified" },
  { args: "patch pool absent -p {}", want: "failed to patch 'IPPool' resource: resource does not exist: IPPool(absent)" },
  { args: "label node n a", want: "invalid label a: expected key=value, or key with --remove" },
])("calicoctl $args: refused", async ({ args, want }) => {
  const ran = await makeFakeCli().run(args);
  expect(ran.code).toBe(1);
  expect(ran.err).toContain(want);
});

test("get: what cannot be read is named, the rest is shown", async () => {
  const cli = makeFakeCli(files({ f: POOL }));
  await cli.run("apply -f f");
  await cli.store.put("/calico/resources/v3/projectcalico.org/ippools/broken", '{"kind":"IPPool"');
  const ran = await cli.run("get pools");
  expect(ran.out).toContain("pool1");
  expect([ran.code, ran.err.slice(0, 40)]).toEqual([1, "failed to parse datastore entry key=/cal"]);
});

test("patch: merge and JSON patch, checked like any other write", async () => {
  const cli = makeFakeCli(files({ f: POOL }));
  await cli.run("apply -f f");
  const spec = async () => JSON.parse((await cli.run("get pool pool1 -o json")).out).spec;
  expect((await cli.run(["patch", "pool", "pool1", "-p", '{"spec":{"natOutgoing":true}}'])).out).toBe(
    "Successfully patched 1 'IPPool' resource\n",
  );
  expect((await spec()).natOutgoing).toBe(true);
  expect(
    (await cli.run(["patch", "pool", "pool1", "-t", "json", "-p", '[{"op":"replace","path":"/spec/disabled","value":true}]'])).code,
  ).toBe(0);
  expect((await spec()).disabled).toBe(true);
  expect((await cli.run(["patch", "pool", "pool1", "-p", '{"spec":{"ipipMode":"x"}}'])).err).toContain("spec.ipipMode");
  expect((await cli.run(["patch", "pool", "pool1", "-p", '{"spec":{"cidr":"10.9.0.0/16"}}'])).err).toContain(
    "IPPool CIDR cannot be modified",
  );
  expect((await cli.run(["patch", "pool", "pool1", "-p", "{"])).err).toContain("the patch is not JSON");
});

test("label: set, keep, overwrite, remove", async () => {
  const cli = makeFakeCli(files({ f: POOL }));
  await cli.run("apply -f f");
  expect((await cli.run("label pool pool1 a=b")).out).toBe("Successfully set label a on pool pool1\n");
  expect((await cli.run("label pool pool1 a=d")).err).toContain("key a is already present. please use '--overwrite'");
  expect((await cli.run("label pool pool1 a=d --overwrite")).out).toBe("Successfully updated label a on pool pool1\n");
  expect(JSON.parse((await cli.run("get pool pool1 -o json")).out).metadata.labels).toEqual({ a: "d" });
  expect((await cli.run("label pool pool1 a --remove")).out).toBe("Successfully removed label a from pool pool1.\n");
  expect((await cli.run("label pool pool1 a --remove")).err).toContain("key a does not exist");
});

test("validate: needs no datastore", async () => {
  const cli = makeFakeCli(files({ "dir/a.yaml": POOL, "dir/b.yaml": POLICY }));
  expect((await cli.run("validate -f dir/")).out).toBe("Successfully validated 2 resource(s)\n");
  expect(cli.store.dump().size).toBe(0);
});

test("delete: a pool gives back the nodes' claims in it, and its addresses stay their owners'", async () => {
  const cli = makeFakeCli(files({ f: pool("pool1", "10.0.0.0/16"), g: { ...POOL, spec: { cidr: "10.0.0.0/16", blockSize: 28 } } }));
  await cli.run("apply -f f");
  const ipam = makeIpam({ store: cli.store });
  await ipam.autoAssign({ node: "n1", num4: 1, num6: 0, handle: "h1" });
  await ipam.ensureBlock({ node: "n2", v4: true, v6: false });
  expect((await cli.run("delete ippool pool1")).code).toBe(0);
  const left = [...cli.store.dump().keys()].filter((key) => key.startsWith("/calico/ipam/"));
  expect(left.filter((key) => key.includes("/host/"))).toEqual([]);
  expect(left.filter((key) => key.includes("/assignment/"))).toHaveLength(1);
  expect((await cli.run("apply -f g")).err).toMatch(/blocksize is not the same as existing block 10\.0\./);
  expect((await cli.run("apply -f f")).code).toBe(0);
});

test("delete: a node takes its endpoints, addresses and claims along; the other node keeps all of its own", async () => {
  const cli = makeFakeCli(files({ f: pool("pool1", "10.0.0.0/16") }));
  await cli.run("apply -f f");
  const objects = resourceClient(cli.store);
  const ipam = makeIpam({ store: cli.store });
  for (const node of ["n1", "n2"]) {
    await objects.create({ kind: "Node", metadata: { name: node }, spec: {} });
    const given = await ipam.autoAssign({ node, num4: 1, num6: 0, handle: `net.${node}` });
    const [ip] = given.ok ? given.value.v4.ips : [];
    const spec = { orchestrator: "k8s", node, pod: "p", endpoint: "eth0", ipNetworks: [ip?.address.replace(/\/\d+$/, "/32") ?? ""] };
    expect(
      (await objects.create({ kind: "WorkloadEndpoint", metadata: { name: `${node}-k8s-p-eth0`, namespace: "default" }, spec })).ok,
    ).toBe(true);
  }
  expect(await cli.run("delete node n1")).toMatchObject({ code: 0, out: "Successfully deleted 1 'Node' resource(s)\n" });
  const left = [...cli.store.dump().keys()];
  expect(left.filter((key) => /n1/.test(key))).toEqual([]);
  expect(left.filter((key) => /n2|assignment/.test(key))).toHaveLength(5); // node, endpoint, handle, claim, block
});
