import { makeFakeStore } from "@calico/datastore/testing";
import { expect, test } from "vitest";
import { disagreements, putPool } from "../testing.ts";
import { makeIpam } from "./ipam.ts";

const H = "net.vmi.d.vm1";
const attrs = (pod: string, node = "n1") => ({ namespace: "d", pod, node, container: `c-${pod}`, "vmi-uid": "L", "vmi-name": "vm1" });
const who = (pod: string) => ({ namespace: "d", pod, container: `c-${pod}` });

async function world(config: object = {}) {
  const store = makeFakeStore();
  await putPool(store, "p", { cidr: "10.0.0.0/26", blockSize: 28 });
  await putPool(store, "six", { cidr: "fd00::/120", blockSize: 124 });
  await store.put("/calico/ipam/v2/config", JSON.stringify({ auto_allocate_blocks: true, ...config }));
  const ipam = makeIpam({ store });
  const start = async (num6 = 0) => {
    const got = await ipam.autoAssign({ node: "n1", num4: 1, num6, handle: H, attrs: attrs("a"), maxPerHandle: 1 });
    if (!got.ok) throw new Error(got.error.message);
    return [...got.value.v4.ips, ...got.value.v6.ips].map((i) => i.address.split("/")[0] ?? "");
  };
  const owners = async (ip: string) => {
    const owner = await ipam.ownerOf(ip);
    return owner.ok ? [owner.value.attrs["pod"], owner.value.alternate["pod"]] : owner.error.kind;
  };
  return { store, ipam, start, owners };
}

test("own: a handle without an address has none to give", async () => {
  const { ipam } = await world();
  expect(await ipam.own({ handle: H, role: "active", attrs: attrs("a") })).toMatchObject({ ok: false, error: { kind: "notFound" } });
});

test("own, disown: both addresses of a machine move at once; its blocks keep no attributes of who has left", async () => {
  const { store, ipam, start, owners } = await world();
  const ips = await start(1);
  expect(ips).toHaveLength(2);
  const taken = await ipam.own({ handle: H, role: "alternate", attrs: attrs("t", "n2") });
  expect(taken.ok && taken.value.map((a) => a.split("/")[0])).toEqual(ips);
  for (const ip of ips) expect(await owners(ip)).toEqual(["a", "t"]);
  expect(await ipam.disown({ handle: H, owner: who("a"), isEnding: false })).toMatchObject({ value: { wasOwner: true, released: [] } });
  for (const ip of ips) expect(await owners(ip)).toEqual(["t", undefined]);
  expect(await ipam.disown({ handle: H, owner: who("a"), isEnding: false })).toMatchObject({ value: { wasOwner: false, released: [] } });
  expect(disagreements(store.dump())).toEqual([]);
  expect([...store.dump().values()].filter((kv) => kv.value.includes('"pod":"a"'))).toEqual([]);
});

test("disown: a machine that stopped keeps its address, without an owner; at its end it is released when the last has left", async () => {
  const { store, ipam, start, owners } = await world();
  const [ip = ""] = await start();
  await ipam.disown({ handle: H, owner: who("a"), isEnding: false });
  expect(await owners(ip)).toEqual([undefined, undefined]);
  expect(store.dump().get("/calico/ipam/v2/handle/" + H)).toBeDefined();
  expect([...store.dump().values()].some((kv) => kv.value.includes('"secondary"'))).toBe(false);
  await ipam.own({ handle: H, role: "active", attrs: attrs("b") });
  await ipam.own({ handle: H, role: "alternate", attrs: attrs("t") });
  expect(await ipam.disown({ handle: H, owner: who("b"), isEnding: true })).toMatchObject({ value: { released: [] } });
  expect(await ipam.disown({ handle: H, owner: who("t"), isEnding: true })).toMatchObject({ value: { released: [ip] } });
  expect([await owners(ip), disagreements(store.dump())]).toEqual(["notFound", []]);
});

test("own: who saw the address without an owner cannot release it any more", async () => {
  const { ipam, start } = await world();
  const [ip = ""] = await start();
  const seen = await ipam.ownerOf(ip);
  await ipam.own({ handle: H, role: "active", attrs: attrs("b") });
  const release = await ipam.releaseIps([{ ip, handle: H, ...(seen.ok && seen.value.sequence ? { sequence: seen.value.sequence } : {}) }]);
  expect(release).toMatchObject({ ok: false, error: { kind: "badSequence" } });
});

test("own, disown: where machines keep no address nobody comes for it, and it goes with the last", async () => {
  const { ipam, start, owners } = await world();
  const [ip = ""] = await start();
  await ipam.setConfig({ kubeVirtPersistence: "Disabled" });
  expect(await ipam.own({ handle: H, role: "active", attrs: attrs("b") })).toMatchObject({ error: { kind: "notKept" } });
  expect(await ipam.disown({ handle: H, owner: who("a"), isEnding: false })).toMatchObject({ value: { released: [ip] } });
  expect(await owners(ip)).toBe("notFound");
});
