import { expect, test } from "vitest";
import { iptablesContract } from "../../test/contract/iptables.ts";
import { makeFakeIpset } from "./fake-ipset.ts";
import { makeFakeIptables } from "./fake-iptables.ts";

iptablesContract("fake iptables", {
  async open() {
    const sets = makeFakeIpset();
    return { sets, tables: makeFakeIptables({ ipset: sets }), close: async () => {} };
  },
});

test("fake iptables: records, fails when told, shows rules by chain, lets others tamper", async () => {
  const tables = makeFakeIptables();
  tables.failNext("injected");
  const text = "*nat\n:cali-x - [0:0]\n-A cali-x -d 10.0.0.1 --jump ACCEPT\nCOMMIT\n";
  expect(await tables.restore(text, { noflush: true })).toEqual({ ok: false, error: { kind: "refused", message: "injected" } });
  expect(tables.rules("nat", "cali-x")).toBeUndefined();
  expect((await tables.restore(text, { noflush: true })).ok).toBe(true);
  expect(tables.rules("nat", "cali-x")).toEqual(["-d 10.0.0.1/32 -j ACCEPT"]);
  tables.tamper("*nat\n-F cali-x\nCOMMIT\n");
  expect(tables.rules("nat", "cali-x")).toEqual([]);
  expect(tables.chains("nat")).toContain("cali-x");
  expect(tables.recorded).toEqual([text, text]);
});
