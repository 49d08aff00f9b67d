/** The iptables and ipset contract on the real programs, both back ends, both families where it matters, and the choice of back end. */
import { expect, test } from "vitest";
import { createNetns, deleteNetns, netnsPath, openIpset, openIptables } from "../src/mod.ts";
import type { IptablesBackend } from "../src/mod.ts";
import { iptablesContract } from "./contract/iptables.ts";

let count = 0;
async function newNetns() {
  const name = `linux-${process.pid}-t${count++}`;
  await createNetns(name);
  return { path: netnsPath(name), close: () => deleteNetns(name) };
}

for (const backend of ["nft", "legacy"] as const satisfies readonly IptablesBackend[]) {
  iptablesContract(`iptables-${backend}`, {
    async open() {
      const ns = await newNetns();
      return { tables: openIptables({ backend, netnsPath: ns.path }), sets: openIpset({ netnsPath: ns.path }), close: ns.close };
    },
  });

  test(`ip6tables-${backend}: keeps its rules apart from IPv4's`, async () => {
    const ns = await newNetns();
    try {
      const six = openIptables({ backend, family: 6, netnsPath: ns.path });
      const done = await six.restore("*filter\n:cali-six - [0:0]\n-A cali-six -s fd00::1/128 -j DROP\nCOMMIT\n", { noflush: true });
      expect(done).toEqual({ ok: true, value: undefined });
      expect(await six.save("filter")).toContain("-A cali-six -s fd00::1/128 -j DROP");
      expect(await openIptables({ backend, netnsPath: ns.path }).save("filter")).not.toContain("cali-six");
    } finally {
      await ns.close();
    }
  });

  test(`auto: finds the chains of an earlier run in ${backend}`, async () => {
    const ns = await newNetns();
    try {
      const text = "*mangle\n:cali-PREROUTING - [0:0]\nCOMMIT\n";
      expect((await openIptables({ backend, netnsPath: ns.path }).restore(text, { noflush: true })).ok).toBe(true);
      expect(await openIptables({ netnsPath: ns.path }).backend()).toBe(backend);
    } finally {
      await ns.close();
    }
  });
}

test("iptables: a namespace that is not there is an error with its name", async () => {
  const tables = openIptables({ backend: "nft", netnsPath: "/run/netns/linux-no-such" });
  await expect(tables.save("filter")).rejects.toThrow(/linux-no-such/);
});
