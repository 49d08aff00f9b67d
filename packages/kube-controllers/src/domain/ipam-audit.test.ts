import { makeFakeStore } from "@calico/datastore/testing";
import { makeIpam, parsePool } from "@calico/ipam";
import { putPool } from "@calico/ipam/testing";
import { keyOf, prefixOf } from "@calico/model";
import { expect, test } from "vitest";
import { makeAudit } from "./ipam-audit.ts";

const MIN = 60_000;

async function world() {
  const store = makeFakeStore();
  const ipam = makeIpam({ store });
  const audit = makeAudit();
  await putPool(store, "p", { cidr: "10.0.0.0/26", blockSize: 28 });
  const pool = parsePool({ metadata: { name: "p" }, spec: { cidr: "10.0.0.0/26", blockSize: 28 } });
  if (!pool.ok) throw new Error(pool.error);
  audit.setPools([pool.value]);
  audit.setKubeNode("n1", true, "1");
  audit.setCalicoNode("n1", { kubeNode: "n1" });
  /** Tell the audit what the store holds under a prefix now. */
  const told = new Set<string>();
  const tell = async () => {
    const { items } = await store.list(prefixOf("IPAMBlock"));
    const now = new Set(items.map((i) => i.key));
    for (const key of told) if (!now.has(key)) audit.setBlock(key, undefined);
    for (const item of items) {
      told.add(item.key);
      audit.setBlock(item.key, item);
    }
  };
  const assign = async (pod: string, ip: string) => {
    await ipam.assignIp({ node: "n1", ip, handle: `net.${pod}`, attrs: { pod, namespace: "d", node: "n1" } });
    await tell();
  };
  const wep = (pod: string, ip: string | undefined, node = "n1") => {
    const key = keyOf({ kind: "WorkloadEndpoint", namespace: "d", name: `${node}-k8s-${pod}-eth0` });
    const value = JSON.stringify({ spec: { node, pod, ipNetworks: [`${ip}/32`] } });
    audit.setEndpoint(key, ip === undefined ? undefined : { key, value, modRevision: 1, createRevision: 1 });
  };
  const pod = (name: string, ip: string) => audit.setPod(`d/${name}`, { node: "n1", phase: "Running", ips: [ip] }, "9");
  const at = (min: number) => {
    audit.settle(min * MIN);
    const findings = audit.findings({ nowMs: min * MIN, overdueMs: 30 * MIN, standingMs: MIN });
    return { ...audit.counts(), findings: findings.map((f) => f.text) };
  };
  return { audit, ipam, tell, assign, wep, pod, at };
}

test("audit: an address is owned, loses its pod with a date, and is overdue when nobody releases it", async () => {
  const w = await world();
  await w.assign("a", "10.0.0.1");
  w.pod("a", "10.0.0.1");
  expect(w.at(0)).toMatchObject({ owned: 1, unowned: 0, findings: [] });
  w.audit.setPod("d/a", undefined, "10");
  expect(w.at(1)).toMatchObject({ owned: 0, unowned: 1, findings: [] });
  expect(w.at(31).findings).toEqual(["10.0.0.1 of handle net.a has no owner: no pod d/a; no workload endpoint has 10.0.0.1"]);
  await w.ipam.releaseByHandle("net.a");
  await w.tell();
  expect(w.at(32)).toEqual({ owned: 0, unowned: 0, exempt: 0, findings: [] });
});

test("audit: the owner comes back, and what comes later is dated anew", async () => {
  const w = await world();
  await w.assign("a", "10.0.0.1");
  w.at(0);
  w.pod("a", "10.0.0.1");
  expect(w.at(20)).toMatchObject({ owned: 1, unowned: 0 });
  w.audit.setPod("d/a", undefined, "10");
  w.at(25);
  expect(w.at(54).findings).toEqual([]);
  expect(w.at(55).findings).toHaveLength(1);
});

test("audit: a node that goes touches its addresses, and those of its tunnels", async () => {
  const w = await world();
  await w.ipam.assignIp({ node: "n1", ip: "10.0.0.5", handle: "t", attrs: { node: "n1", type: "vxlanTunnelAddress" } });
  await w.tell();
  expect(w.at(0)).toMatchObject({ owned: 1, unowned: 0 });
  w.audit.setKubeNode("n1", false, "12");
  expect(w.at(0)).toMatchObject({ owned: 0, unowned: 1 });
  w.audit.setKubeNode("n1", true, "13");
  expect(w.at(0)).toMatchObject({ owned: 1, unowned: 0 });
});

test("audit: contradictions count once they have stood, and end", async () => {
  const w = await world();
  w.wep("a", "10.0.0.9");
  expect(w.at(0).findings).toEqual([]);
  expect(w.at(1).findings).toEqual([expect.stringMatching(/^10\.0\.0\.9 is of endpoint .*, but not allocated$/)]);
  w.wep("b", "10.0.0.9");
  expect(w.at(1).findings).toEqual([expect.stringMatching(/^10\.0\.0\.9 is of 2 endpoints/)]);
  w.wep("b", undefined);
  await w.assign("c", "10.0.0.9");
  expect(w.at(2).findings).toEqual([expect.stringMatching(/is of endpoint .*, but was given to pod d\/c on node n1$/)]);
  w.wep("a", undefined);
  w.wep("c", "10.0.0.9");
  expect(w.at(3).findings).toEqual([]);
});

test("audit: a block that cannot be read is named, for as long as it is so", async () => {
  const w = await world();
  const key = "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-28";
  w.audit.setBlock(key, { key, value: "{", modRevision: 1, createRevision: 1 });
  w.at(0);
  expect(w.at(1).findings).toEqual([expect.stringContaining(key)]);
  await w.assign("a", "10.0.0.1");
  expect(w.at(2).findings).toEqual([]);
});

test("audit: an endpoint out of every pool is nobody's concern, until there is a pool for it", async () => {
  const w = await world();
  w.wep("a", "10.9.0.1");
  w.at(0);
  expect(w.at(1).findings).toEqual([]);
  const pool = parsePool({ metadata: { name: "q" }, spec: { cidr: "10.9.0.0/26", blockSize: 28 } });
  if (pool.ok) w.audit.setPools([pool.value]);
  w.at(2);
  expect(w.at(3).findings).toEqual([expect.stringMatching(/but not allocated$/)]);
});

test("audit: a machine's address is judged by its machine, once all machines are known; it may be in two pods while it moves", async () => {
  const w = await world();
  const of = (pod: string) => ({ namespace: "d", pod, node: "n1", container: pod, "vmi-name": "vm1", "vmi-uid": "L" });
  await w.ipam.assignIp({ node: "n1", ip: "10.0.0.1", handle: "net.vmi.d.vm1", attrs: of("virt-launcher-vm1-a") });
  await w.tell();
  expect(w.audit.hasMachines()).toBe(true);
  expect(w.at(0)).toMatchObject({ owned: 0, unowned: 0, exempt: 1 });
  w.audit.setMachine("d/vm1", { kind: "VirtualMachine", isThere: true, revision: "80" });
  w.audit.setMachine("d/vm1", { kind: "VirtualMachineInstance", isThere: true, revision: "81" });
  w.audit.setMachinesKnown(true);
  expect(w.at(1)).toMatchObject({ owned: 1, unowned: 0, exempt: 0 });
  await w.ipam.own({ handle: "net.vmi.d.vm1", role: "alternate", attrs: of("virt-launcher-vm1-t") });
  await w.tell();
  w.wep("virt-launcher-vm1-a", "10.0.0.1");
  w.wep("virt-launcher-vm1-t", "10.0.0.1");
  w.at(2);
  expect(w.at(9).findings).toEqual([]);
  w.wep("web", "10.0.0.1");
  w.at(9);
  expect(w.at(10).findings).toEqual([expect.stringMatching(/^10\.0\.0\.1 is of 3 endpoints/)]);
  for (const pod of ["virt-launcher-vm1-a", "virt-launcher-vm1-t", "web"]) w.wep(pod, undefined);
  w.audit.setMachine("d/vm1", { kind: "VirtualMachineInstance", isThere: false, revision: "82" });
  expect(w.at(11)).toMatchObject({ owned: 1, unowned: 0 });
  w.audit.setMachine("d/vm1", { kind: "VirtualMachine", isThere: false, revision: "83" });
  expect(w.at(12)).toMatchObject({ owned: 0, unowned: 1, findings: [] });
  w.pod("virt-launcher-vm1-t", "10.0.0.1");
  expect(w.at(13)).toMatchObject({ owned: 1, unowned: 0 });
});
