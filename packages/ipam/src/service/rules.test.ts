/** Calico's rules one by one, where no other test shows them. Source: calico libcalico-go/lib/ipam; design/ipam/ipam-core-library.md. */
import { makeFakeStore } from "@calico/datastore/testing";
import type { FakeStore } from "@calico/datastore/testing";
import { blockKey, parseCidr } from "@calico/model";
import { expect, test } from "vitest";
import { renderBlock } from "../domain/block-json.ts";
import { newBlock } from "../domain/block.ts";
import { disagreements, putNode, putPool } from "../testing.ts";
import { makeIpam } from "./ipam.ts";
import type { IpamLibrary } from "./ipam.ts";

const CONFIG = "/calico/ipam/v2/config";
const claimOf = (node: string, block: string) => `/calico/ipam/v2/host/${node}/ipv4/block/${block}`;

/** One pool of four blocks of four addresses. */
async function world(spec: object = {}): Promise<{ store: FakeStore; ipam: IpamLibrary }> {
  const store = makeFakeStore();
  await putPool(store, "p", { cidr: "10.0.0.0/28", blockSize: 30, ...spec });
  return { store, ipam: makeIpam({ store }) };
}

async function putBlock(store: FakeStore, cidr: string, affinity: string | undefined): Promise<void> {
  const parsed = parseCidr(cidr);
  if (!parsed.ok) throw new Error(parsed.error);
  await store.put(blockKey(parsed.value), renderBlock(newBlock(parsed.value, { affinity, nowMs: Date.now() })));
}

async function give(ipam: IpamLibrary, o: object = {}): Promise<string> {
  const got = await ipam.autoAssign({ node: "n1", num4: 1, num6: 0, handle: "h", ...o });
  if (!got.ok) return `${got.error.kind}: ${got.error.message}`;
  return [...got.value.v4.ips, ...got.value.v6.ips].map((i) => i.address).join(" ") || got.value.v4.messages.join("; ");
}

const claims = (store: FakeStore) =>
  [...store.dump().values()].flatMap(({ key, value }) => {
    const name = /\/v2\/host\/(.*)\/ipv4\/block\/(.*)$/.exec(key);
    return name ? [`${name[1]} ${name[2]} ${/"state":"(\w+)"/.exec(value)?.[1] ?? "(empty)"}`] : [];
  });

test("pools are taken from in the order of their names", async () => {
  const { store, ipam } = await world();
  await putPool(store, "a", { cidr: "10.9.0.0/30", blockSize: 30 });
  expect(await give(ipam)).toBe("10.9.0.0/30");
});

test.for<{ name: string; pool: object; want: string }>([
  { name: "is being deleted", pool: { metadata: { name: "p", deletionTimestamp: "2026-08-01T10:00:00Z" } }, want: "no configured" },
  {
    name: "says it is not allocatable",
    pool: { status: { conditions: [{ type: "Allocatable", status: "False" }] } },
    want: "no configured",
  },
  { name: "says it is allocatable", pool: { status: { conditions: [{ type: "Allocatable", status: "True" }] } }, want: "10.0.0." },
])("a pool that $name", async ({ pool, want }) => {
  const { store, ipam } = await world();
  const json = { kind: "IPPool", metadata: { name: "p" }, spec: { cidr: "10.0.0.0/28", blockSize: 30 }, ...pool };
  await store.put("/calico/resources/v3/projectcalico.org/ippools/p", JSON.stringify(json));
  expect(await give(ipam)).toContain(want);
});

test.for<{ name: string; pool: string; request?: object; want: string }>([
  {
    name: "no JSON",
    pool: "{",
    want: "noPool: no configured Calico pools for node n1; not read, correct it: IPPool p: it is not JSON",
  },
  {
    name: "a block size that there is not",
    pool: '{"metadata":{"name":"p"},"spec":{"cidr":"10.0.0.0/8","blockSize":8}}',
    want: "noPool: no configured Calico pools for node n1; not read, correct it: IPPool p: spec.blockSize: 8 is not within 20 to 32",
  },
  {
    name: "no network, and is asked for",
    pool: '{"metadata":{"name":"p"},"spec":{"cidr":"10.0.0"}}',
    request: { pools4: ["10.0.0.0/28"] },
    want: "noPool: the given pool (10.0.0.0/28) does not exist, or is not enabled; not read, correct it: IPPool p: spec.cidr: ",
  },
])("a pool whose record is $name is named where it is missed", async ({ pool, request, want }) => {
  const { store, ipam } = await world();
  await store.put("/calico/resources/v3/projectcalico.org/ippools/p", pool);
  expect(await give(ipam, request)).toContain(want);
  const asked = await ipam.assignIp({ node: "n1", ip: "10.0.0.1", handle: "h" });
  expect(asked.ok ? "given" : asked.error.message).toContain("10.0.0.1; not read, correct it: IPPool p: ");
});

test("a pool that is asked for by name but for another use does not qualify", async () => {
  const { ipam } = await world({ allowedUses: ["Tunnel"] });
  expect(await give(ipam, { pools4: ["10.0.0.0/28"] })).toBe("noPool: cannot find a qualified ippool");
});

test("a block whose pool does not select the node any more is not taken from; given back when it is empty", async () => {
  const { store, ipam } = await world({ nodeSelector: "zone == 'a'" });
  await putPool(store, "q", { cidr: "10.9.0.0/28", blockSize: 30 });
  await putNode(store, "n1", { labels: { zone: "a" } });
  expect(await give(ipam, { handle: "x" })).toMatch(/^10\.0\.0\./);
  await putNode(store, "n1", { labels: { zone: "b" } });
  expect(await give(ipam)).toMatch(/^10\.9\.0\./);
  expect(claims(store).filter((c) => c.includes(" 10.0.0."))).toHaveLength(1);
  await ipam.releaseByHandle("x");
  await give(ipam);
  expect(claims(store).filter((c) => c.includes(" 10.0.0."))).toEqual([]);
  expect(disagreements(store.dump())).toEqual([]);
});

test.for<{ name: string; pool: object; labels?: object }>([
  { name: "a manual pool", pool: { assignmentMode: "Manual" } },
  { name: "a pool of other namespaces", pool: { namespaceSelector: "team == 'x'" }, labels: { team: "y" } },
])("an empty block of $name stays the node's when a pod comes that the pool is not for", async ({ pool, labels }) => {
  const { store, ipam } = await world();
  await putPool(store, "q", { cidr: "10.9.0.0/28", blockSize: 30, ...pool });
  expect(await give(ipam, { handle: "x", pools4: ["10.9.0.0/28"] })).toMatch(/^10\.9\.0\./);
  await ipam.releaseByHandle("x");
  expect(await give(ipam, { namespaceLabels: labels })).toMatch(/^10\.0\.0\./);
  expect(claims(store).filter((c) => c.includes(" 10.9.0."))).toHaveLength(1);
});

test.for([
  { name: "without its block is made good", claim: '{"state":"confirmed"}', block: undefined, want: ["n1 10.0.0.0-30 confirmed"] },
  { name: "that is pending is completed", claim: '{"state":"pending"}', block: "host:n1", want: ["n1 10.0.0.0-30 confirmed"] },
  { name: "on its way out is taken back", claim: '{"state":"pendingDeletion"}', block: "host:n1", want: ["n1 10.0.0.0-30 confirmed"] },
  { name: "without a state counts as confirmed", claim: "", block: "host:n1", want: ["n1 10.0.0.0-30 (empty)"] },
])("a claim $name", async ({ claim, block, want }) => {
  const { store, ipam } = await world({ cidr: "10.0.0.0/30" });
  await store.put(claimOf("n1", "10.0.0.0-30"), claim);
  if (block !== undefined) await putBlock(store, "10.0.0.0/30", block);
  expect(await give(ipam)).toBe("10.0.0.0/30");
  expect(claims(store)).toEqual(want);
  expect(disagreements(store.dump())).toEqual([]);
});

test("a claim on another's block is dropped, and the address comes from elsewhere", async () => {
  const { store, ipam } = await world({ cidr: "10.0.0.0/29" });
  await putBlock(store, "10.0.0.0/30", "host:n2");
  await store.put(claimOf("n2", "10.0.0.0-30"), '{"state":"confirmed"}');
  await store.put(claimOf("n1", "10.0.0.0-30"), '{"state":"confirmed"}');
  expect(await give(ipam)).toBe("10.0.0.4/30");
  expect(claims(store).sort()).toEqual(["n1 10.0.0.4-30 confirmed", "n2 10.0.0.0-30 confirmed"]);
  expect(disagreements(store.dump())).toEqual([]);
});

test("a first claim is one transaction, and nobody sees half of it", async () => {
  const { store } = await world();
  const seen: string[][] = [];
  const txn: FakeStore["txn"] = async (t) => {
    const done = await store.txn(t);
    seen.push([...store.dump().keys()].filter((k) => k.startsWith("/calico/ipam/")));
    return done;
  };
  await makeIpam({ store: { get: store.get, list: store.list, txn } }).claimAffinity("10.0.0.0/30", "n1");
  expect(seen).toEqual([[claimOf("n1", "10.0.0.0-30"), "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-30"]]);
});

test.for([
  { name: "another host's block, strict affinity", strict: true, block: "host:n2", want: /^affinity: Block host affinity does not match/ },
  {
    name: "nobody's block, strict affinity",
    strict: true,
    block: undefined,
    want: /^affinity: Attempt to assign from block .* with no affinity/,
  },
  { name: "another host's block", strict: false, block: "host:n2", want: /^10\.0\.0\.1\/32$/ },
])("assignIp: $name", async ({ strict, block, want }) => {
  const { store, ipam } = await world();
  await store.put(CONFIG, JSON.stringify({ auto_allocate_blocks: true, strict_affinity: strict }));
  await putBlock(store, "10.0.0.0/30", block);
  const got = await ipam.assignIp({ node: "n1", ip: "10.0.0.1", handle: "h" });
  expect(got.ok ? got.value.address : `${got.error.kind}: ${got.error.message}`).toMatch(want);
});

test.for([
  { name: "a disabled pool", spec: { disabled: true }, want: /^noPool: The provided IP address is not in a configured pool/ },
  { name: "a pool of another use", spec: { allowedUses: ["LoadBalancer"] }, want: /^noPool: .* is not for use Workload/ },
])("assignIp: of $name", async ({ spec, want }) => {
  const { ipam } = await world(spec);
  const got = await ipam.assignIp({ node: "n1", ip: "10.0.0.1", handle: "h" });
  expect(got.ok ? got.value.address : `${got.error.kind}: ${got.error.message}`).toMatch(want);
});

test("a reservation keeps addresses from being given, not from being asked for; a block reserved as a whole is not claimed", async () => {
  const { store, ipam } = await world({ cidr: "10.0.0.0/29" });
  await store.put("/calico/resources/v3/projectcalico.org/ipreservations/r", '{"spec":{"reservedCIDRs":["10.0.0.0/30","10.0.0.4"]}}');
  expect(await give(ipam)).toBe("10.0.0.5/30");
  expect(await give(ipam, { num4: 8 })).toBe("10.0.0.6/30 10.0.0.7/30");
  expect(await ipam.assignIp({ node: "n1", ip: "10.0.0.4", handle: "h" })).toEqual({ ok: true, value: { address: "10.0.0.4/32" } });
  expect((await ipam.assignIp({ node: "n1", ip: "10.0.0.0", handle: "h" })).ok).toBe(true);
});

test("blocks of one address each", async () => {
  const { store, ipam } = await world({ blockSize: 32 });
  const got = await give(ipam, { num4: 16 });
  expect(new Set(got.split(" ")).size).toBe(16);
  expect(got).toMatch(/^(10\.0\.0\.\d+\/32 ?){16}$/);
  expect(disagreements(store.dump())).toEqual([]);
});

test("releaseIps: one bad condition leaves its block as it is, other blocks before it are done; the same address twice counts once", async () => {
  const { store, ipam } = await world();
  for (const ip of ["10.0.0.0", "10.0.0.1", "10.0.0.4"]) await ipam.assignIp({ node: "n1", ip, handle: "h" });
  const owner = await ipam.ownerOf("10.0.0.1");
  const sequence = owner.ok ? owner.value.sequence : undefined;
  const wrong = await ipam.releaseIps([{ ip: "10.0.0.4" }, { ip: "10.0.0.0" }, { ip: "10.0.0.1", sequence: (sequence ?? 0n) + 1n }]);
  expect(wrong).toMatchObject({ ok: false, error: { kind: "badSequence" } });
  expect((await ipam.ipsByHandle("h")).ok && (await ipam.ipsByHandle("h"))).toEqual({ ok: true, value: ["10.0.0.0/30", "10.0.0.1/30"] });
  const right = await ipam.releaseIps([{ ip: "10.0.0.1", sequence }, { ip: "10.0.0.1" }]);
  expect(right).toEqual({ ok: true, value: { released: ["10.0.0.1"], notAllocated: [] } });
  expect(disagreements(store.dump())).toEqual([]);
});

test("an address of one family is given back when there is no pool for the other", async () => {
  const { store, ipam } = await world();
  expect(await give(ipam, { num6: 1 })).toBe("noPool: no configured Calico pools for node n1");
  expect([...store.dump().keys()].filter((k) => k.includes("/handle/"))).toEqual([]);
  expect(disagreements(store.dump())).toEqual([]);
});
