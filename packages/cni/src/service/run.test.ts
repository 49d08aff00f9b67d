import { expect, test } from "vitest";
import { callPlugin, endpointsOf, leftIn, makeFakeWorld } from "../testing.ts";
import type { FakeWorld } from "../testing.ts";

test("ADD: the endpoint carries the pod's labels, account, profiles and named ports", async () => {
  const world = await makeFakeWorld({ pod: { ports: [{ name: "http", protocol: "TCP", port: 80 }] } });
  const { exit, json } = await callPlugin(world);
  expect(exit).toBe(0);
  const [endpoint] = endpointsOf(world);
  expect(endpoint?.metadata).toMatchObject({
    name: "node1-k8s-nginx-eth0",
    namespace: "default",
    labels: {
      app: "web",
      "projectcalico.org/namespace": "default",
      "projectcalico.org/orchestrator": "k8s",
      "projectcalico.org/serviceaccount": "default",
    },
  });
  expect(endpoint?.spec).toMatchObject({
    orchestrator: "k8s",
    node: "node1",
    pod: "nginx",
    containerID: "c1",
    endpoint: "eth0",
    serviceAccountName: "default",
    ipNetworks: [json.ips[0].address],
    interfaceName: "calic440f455693",
    profiles: ["kns.default", "ksa.default.default"],
    ports: [{ name: "http", protocol: "TCP", port: 80 }],
  });
});

test("ADD: waits for felix's report of this endpoint, and says so when it does not come", async () => {
  const world = await makeFakeWorld();
  expect((await callPlugin(world)).exit).toBe(0);
  expect(world.waits).toEqual([{ path: "/var/run/calico/endpoint-status/k8s default%2Fnginx eth0", timeoutMs: 10_000 }]);
  expect(world.lines.map((l) => l.message)).toContain("timed out waiting for endpoint status file");
});

test.for([
  { name: "this container's", file: '{"containerID":"c1"}', warned: false },
  { name: "a former pod's of the same name", file: '{"containerID":"c0"}', warned: true },
  { name: "one that names no container", file: "{}", warned: false },
])("ADD: policy wait: the file there is $name", async ({ file, warned }) => {
  const world = await makeFakeWorld();
  world.present.set("/var/run/calico/endpoint-status/k8s default%2Fnginx eth0", file);
  expect((await callPlugin(world)).exit).toBe(0);
  expect(world.lines.some((l) => l.message === "timed out waiting for endpoint status file")).toBe(warned);
});

test.for([
  {
    name: "the configuration's own time and folder",
    conf: { policy_setup_timeout_seconds: 3, endpoint_status_dir: "/s" },
    want: ["/s/k8s default%2Fnginx eth0 3000"],
  },
  { name: "0 is not at all", conf: { policy_setup_timeout_seconds: 0 }, want: [] },
])("ADD: policy wait: $name", async ({ conf, want }) => {
  const world = await makeFakeWorld();
  await callPlugin(world, { conf });
  expect(world.waits.map((w) => `${w.path} ${w.timeoutMs}`)).toEqual(want);
});

test.for([
  { version: "0.2.0", want: ["cniVersion", "dns", "ip4"] },
  { version: "0.3.1", want: ["cniVersion", "dns", "interfaces", "ips", "routes"] },
  { version: "1.0.0", want: ["cniVersion", "interfaces", "ips", "routes"] },
])("ADD: the result has the form of version $version", async ({ version, want }) => {
  const { json } = await callPlugin(await makeFakeWorld(), { conf: { cniVersion: version } });
  expect(Object.keys(json).sort()).toEqual(want);
  if (version === "0.3.1") expect(json.ips[0]).toMatchObject({ version: "4", interface: 1 });
});

test("ADD: a kernel that refuses any one step leaves neither address nor device nor endpoint", async () => {
  const whole = await makeFakeWorld();
  await callPlugin(whole);
  const steps = whole.fakeKernel.recorded.length;
  expect(steps).toBeGreaterThan(5);
  for (let step = 0; step < steps; step++) {
    const world = await makeFakeWorld();
    let seen = 0;
    world.fakeKernel.faults.push({ errno: 12, match: (op) => seen++ === step && op.do !== "deleteLink" });
    const { exit, json } = await callPlugin(world);
    if (exit === 0) continue;
    expect(json.code, json.msg).toBe(102);
    expect(leftIn(world)).toEqual([]);
  }
});

test("ADD: a datastore that fails at any one operation leaves nothing, or what DEL then takes", async () => {
  for (let n = 0; n < 40; n++) {
    const world = await makeFakeWorld();
    const real = world.store.txn;
    let untilFault = n;
    world.store.txn = async (txn) => {
      if (untilFault-- === 0) world.store.failNext({ when: n % 2 === 0 ? "before" : "after", op: "txn" });
      return await real(txn);
    };
    const added = await callPlugin(world);
    untilFault = -1;
    if (added.exit !== 0) expect(added.json.code).toBe(11);
    expect((await callPlugin(world, { env: { CNI_COMMAND: "DEL" } })).exit).toBe(0);
    expect(leftIn(world)).toEqual([]);
  }
});

test("DEL: an endpoint that a newer container has stays, and its device too; the old address goes", async () => {
  const world = await makeFakeWorld();
  await callPlugin(world);
  await callPlugin(world, { env: { CNI_CONTAINERID: "c2" } });
  expect((await callPlugin(world, { env: { CNI_COMMAND: "DEL", CNI_NETNS: "" } })).exit).toBe(0);
  expect(leftIn(world)).toEqual([
    "/calico/ipam/v2/handle/k8s-pod-network.c2",
    "/calico/resources/v3/projectcalico.org/workloadendpoints/default/node1-k8s-nginx-eth0",
    "calic440f455693",
    "eth0",
  ]);
});

test.for([
  {
    name: "no nodename file",
    prepare: (w: FakeWorld) => w.present.delete("/var/lib/calico/nodename"),
    want: /^11 stat .*nodename: no such file/,
  },
  {
    name: "a locked datastore",
    prepare: (w: FakeWorld) =>
      w.store.put(
        "/calico/resources/v3/projectcalico.org/clusterinformations/default",
        '{"kind":"ClusterInformation","apiVersion":"projectcalico.org/v3","metadata":{"name":"default"},"spec":{"datastoreReady":false}}',
      ),
    want: /^11 Calico is currently not ready to process requests/,
  },
  {
    name: "a pod the API server does not answer for",
    prepare: (w: FakeWorld) => Object.assign(w, { podOf: async () => Promise.reject(new Error("boom")) }),
    want: /^100 boom/,
  },
  { name: "a route that another device has", prepare: otherRoute, want: /^102 cannot add the host route .*/ },
])("ADD: $name", async ({ prepare, want }) => {
  const world = await makeFakeWorld();
  await prepare(world);
  const before = leftIn(world);
  const { exit, json } = await callPlugin(world);
  expect(exit).toBe(1);
  expect(`${json.code} ${json.msg}`).toMatch(want);
  expect(leftIn(world)).toEqual(before);
});

/** Every address of the host's first block has a route to another device. */
async function otherRoute(world: FakeWorld): Promise<void> {
  const { json } = await callPlugin(world);
  await callPlugin(world, { env: { CNI_COMMAND: "DEL" } });
  const host = world.kernel.host();
  await host.addLink({ kind: "bridge", name: "other", up: true });
  const block = [...world.store.dump().keys()]
    .find((k) => k.includes("/assignment/"))!
    .split("/")
    .at(-1)!
    .split("-")[0]!;
  const [a, b, c, d] = block.split(".").map(Number);
  for (let i = 0; i < 64; i++) {
    await host.replaceRoute({
      dst: `${a}.${b}.${c}.${d! + i}/32`,
      type: "unicast",
      dev: "other",
      scope: "link",
      protocol: 3,
      metric: 1024,
    });
  }
  expect(json.cniVersion).toBe("0.3.0");
}

test("GC: only this network's containers that are not valid any more", async () => {
  const world = await makeFakeWorld();
  const conf = { cniVersion: "1.1.0", "cni.dev/valid-attachments": [{ containerID: "c1", ifname: "eth0" }] };
  await callPlugin(world);
  expect((await callPlugin(world, { env: { CNI_COMMAND: "GC" }, conf })).exit).toBe(0);
  expect(endpointsOf(world).length).toBe(1);
  expect((await callPlugin(world, { env: { CNI_COMMAND: "GC" }, conf: { ...conf, "cni.dev/valid-attachments": [] } })).exit).toBe(0);
  expect(leftIn(world)).toEqual([]);
});

test("STATUS: says when ADD could not be served", async () => {
  const world = await makeFakeWorld();
  const status = { env: { CNI_COMMAND: "STATUS" }, conf: { cniVersion: "1.1.0" } };
  expect((await callPlugin(world, status)).exit).toBe(0);
  await world.store.delete("/calico/resources/v3/projectcalico.org/clusterinformations/default");
  expect((await callPlugin(world, status)).json.code).toBe(51);
  world.present.set("/var/run/calico/endpoint-status", "");
  expect((await callPlugin(world, status)).json.code).toBe(50);
});

test("calico-ipam by itself: the block's mask, a route per address, one family or both", async () => {
  const world = await makeFakeWorld();
  const { json } = await callPlugin(world, { plugin: "calico-ipam" });
  expect(json.ips[0].address).toMatch(/^192\.200\.\d+\.\d+\/26$/);
  expect(json.routes).toEqual([{ dst: json.ips[0].address.replace("/26", "/32") }]);
  const both = await callPlugin(world, {
    plugin: "calico-ipam",
    env: { CNI_CONTAINERID: "c2" },
    conf: { ipam: { type: "calico-ipam", assign_ipv6: "true" } },
  });
  expect(both.json).toMatchObject({ code: 101 });
  expect([...world.store.dump().keys()].filter((k) => k.includes("/handle/"))).toEqual(["/calico/ipam/v2/handle/k8s-pod-network.c1"]);
});
