import { describe, expect, test } from "vitest";
import { callPlugin, endpointsOf, leftIn, makeFakeWorld } from "../testing.ts";
import type { FakeWorld } from "../testing.ts";

const PAST_IPAM = { feature_control: { ip_addrs_no_ipam: true } };
const annotated = { pod: { annotations: { "cni.projectcalico.org/ipAddrsNoIpam": '["10.20.0.1"]' } } };

async function world(o: Parameters<typeof makeFakeWorld>[0] = {}): Promise<FakeWorld & { asked: string[] }> {
  const w = await makeFakeWorld(o);
  const asked: string[] = [];
  w.execPlugin = async ({ type, call, stdin }) => {
    asked.push(`${type} ${call.command} ${call.command === "GC" ? JSON.stringify(JSON.parse(stdin)["cni.dev/valid-attachments"]) : ""}`);
    return { exit: 0, stdout: call.command === "ADD" ? '{"cniVersion":"1.0.0","ips":[{"address":"10.9.0.5/24"}]}' : "" };
  };
  return Object.assign(w, { settings: { ...w.settings, isBusy: () => false }, asked });
}

const add = (w: FakeWorld, name: string, conf: object = {}, env: object = {}) =>
  callPlugin(w, { env, conf: { cniVersion: "1.1.0", name, ...conf } });
const gc = (w: FakeWorld, name: string, conf: object = {}, plugin: "calico" | "calico-ipam" = "calico") =>
  callPlugin(w, { plugin, env: { CNI_COMMAND: "GC" }, conf: { cniVersion: "1.1.0", name, "cni.dev/valid-attachments": [], ...conf } });
const leftOver = (w: FakeWorld) => w.lines.filter((l) => l.message === "left by garbage collection").map((l) => l.fields["reason"]);

/** As by a version that wrote no networks down. */
async function forgetNetworks(w: FakeWorld): Promise<void> {
  for (const { key, value } of w.store.dump().values()) {
    const json = JSON.parse(value);
    if (!key.includes("/workloadendpoints/")) continue;
    delete json.metadata.annotations;
    await w.store.put(key, JSON.stringify(json));
  }
}

const HOST_LOCAL = { ipam: { type: "host-local", subnet: "10.9.0.0/24" } };
const kinds = [
  { kind: "calico-ipam", conf: {}, pod: {} },
  { kind: "host-local", conf: HOST_LOCAL, pod: {} },
  { kind: "addresses past IPAM", conf: PAST_IPAM, pod: annotated },
];

describe.for(kinds)("GC of one network, a pod of another by $kind", ({ conf, pod }) => {
  test.for([true, false])("it stays, written down: %s", async (isWritten) => {
    const w = await world(pod);
    expect((await add(w, "netB", conf)).exit).toBe(0);
    if (!isWritten) await forgetNetworks(w);
    const before = leftIn(w);
    expect((await gc(w, "netA")).exit).toBe(0);
    expect(leftIn(w)).toEqual(before);
  });

  test("its own GC takes it", async () => {
    const w = await world(pod);
    await add(w, "netB", conf);
    expect((await gc(w, "netB", conf)).exit).toBe(0);
    expect(leftIn(w)).toEqual([]);
  });
});

test("GC: an endpoint of which nothing tells the network is left, and why is said; one whose address is this network's goes", async () => {
  const w = await world();
  await add(w, "netA", HOST_LOCAL);
  await forgetNetworks(w);
  expect((await gc(w, "netA", HOST_LOCAL)).exit).toBe(0);
  expect(endpointsOf(w)).toHaveLength(1);
  expect(leftOver(w)).toEqual([expect.stringContaining("nothing tells which network made it")]);
  const own = await world();
  await add(own, "netA");
  await forgetNetworks(own);
  expect((await gc(own, "netA")).exit).toBe(0);
  expect(leftIn(own)).toEqual([]);
});

test("GC: the second interface of a container whose first is this network's is not taken for it", async () => {
  const w = await world();
  await add(w, "netA", {}, { CNI_ARGS: "" });
  await add(w, "netB", HOST_LOCAL, { CNI_ARGS: "", CNI_IFNAME: "net1" });
  await forgetNetworks(w);
  expect((await gc(w, "netA", { "cni.dev/valid-attachments": [{ containerID: "c1", ifname: "eth0" }] })).exit).toBe(0);
  expect(endpointsOf(w)).toHaveLength(2);
});

test("GC: an endpoint that two networks have goes with the last of them, and its address with it", async () => {
  const w = await world();
  for (const name of ["n1", "n2"]) expect((await add(w, name, { policy: {} }, { CNI_ARGS: "" })).exit).toBe(0);
  const before = leftIn(w);
  expect((await gc(w, "n1")).exit).toBe(0);
  expect(leftIn(w)).toEqual(before);
  expect(leftOver(w)).toEqual(["it is network n2's too", expect.stringContaining("still has it")]);
  expect((await gc(w, "n2")).exit).toBe(0);
  expect(endpointsOf(w)).toEqual([]);
  expect((await gc(w, "n1")).exit).toBe(0);
  expect(leftIn(w)).toEqual([]);
});

test("GC: a device without an endpoint here that the node sends another's address to is a living pod's of another datastore", async () => {
  const w = await world();
  const host = w.kernel.host();
  await host.addLink({ kind: "veth", name: "cali0far", mac: "ee:ee:ee:ee:ee:ee", up: true, peer: { name: "x" } });
  await host.replaceRoute({ dst: "10.7.0.1/32", type: "unicast", dev: "cali0far", scope: "link", protocol: 3 });
  expect((await gc(w, "netA")).exit).toBe(0);
  expect(leftIn(w)).toEqual(["cali0far", "x"]);
  expect(leftOver(w)).toEqual([expect.stringContaining("10.7.0.1")]);
});

test("GC: an address that a standing endpoint has is not free, and neither is one of a network whose name goes on after a dot", async () => {
  const w = await world();
  const give = (handle: string) =>
    w.datastoreOf(undefined).ipam.autoAssign({ node: "node1", num4: 1, num6: 0, handle, attrs: { node: "node1" } });
  await give("net.v6.c9");
  await add(w, "net");
  await w.store.put(
    "/calico/resources/v3/projectcalico.org/workloadendpoints/default/node1-k8s-nginx-eth0",
    JSON.stringify({
      ...JSON.parse(JSON.stringify(endpointsOf(w)[0])),
      metadata: { name: "node1-k8s-nginx-eth0", namespace: "default", annotations: { "cni.projectcalico.org/networks": "other" } },
    }),
  );
  const before = leftIn(w);
  expect((await gc(w, "net")).exit).toBe(0);
  expect(leftIn(w)).toEqual(before);
});

test("GC: another IPAM plugin collects too, and its failure is told after all else is done", async () => {
  const w = await world();
  expect((await gc(w, "netA", HOST_LOCAL)).exit).toBe(0);
  expect(w.asked).toEqual(["host-local GC []"]);
  await add(w, "netA", HOST_LOCAL);
  w.execPlugin = async ({ call }) => (call.command === "GC" ? { exit: 1, stdout: '{"code":11,"msg":"busy"}' } : { exit: 0, stdout: "" });
  expect((await gc(w, "netA", HOST_LOCAL)).json).toMatchObject({ code: 11, msg: "IPAM plugin host-local failed (GC): busy" });
  expect(leftIn(w)).toEqual([]);
});

test("GC of calico-ipam under another main plugin: the addresses that no valid attachment has", async () => {
  const w = await world();
  for (const id of ["c1", "c2"])
    await callPlugin(w, { plugin: "calico-ipam", env: { CNI_CONTAINERID: id }, conf: { cniVersion: "1.1.0", type: "ptp" } });
  const valid = { type: "ptp", "cni.dev/valid-attachments": [{ containerID: "c2", ifname: "eth0" }] };
  expect((await gc(w, "k8s-pod-network", valid, "calico-ipam")).exit).toBe(0);
  expect(leftIn(w)).toEqual(["/calico/ipam/v2/handle/k8s-pod-network.c2"]);
});

test("GC: the list under its other name counts, alone or besides", async () => {
  const w = await world();
  await add(w, "netA");
  const before = leftIn(w);
  const c1 = [{ containerID: "c1", ifname: "eth0" }];
  expect((await gc(w, "netA", { "cni.dev/valid-attachments": undefined, "cni.dev/attachments": c1 })).exit).toBe(0);
  expect((await gc(w, "netA", { "cni.dev/attachments": c1 })).exit).toBe(0);
  expect(leftIn(w)).toEqual(before);
  expect((await gc(w, "netA", { "cni.dev/valid-attachments": undefined })).json.code).toBe(7);
});
