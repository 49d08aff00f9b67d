import { makeFakeStore } from "@calico/datastore/testing";
import type { FakeStore } from "@calico/datastore/testing";
import { expect, test } from "vitest";
import { disagreements, putNode, putPool } from "../testing.ts";
import { makeIpam } from "./ipam.ts";

const CONFIG = "/calico/ipam/v2/config";

async function world(spec: object = {}) {
  const store = makeFakeStore();
  await putPool(store, "p", { cidr: "10.0.0.0/28", blockSize: 30, ...spec });
  return { store, ipam: makeIpam({ store }) };
}
const claims = (store: FakeStore) =>
  [...store.dump().keys()].flatMap((k) => /\/v2\/((?:host|virtual)\/.*)$/.exec(k)?.[1] ?? []).map((k) => k.replace(/\/ipv.\/block\//, " "));
const said = <T>(r: { ok: true; value: T } | { ok: false; error: { kind: string; message: string } }) =>
  r.ok ? r.value : `${r.error.kind}: ${r.error.message}`;

test.for([
  {
    name: "both off",
    change: { strictAffinity: false, autoAllocateBlocks: false },
    want: "invalid: Cannot disable 'StrictAffinity' and 'AutoAllocateBlocks' at the same time",
  },
  {
    name: "a limit without strict affinity",
    change: { maxBlocksPerHost: 3 },
    want: "invalid: MaxBlocksPerHost requires StrictAffinity to be enabled",
  },
  { name: "a cooldown of hours", change: { cooldownSec: 1201 }, want: "invalid: IPCooldownSeconds must be 0 to 1200, not 1201" },
  { name: "the defaults", change: { autoAllocateBlocks: true }, want: "unchanged" },
  {
    name: "strict, with a limit",
    change: { strictAffinity: true, maxBlocksPerHost: 3 },
    want: '{"strict_affinity":true,"auto_allocate_blocks":true,"maxBlocksPerHost":3,"kubeVirtVMAddressPersistence":"Enabled"}',
  },
])("setConfig: $name", async ({ change, want }) => {
  const { store, ipam } = await world();
  const outcome = await ipam.setConfig(change);
  const written = outcome.ok && outcome.value.written ? (await store.get(CONFIG))?.value : undefined;
  expect(outcome.ok ? (written ?? "unchanged") : said(outcome)).toBe(want);
});

test("setConfig: what a newer version wrote besides is kept", async () => {
  const { store, ipam } = await world();
  await store.put(CONFIG, '{"auto_allocate_blocks":true,"future":7}');
  await ipam.setConfig({ cooldownSec: 60 });
  expect(JSON.parse((await store.get(CONFIG))?.value ?? "")).toEqual({
    auto_allocate_blocks: true,
    kubeVirtVMAddressPersistence: "Enabled",
    ipCooldownSeconds: 60,
    future: 7,
  });
});

test("claimAffinity: every block of a CIDR, except those that are another's; releaseAffinity gives back the node's only", async () => {
  const { store, ipam } = await world();
  expect(said(await ipam.claimAffinity("10.0.0.4/30", "n2"))).toEqual({ claimed: ["10.0.0.4/30"], failed: [] });
  expect(said(await ipam.claimAffinity("10.0.0.0/29", "n1"))).toEqual({ claimed: ["10.0.0.0/30"], failed: ["10.0.0.4/30"] });
  expect(said(await ipam.claimAffinity("10.1.0.0/30", "n1"))).toMatch(/^noPool: The requested CIDR \(10.1.0.0\/30\) is not within/);
  expect(said(await ipam.claimAffinity("10.0.0.0/31", "n1"))).toMatch(/^invalid: The requested CIDR \(10.0.0.0\/31\) is smaller than/);
  expect(said(await ipam.releaseAffinity("10.0.0.0/28", "n1"))).toEqual(["10.0.0.0/30"]);
  expect(claims(store)).toEqual(["host/n2 10.0.0.4-30"]);
  expect(disagreements(store.dump())).toEqual([]);
});

test("releaseBlockAffinity: with mustBeEmpty a block in use is refused, without it stays nobody's until its last address goes", async () => {
  const { store, ipam } = await world({ cidr: "10.0.0.0/30" });
  await ipam.autoAssign({ node: "n1", num4: 1, num6: 0, handle: "h" });
  expect(said(await ipam.releaseBlockAffinity("10.0.0.0/30", { mustBeEmpty: true }))).toBe("taken: block '10.0.0.0/30' is not empty");
  expect(claims(store)).toEqual(["host/n1 10.0.0.0-30"]);
  expect(said(await ipam.releaseBlockAffinity("10.0.0.0/30"))).toEqual(["10.0.0.0/30"]);
  expect(claims(store)).toEqual([]);
  await store.put(CONFIG, JSON.stringify({ strict_affinity: true, auto_allocate_blocks: true }));
  expect(said(await ipam.assignIp({ node: "n1", ip: "10.0.0.3", handle: "x" }))).toBe(
    "affinity: Attempt to assign from block 10.0.0.0/30 with no affinity",
  );
  await ipam.releaseByHandle("h");
  expect([...store.dump().keys()].filter((k) => k.includes("/assignment/"))).toEqual([]);
});

test("releasePoolAffinities: nodes' and load balancers' claims, of this pool only", async () => {
  const { store, ipam } = await world({ allowedUses: ["Workload", "LoadBalancer"] });
  await putPool(store, "q", { cidr: "10.9.0.0/28", blockSize: 30, assignmentMode: "Manual" });
  await ipam.autoAssign({ node: "n1", num4: 1, num6: 0, handle: "h1" });
  await ipam.autoAssign({ node: "n2", num4: 1, num6: 0, handle: "h2", pools4: ["10.9.0.0/28"] });
  await ipam.autoAssign({ node: "n1", num4: 1, num6: 0, handle: "lb", use: "LoadBalancer" });
  expect(claims(store)).toHaveLength(3);
  expect(said(await ipam.releasePoolAffinities("10.0.0.0/28"))).toHaveLength(2);
  expect(claims(store).map((c) => c.split(" ")[0])).toEqual(["host/n2"]);
  expect((await ipam.ownerOf((await ipamIp(ipam, "lb")) ?? "")).ok).toBe(true);
  expect(disagreements(store.dump())).toEqual([]);
});

async function ipamIp(ipam: ReturnType<typeof makeIpam>, handle: string) {
  const ips = await ipam.ipsByHandle(handle);
  return ips.ok ? ips.value[0]?.split("/")[0] : undefined;
}

test("LoadBalancer use: blocks are virtual:load-balancer's, whichever node asks", async () => {
  const { store, ipam } = await world({ allowedUses: ["LoadBalancer"] });
  await ipam.autoAssign({ node: "n1", num4: 1, num6: 0, handle: "a", use: "LoadBalancer" });
  await ipam.autoAssign({ node: "n2", num4: 1, num6: 0, handle: "b", use: "LoadBalancer" });
  expect(claims(store).map((c) => c.split(" ")[0])).toEqual(["virtual/load-balancer"]);
  expect(said(await ipam.autoAssign({ node: "n1", num4: 1, num6: 0, handle: "w" }))).toBe("noPool: cannot find a qualified ippool");
  expect(said(await ipam.assignIp({ node: "n1", ip: "10.0.0.9", handle: "c", use: "LoadBalancer" }))).toEqual({ address: "10.0.0.9/32" });
});

test("removeHost: claims and marker go, addresses stay with their handles", async () => {
  const { store, ipam } = await world();
  await store.put("/calico/ipam/v2/host/n1", "");
  await ipam.autoAssign({ node: "n1", num4: 1, num6: 0, handle: "h" });
  expect(said(await ipam.removeHost("n1"))).toHaveLength(1);
  expect([...store.dump().keys()].filter((k) => k.includes("/host/"))).toEqual([]);
  expect((await ipam.ipsByHandle("h")).ok).toBe(true);
  expect(disagreements(store.dump())).toEqual([]);
});

test("removeHost: a block that is the host's without an affinity record goes too; that of another host stays", async () => {
  const { store, ipam } = await world();
  for (const node of ["n1", "n2"]) await ipam.ensureBlock({ node, v4: true, v6: false });
  for (const claim of [...store.dump().keys()].filter((k) => k.includes("/host/"))) await store.delete(claim);
  expect(said(await ipam.removeHost("n1"))).toHaveLength(1);
  const left = [...store.dump().values()].filter(({ key }) => key.includes("/block/"));
  expect(left.map(({ value }) => /"affinity":"(.*?)"/.exec(value)?.[1])).toEqual(["host:n2"]);
});

test("ensureBlock: one of each family, once", async () => {
  const { store, ipam } = await world();
  await putPool(store, "six", { cidr: "fd00::/120", blockSize: 124 });
  const one = said(await ipam.ensureBlock({ node: "n1", v4: true, v6: true }));
  expect(one).toEqual({ v4: expect.stringMatching(/^10.0.0.\d+\/30$/), v6: expect.stringMatching(/^fd00::.*\/124$/) });
  expect(said(await ipam.ensureBlock({ node: "n1", v4: true, v6: true }))).toEqual(one);
  expect(claims(store)).toHaveLength(2);
});

test("collectCold: what has cooled down comes back, what is still warm does not; an empty block without owner goes", async () => {
  const store = makeFakeStore();
  await putPool(store, "p", { cidr: "10.0.0.0/30", blockSize: 30 });
  await store.put(CONFIG, JSON.stringify({ auto_allocate_blocks: true, ipCooldownSeconds: 60 }));
  let ms = 1_800_000_000_000;
  const ipam = makeIpam({ store, clock: { now: () => ms } });
  await ipam.autoAssign({ node: "n1", num4: 1, num6: 0, handle: "a" });
  await ipam.autoAssign({ node: "n1", num4: 1, num6: 0, handle: "b" });
  await ipam.releaseByHandle("a");
  ms += 30_000;
  await ipam.releaseByHandle("b");
  expect(said(await ipam.collectCold())).toBe(0);
  ms += 30_000;
  expect(said(await ipam.collectCold())).toBe(1);
  expect(said(await ipam.releaseBlockAffinity("10.0.0.0/30"))).toEqual(["10.0.0.0/30"]);
  ms += 30_000;
  expect(said(await ipam.collectCold())).toBe(1);
  expect([...store.dump().keys()].filter((k) => k.includes("/assignment/"))).toEqual([]);
});

test("setOwnerAttributes: for the handle's own address only, without touching its neighbours", async () => {
  const { ipam, store } = await world();
  await ipam.autoAssign({ node: "n1", num4: 2, num6: 0, handle: "h", attrs: { pod: "a" } });
  const ips = await ipam.ipsByHandle("h");
  const [one = "", two = ""] = ips.ok ? ips.value.map((a) => a.split("/")[0] ?? "") : [];
  expect(said(await ipam.setOwnerAttributes(one, "x", { active: {} }))).toBe(
    `badHandle: Cannot change the owner of ${one}: it belongs to handle h, not x`,
  );
  expect((await ipam.setOwnerAttributes(one, "h", { active: { pod: "b" }, alternate: { pod: "c" } })).ok).toBe(true);
  expect(said(await ipam.ownerOf(one))).toMatchObject({ attrs: { pod: "b" }, alternate: { pod: "c" } });
  expect(said(await ipam.ownerOf(two))).toMatchObject({ attrs: { pod: "a" } });
  expect(disagreements(store.dump())).toEqual([]);
});

test("a handle's limit holds when two processes ask at once, each knowing nothing of the other", async () => {
  const { store } = await world();
  const ask = () => makeIpam({ store }).autoAssign({ node: "n1", num4: 1, num6: 0, handle: "h", maxPerHandle: 1 });
  const outcomes = await Promise.all([ask(), ask(), ask(), ask()]);
  expect(new Set(outcomes.map((o) => (o.ok ? o.value.v4.ips.map((i) => i.address).join() : o.error.message))).size).toBe(1);
  expect(said(await makeIpam({ store }).ipsByHandle("h"))).toHaveLength(1);
  expect(said(await makeIpam({ store }).assignIp({ node: "n1", ip: "10.0.0.9", handle: "h", maxPerHandle: 1 }))).toMatch(
    /^limit: Handle h holds/,
  );
});

test("WireGuard: an address once the node has a key and the cluster wants it, gone when it does not", async () => {
  const { store, ipam } = await world({ assignmentMode: "Manual" });
  const node = {
    kind: "Node",
    apiVersion: "projectcalico.org/v3",
    metadata: { name: "n1" },
    spec: {},
    status: { wireguardPublicKey: "k" },
  };
  await store.put("/calico/resources/v3/projectcalico.org/nodes/n1", JSON.stringify(node));
  const felix = (spec: object) => store.put("/calico/resources/v3/projectcalico.org/felixconfigurations/default", JSON.stringify({ spec }));
  const address = async () => {
    await ipam.ensureTunnelAddresses("n1");
    return JSON.parse((await store.get("/calico/resources/v3/projectcalico.org/nodes/n1"))?.value ?? "{}").spec?.wireguard
      ?.interfaceIPv4Address;
  };
  expect(await address()).toBeUndefined();
  await felix({ wireguardEnabled: true });
  expect(await address()).toMatch(/^10\.0\.0\.\d+$/);
  expect(said(await ipam.ipsByHandle("wireguard-tunnel-addr-n1"))).toHaveLength(1);
  await felix({ wireguardEnabled: true, wireguardHostEncryptionEnabled: true });
  expect(await address()).toBeUndefined();
  expect((await ipam.ipsByHandle("wireguard-tunnel-addr-n1")).ok).toBe(false);
});

test("a tunnel address that another took meanwhile is given up without touching the other's", async () => {
  const { store, ipam } = await world({ ipipMode: "Always" });
  await putNode(store, "n1", { spec: { bgp: { ipv4IPIPTunnelAddr: "10.0.0.9" } } });
  await ipam.assignIp({ node: "n2", ip: "10.0.0.9", handle: "pod" });
  const outcome = said(await ipam.ensureTunnelAddresses("n1"));
  expect(outcome).toMatchObject([{ kind: "ipip", changed: true }, {}, {}, {}, {}]);
  expect(said(await ipam.ownerOf("10.0.0.9"))).toMatchObject({ handle: "pod" });
});
