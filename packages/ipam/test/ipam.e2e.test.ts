/** On etcd itself: blocks of different sizes, and the daemon with a record that does not parse. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { openEtcd } from "@calico/datastore";
import { freePort, killChild, makeFakeStore, startEtcd } from "@calico/datastore/testing";
import { afterAll, beforeEach, expect, test, vi } from "vitest";
import { makeIpam, openIpamClient } from "../src/mod.ts";
import { disagreements, putNode, putPool } from "../src/testing.ts";

const etcd = await startEtcd();
const stores = Array.from({ length: 4 }, () => openEtcd({ endpoints: etcd.endpoints }));
const store = stores[0]!;
const dir = mkdtempSync(join(tmpdir(), `calico-ipam-${process.pid}-`));
afterAll(async () => {
  await Promise.all(stores.map((s) => s.close()));
  await etcd.stop();
  rmSync(dir, { recursive: true, force: true });
});
beforeEach(async () => {
  for (const { key } of (await store.list("/calico/")).items) await store.delete(key);
});

const dump = async () => new Map((await store.list("/calico/")).items.map((kv) => [kv.key, kv]));

test.for([
  { family: 4, cidr: "10.0.0.0/23", sizes: [24, 26, 27, 28, 30, 32] },
  { family: 6, cidr: "fd00::/119", sizes: [120, 122, 124, 125, 126, 128] },
])(
  "nodes that know blocks of different sizes claim at once: no block overlaps another, no address is given twice ($cidr)",
  async ({ family, cidr, sizes }) => {
    const nodes = await Promise.all(
      Array.from({ length: 12 }, async (_, i) => {
        const known = makeFakeStore();
        await putPool(known, "p", { cidr, blockSize: sizes[i % sizes.length] });
        const own = stores[i % stores.length]!;
        const reader: Pick<typeof own, "get" | "list"> = {
          get: own.get,
          list: (prefix, o) => (prefix.includes("/ippools/") ? known.list(prefix) : own.list(prefix, o)),
        };
        return { name: `n${i}`, ipam: makeIpam({ store: own, reader }) };
      }),
    );
    const given = await Promise.all(
      nodes.map(async ({ name, ipam }) => {
        const ips: string[] = [];
        for (let i = 0; i < 20; i++) {
          const got = await ipam.autoAssign({ node: name, num4: family === 4 ? 1 : 0, num6: family === 6 ? 1 : 0, handle: `${name}-${i}` });
          if (got.ok) ips.push(...[...got.value.v4.ips, ...got.value.v6.ips].map(({ address }) => address.split("/")[0] ?? ""));
        }
        return ips;
      }),
    );
    const all = given.flat();
    expect(all.length).toBeGreaterThan(100);
    expect(new Set(all).size).toBe(all.length);
    expect(disagreements(await dump())).toEqual([]);
  },
);

test("daemon: a block that does not parse is passed over, health and metric name it until it is put right", async () => {
  await putPool(store, "p", { cidr: "10.0.0.0/24", blockSize: 28 });
  await putNode(store, "n1");
  await makeIpam({ store }).claimAffinity("10.0.0.0/27", "n1");
  const key = "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-28";
  const sound = (await store.get(key))?.value ?? "";
  await store.put(key, sound.replace('"unallocated":[0,', '"unallocated":['));
  const port = await freePort();
  const args = ["packages/ipam/src/main.ts", "--node", "n1", "--etcd", etcd.endpoints.join(), "--run-dir", dir, "--health-port", `${port}`];
  const daemon = spawn("setup/run.sh", args, { cwd: join(import.meta.dirname, "../../.."), stdio: "ignore" });
  const get = async (path: string) => (await fetch(`http://127.0.0.1:${port}/${path}`)).text();
  try {
    await vi.waitFor(async () => expect((await fetch(`http://127.0.0.1:${port}/readiness`)).ok).toBe(true), {
      timeout: 20_000,
      interval: 100,
    });
    await using client = openIpamClient({
      socketPath: join(dir, "ipam.sock"),
      fallback: () => {
        throw new Error("the daemon does not answer");
      },
    });
    const got = await client.autoAssign({ node: "n1", num4: 1, num6: 0, handle: "a" });
    expect(got.ok && got.value.v4.ips).toEqual([{ address: "10.0.0.16/28" }]);
    expect(await get("liveness")).toContain("10.0.0.0-28");
    await store.put(key, sound);
    await vi.waitFor(async () => expect(await get("liveness")).not.toContain("10.0.0.0-28"), { timeout: 40_000, interval: 500 });
    expect(await get("metrics")).toMatch(/^ipam_broken_records 0$/m);
  } finally {
    await killChild(daemon);
  }
});
