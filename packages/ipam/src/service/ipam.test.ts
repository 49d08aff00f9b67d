import { makeFakeStore } from "@calico/datastore/testing";
import type { FakeStore } from "@calico/datastore/testing";
import { recordingLogger } from "@calico/daemon/testing";
import { expect, test } from "vitest";
import { disagreements, putNode, putPool } from "../testing.ts";
import { factPrefixes } from "./facts.ts";
import { makeIpam } from "./ipam.ts";
import { openMirror } from "./mirror.ts";

const CONFIG = "/calico/ipam/v2/config";

async function aStore(spec: object = {}): Promise<FakeStore> {
  const store = makeFakeStore();
  await putPool(store, "p", { cidr: "10.0.0.0/28", blockSize: 30, ...spec });
  return store;
}

/** Node n1 asks for `count` addresses; the answer is the addresses, or the messages, or the error. */
async function ask(
  store: FakeStore,
  o: { node?: string; count?: number; handle?: string; clock?: { now(): number } } & Record<string, unknown> = {},
): Promise<string> {
  const { node = "n1", count = 1, handle = "h", clock, ...rest } = o;
  const outcome = await makeIpam({ store, clock }).autoAssign({ node, num4: count, num6: 0, handle, ...rest });
  expect(disagreements(store.dump())).toEqual([]);
  if (!outcome.ok) return `${outcome.error.kind}: ${outcome.error.message}`;
  const { ips, requested, messages } = outcome.value.v4;
  return `${ips.length}/${requested}${messages.map((m) => ` ${m}`).join(";")}`;
}

test.for<{ name: string; spec?: object; config?: object; labels?: Record<string, string>; ask?: Record<string, unknown>; want: string }>([
  { name: "one address", want: "1/1" },
  { name: "across blocks", ask: { count: 10 }, want: "10/10" },
  { name: "the pool is full", ask: { count: 17 }, want: "16/17 No IPs available in pools: [10.0.0.0/28]" },
  {
    name: "the host's limit",
    config: { strict_affinity: true, auto_allocate_blocks: true, maxBlocksPerHost: 2 },
    ask: { count: 9 },
    want: "8/9 Need to allocate an IPAM block but could not - limit of 2 blocks reached for this node",
  },
  {
    name: "the request's limit",
    ask: { count: 9, maxBlocks: 1 },
    want: "4/9 Need to allocate an IPAM block but could not - limit of 1 blocks reached for this node",
  },
  {
    name: "strict affinity and no block may be made",
    config: { strict_affinity: true },
    want: "0/1 No more free affine blocks and strict affinity enabled",
  },
  { name: "a disabled pool", spec: { disabled: true }, want: "noPool: no configured Calico pools for node n1" },
  { name: "a pool of another use", spec: { allowedUses: ["Tunnel"] }, want: "noPool: cannot find a qualified ippool" },
  { name: "a manual pool", spec: { assignmentMode: "Manual" }, want: "noPool: cannot find a qualified ippool" },
  { name: "a manual pool that is asked for", spec: { assignmentMode: "Manual" }, ask: { pools4: ["10.0.0.0/28"] }, want: "1/1" },
  { name: "a pool for other nodes", spec: { nodeSelector: "zone == 'b'" }, want: "noPool: cannot find a qualified ippool" },
  { name: "a pool for this node", spec: { nodeSelector: "zone == 'b'" }, labels: { zone: "b" }, want: "1/1" },
  {
    name: "a selector that does not parse takes nobody",
    spec: { nodeSelector: "zone ==" },
    want: "noPool: cannot find a qualified ippool",
  },
  {
    name: "a pool for other namespaces",
    spec: { namespaceSelector: "team == 'a'" },
    ask: { namespaceLabels: { team: "b" } },
    want: "noPool: cannot find a qualified ippool",
  },
  { name: "a pool for this namespace", spec: { namespaceSelector: "team == 'a'" }, ask: { namespaceLabels: { team: "a" } }, want: "1/1" },
  {
    name: "a pool that does not exist",
    ask: { pools4: ["10.9.0.0/24"] },
    want: "noPool: the given pool (10.9.0.0/24) does not exist, or is not enabled",
  },
])("autoAssign: $name", async ({ spec, config, labels, ask: request, want }) => {
  const store = await aStore(spec);
  if (config !== undefined) await store.put(CONFIG, JSON.stringify(config));
  await putNode(store, "n1", { labels });
  expect(await ask(store, request)).toBe(want);
});

test("autoAssign: borrows from another host's block when the pool has no block left, not under strict affinity", async () => {
  for (const strict of [false, true]) {
    const store = await aStore({ cidr: "10.0.0.0/30" });
    await store.put(CONFIG, JSON.stringify({ auto_allocate_blocks: true, strict_affinity: strict }));
    await ask(store, { node: "n2" });
    expect(await ask(store, { node: "n1" })).toBe(strict ? "0/1 No more free affine blocks and strict affinity enabled" : "1/1");
  }
});

test("autoAssign: takes over a block that another host leaves empty, once its claim is a minute old", async () => {
  const store = await aStore({ cidr: "10.0.0.0/30" });
  await store.put(CONFIG, JSON.stringify({ auto_allocate_blocks: true, strict_affinity: true }));
  const at = (ms: number) => ({ now: () => 1_800_000_000_000 + ms });
  await ask(store, { node: "n2", clock: at(0) });
  await makeIpam({ store }).releaseByHandle("h");
  expect(await ask(store, { node: "n1", clock: at(59_000) })).toMatch(/^0\/1/);
  expect(await ask(store, { node: "n1", clock: at(60_000) })).toBe("1/1");
  expect([...store.dump().keys()].filter((k) => k.includes("/host/"))).toEqual(["/calico/ipam/v2/host/n1/ipv4/block/10.0.0.0-30"]);
});

test("autoAssign: reserved addresses are passed over", async () => {
  const store = await aStore({ cidr: "10.0.0.0/30" });
  const reservation = { kind: "IPReservation", metadata: { name: "r" }, spec: { reservedCIDRs: ["10.0.0.0", "10.0.0.2/32"] } };
  await store.put("/calico/resources/v3/projectcalico.org/ipreservations/r", JSON.stringify(reservation));
  const outcome = await makeIpam({ store }).autoAssign({ node: "n1", num4: 4, num6: 0, handle: "h" });
  expect(outcome.ok && outcome.value.v4.ips.map((i) => i.address)).toEqual(["10.0.0.1/30", "10.0.0.3/30"]);
});

test("autoAssign: a handle with a limit gets what it has already", async () => {
  const store = await aStore();
  const ipam = makeIpam({ store });
  const one = await ipam.autoAssign({ node: "n1", num4: 1, num6: 0, handle: "h", maxPerHandle: 1 });
  const two = await ipam.autoAssign({ node: "n1", num4: 1, num6: 0, handle: "h", maxPerHandle: 1 });
  expect(two).toEqual(one);
});

test("the hot path: with a known block an address is one transaction and no read, and so is a release", async () => {
  const store = await aStore();
  await putNode(store, "n1");
  const abort = new AbortController();
  const synced = Promise.withResolvers<void>();
  const mirror = openMirror(store, {
    prefixes: factPrefixes("n1"),
    signal: abort.signal,
    log: recordingLogger(),
    onChange: () => mirror.inSync() && synced.resolve(),
  });
  await synced.promise;
  const operations: string[] = [];
  const counted = {
    get: (key: string) => (operations.push("get"), store.get(key)),
    list: (prefix: string) => (operations.push("list"), store.list(prefix)),
    txn: (txn: Parameters<FakeStore["txn"]>[0]) => (operations.push("txn"), mirror.txn(txn)),
  };
  const ipam = makeIpam({ store: counted, reader: mirror });
  await ipam.autoAssign({ node: "n1", num4: 1, num6: 0, handle: "first" });
  operations.length = 0;
  for (const handle of ["a", "b", "c"])
    expect((await ipam.autoAssign({ node: "n1", num4: 1, num6: 0, handle, maxPerHandle: 1 })).ok).toBe(true);
  expect(operations).toEqual(["txn", "txn", "txn"]);
  operations.length = 0;
  await ipam.releaseByHandle("b");
  expect(operations).toEqual(["txn"]);
  expect(disagreements(store.dump())).toEqual([]);
  abort.abort();
});

test.for([
  { name: "not in a pool", ip: "172.16.0.1", want: "noPool The provided IP address is not in a configured pool: 172.16.0.1" },
  { name: "taken", ip: "10.0.0.9", want: "taken Address already assigned in block: 10.0.0.9" },
  { name: "no address", ip: "10.1", want: 'invalid Cannot parse IP address "10.1": expected an IPv4 or IPv6 address' },
  { name: "free", ip: "10.0.0.10", want: "10.0.0.10/32" },
])("assignIp: $name", async ({ ip, want }) => {
  const ipam = makeIpam({ store: await aStore() });
  await ipam.assignIp({ node: "n1", ip: "10.0.0.9", handle: "x" });
  const outcome = await ipam.assignIp({ node: "n1", ip, handle: "h" });
  expect(outcome.ok ? outcome.value.address : `${outcome.error.kind} ${outcome.error.message}`).toBe(want);
});

test("releaseIps: says what was not allocated, and refuses another's address", async () => {
  const store = await aStore();
  const ipam = makeIpam({ store });
  await ipam.assignIp({ node: "n1", ip: "10.0.0.9", handle: "x" });
  expect(await ipam.releaseIps([{ ip: "10.0.0.9", handle: "y" }])).toMatchObject({ ok: false, error: { kind: "badHandle" } });
  expect(await ipam.releaseIps([{ ip: "10.0.0.9" }, { ip: "10.0.0.10" }, { ip: "10.0.0.1" }])).toEqual({
    ok: true,
    value: { released: ["10.0.0.9"], notAllocated: ["10.0.0.10", "10.0.0.1"] },
  });
  expect(disagreements(store.dump())).toEqual([]);
});

test("cooldown: a released address says so, and is not given again before its time", async () => {
  const store = await aStore({ cidr: "10.0.0.0/30" });
  await store.put(CONFIG, JSON.stringify({ auto_allocate_blocks: true, ipCooldownSeconds: 60 }));
  let ms = 1_800_000_000_000;
  const ipam = makeIpam({ store, clock: { now: () => ms } });
  await ipam.assignIp({ node: "n1", ip: "10.0.0.1", handle: "x" });
  await ipam.releaseByHandle("x");
  expect(await ipam.ownerOf("10.0.0.1")).toMatchObject({ ok: false, error: { message: "address 10.0.0.1 is in cooldown" } });
  expect(await ipam.assignIp({ node: "n1", ip: "10.0.0.1", handle: "y" })).toMatchObject({ ok: false, error: { kind: "taken" } });
  ms += 60_000;
  expect((await ipam.assignIp({ node: "n1", ip: "10.0.0.1", handle: "y" })).ok).toBe(true);
});

test("ensureTunnelAddresses: given with the encapsulation, kept, moved with the pool, taken with it; the rest of the Node is untouched", async () => {
  const store = await aStore({ ipipMode: "Always", vxlanMode: "Never" });
  const spec = { bgp: { ipv4Address: "10.0.2.6/24" }, unknownField: 1 };
  await putNode(store, "n1", { spec });
  const ipam = makeIpam({ store });
  const nodeSpec = async () => JSON.parse((await store.get("/calico/resources/v3/projectcalico.org/nodes/n1"))?.value ?? "{}").spec;
  await ipam.ensureTunnelAddresses("n1");
  const address = (await nodeSpec()).bgp.ipv4IPIPTunnelAddr;
  expect(await ipam.ownerOf(address)).toMatchObject({
    ok: true,
    value: { handle: "ipip-tunnel-addr-n1", attrs: { node: "n1", type: "ipipTunnelAddress" } },
  });
  const again = await ipam.ensureTunnelAddresses("n1");
  expect(again.ok && again.value.some((o) => o.changed)).toBe(false);

  await putPool(store, "p", { cidr: "10.0.0.0/28", blockSize: 30, vxlanMode: "CrossSubnet" });
  await ipam.ensureTunnelAddresses("n1");
  expect(Object.keys(await nodeSpec()).sort()).toEqual(["bgp", "ipv4VXLANTunnelAddr", "unknownField"]);
  await putPool(store, "p", { cidr: "10.0.0.0/28", blockSize: 30 });
  await ipam.ensureTunnelAddresses("n1");
  expect(await nodeSpec()).toEqual(spec);
  expect([...store.dump().keys()].filter((k) => k.includes("/handle/"))).toEqual([]);
});

test("ensureTunnelAddresses: with USE_POD_CIDR the first of the pod CIDRs, and nothing stays assigned", async () => {
  const store = await aStore({ ipipMode: "Always" });
  await putPool(store, "six", { cidr: "fd00::/120", blockSize: 124, vxlanMode: "Always" });
  await putNode(store, "n1");
  await makeIpam({ store }).ensureTunnelAddresses("n1");
  const key = "/calico/resources/v3/projectcalico.org/nodes/n1";
  const read = async () => JSON.parse((await store.get(key))?.value ?? "{}");
  expect((await read()).spec).toEqual({
    bgp: { ipv4IPIPTunnelAddr: expect.stringMatching(/^10\.0\.0\./) },
    ipv6VXLANTunnelAddr: expect.stringMatching(/^fd00::/),
  });
  const ipam = makeIpam({ store, usePodCidr: true });
  const early = await ipam.ensureTunnelAddresses("n1");
  expect(!early.ok && early.error.message).toMatch(/ipip tunnel address: USE_POD_CIDR is set and status\.podCIDRs .* no IPv4 one/);
  await store.put(key, JSON.stringify({ ...(await read()), status: { podCIDRs: ["10.65.3.0/24", "fd01::/64"] } }));
  await ipam.ensureTunnelAddresses("n1");
  expect((await read()).spec).toEqual({ bgp: { ipv4IPIPTunnelAddr: "10.65.3.1" }, ipv6VXLANTunnelAddr: "fd01::1" });
  expect([...store.dump().keys()].filter((k) => k.includes("/handle/"))).toEqual([]);
  const { revision } = store;
  await ipam.ensureTunnelAddresses("n1");
  expect(store.revision).toBe(revision);
});

test("utilization: per pool and block, and what lies in no pool", async () => {
  const store = await aStore();
  const ipam = makeIpam({ store });
  await ipam.autoAssign({ node: "n1", num4: 3, num6: 0, handle: "h" });
  expect(await ipam.utilization()).toMatchObject([
    { pool: "p", capacity: 16, free: 13, blocks: [{ affinity: "host:n1", capacity: 4, free: 1 }] },
  ]);
  await store.delete("/calico/resources/v3/projectcalico.org/ippools/p");
  expect(await ipam.utilization()).toMatchObject([{ pool: undefined, capacity: 4, free: 1 }]);
  expect((await ipam.releaseByHandle("h")).ok).toBe(true);
});

test("a block that does not parse is not written over", async () => {
  const store = await aStore({ cidr: "10.0.0.0/30" });
  await ask(store);
  const key = "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-30";
  await store.put(key, '{"cidr":"10.0.0.0/30"');
  const outcome = await makeIpam({ store }).autoAssign({ node: "n1", num4: 1, num6: 0, handle: "h2" });
  expect(outcome).toMatchObject({ ok: true, value: { v4: { ips: [], messages: [expect.any(String), expect.stringContaining(key)] } } });
  expect((await store.get(key))?.value).toBe('{"cidr":"10.0.0.0/30"');
});

test("a node's next block: its own are not looked for again, and all blocks are not listed", async () => {
  const store = await aStore({ cidr: "10.0.0.0/24" });
  const ipam = makeIpam({ store });
  await ipam.autoAssign({ node: "n1", num4: 48, num6: 0, handle: "h" });
  const operations: string[] = [];
  const watched = {
    get: (key: string) => (operations.push(`get ${key.split("/").at(-1)}`), store.get(key)),
    list: (prefix: string) => (operations.push(`list ${prefix.split("/").at(-2)}`), store.list(prefix)),
    txn: (txn: Parameters<FakeStore["txn"]>[0]) => (operations.push("txn"), store.txn(txn)),
  };
  const other = makeIpam({ store: watched });
  expect((await other.autoAssign({ node: "n1", num4: 1, num6: 0, handle: "i" })).ok).toBe(true);
  expect(operations.filter((o) => o === "list assignment").length).toBe(0);
  expect(operations.filter((o) => o === "txn").length).toBe(2);
  expect(disagreements(store.dump())).toEqual([]);
});

test("a no of a full pool lists the blocks once, and looks at none of other hosts", async () => {
  const store = await aStore({ cidr: "10.0.0.0/26" });
  for (let i = 0; i < 16; i++) await ask(store, { node: `n${i}`, count: 4, handle: `h${i}` });
  const reads: string[] = [];
  const counted = {
    get: (key: string) => (reads.push(key), store.get(key)),
    list: (prefix: string) => (reads.push(prefix), store.list(prefix)),
    txn: store.txn,
  };
  const full = await makeIpam({ store: counted }).autoAssign({ node: "n1", num4: 1, num6: 0, handle: "h" });
  expect(full).toMatchObject({ ok: true, value: { v4: { ips: [], messages: ["No IPs available in pools: [10.0.0.0/26]"] } } });
  expect(reads.filter((key) => key === "/calico/ipam/v2/assignment/")).toHaveLength(1);
  expect(reads.length).toBeLessThan(16);
  expect(reads.filter((key) => key.includes("/ippools/"))).toHaveLength(1);
});
