/** What any Iptables and Ipset do, the real programs and the fakes: one list of cases, run on both. */
import { expect, test } from "vitest";
import type { Ipset, Iptables } from "../../src/mod.ts";

export type IptablesSubject = {
  /** Empty tables and no sets, new for every case. */
  open(): Promise<{ tables: Iptables; sets: Ipset; close(): Promise<void> }>;
};

const noflush = { noflush: true } as const;
const filter = (...lines: string[]) => ["*filter", ...lines, "COMMIT", ""].join("\n");
/** Lines of the save text that are about our chains. */
const ours = (text: string) =>
  text
    .split("\n")
    .filter((line) => /cali-/.test(line))
    .map((line) => line.replace(/ \[\d+:\d+\]$/, ""));

/** Restore texts that are refused after `:cali-a`, `:cali-b` exist and cali-a jumps to cali-b. */
const REFUSED: readonly { name: string; text: string }[] = [
  { name: "append to a missing chain", text: filter("-A cali-none -j ACCEPT") },
  { name: "jump to a missing chain", text: filter("-A cali-a -j cali-none") },
  { name: "delete a chain that is referred to", text: filter("-F cali-b", "-X cali-b") },
  { name: "delete a missing chain", text: filter("-X cali-none") },
  { name: "delete a rule that is not there", text: filter("-D cali-a -j DROP") },
  { name: "insert past the end", text: filter("-I cali-b 7 -j DROP") },
  { name: "an unknown verb", text: filter("-Y cali-a") },
  { name: "a table that is none", text: "*nosuch\nCOMMIT\n" },
  { name: "no COMMIT before the next table", text: "*filter\n*nat\nCOMMIT\n" },
  { name: "a chain name over 28 characters", text: filter(`:cali-${"x".repeat(30)} - [0:0]`) },
  { name: "a chain loop", text: filter("-A FORWARD -j cali-a", "-A cali-b -j cali-a") },
  { name: "DNAT outside nat", text: filter("-A cali-a -p tcp -j DNAT --to-destination 10.0.0.1:80") },
  { name: "a match on a missing set", text: filter("-A cali-a -m set --match-set cali40nosuch src -j DROP") },
];

export function iptablesContract(name: string, subject: IptablesSubject): void {
  const each = (title: string, body: (on: Awaited<ReturnType<IptablesSubject["open"]>>) => Promise<void>) =>
    test(`${name}: ${title}`, async () => {
      const on = await subject.open();
      try {
        await body(on);
      } finally {
        await on.close();
      }
    });
  const apply = async (tables: Iptables, text: string) =>
    expect(await tables.restore(text, noflush)).toEqual({ ok: true, value: undefined });
  const BASE = filter(":cali-a - [0:0]", ":cali-b - [0:0]", "-A cali-a -j cali-b", "-A cali-b -s 10.0.0.1/32 -j ACCEPT");

  each("what is restored is saved", async ({ tables }) => {
    await apply(tables, BASE);
    await apply(tables, filter('-I FORWARD 1 -m comment --comment "cali:abc DEF" -j cali-a'));
    expect(ours(await tables.save("filter"))).toEqual([
      ":cali-a -",
      ":cali-b -",
      '-A FORWARD -m comment --comment "cali:abc DEF" -j cali-a',
      "-A cali-a -j cali-b",
      "-A cali-b -s 10.0.0.1/32 -j ACCEPT",
    ]);
  });

  each("declaring a chain again flushes it, and leaves others alone", async ({ tables }) => {
    await apply(tables, BASE);
    await apply(tables, filter(":cali-b - [0:0]", "-A cali-b -j DROP"));
    expect(ours(await tables.save("filter"))).toEqual([":cali-a -", ":cali-b -", "-A cali-a -j cali-b", "-A cali-b -j DROP"]);
  });

  each("insert, delete by rule and by number, replace, flush, delete chain", async ({ tables }) => {
    await apply(tables, BASE);
    await apply(tables, filter("-I cali-b -j DROP", "-I cali-b 2 -j RETURN", "-D cali-b -s 10.0.0.1/32 -j ACCEPT"));
    expect(ours(await tables.save("filter")).filter((l) => l.startsWith("-A cali-b"))).toEqual([
      "-A cali-b -j DROP",
      "-A cali-b -j RETURN",
    ]);
    await apply(tables, filter("-R cali-b 1 -j ACCEPT", "-D cali-b 2"));
    expect(ours(await tables.save("filter")).filter((l) => l.startsWith("-A cali-b"))).toEqual(["-A cali-b -j ACCEPT"]);
    await apply(tables, filter("-F cali-a", "-F cali-b", "-X cali-a", "-X cali-b"));
    expect(ours(await tables.save("filter"))).toEqual([]);
  });

  for (const row of REFUSED) {
    each(`refused, nothing of the table applied: ${row.name}`, async ({ tables }) => {
      await apply(tables, BASE);
      const before = ours(await tables.save("filter"));
      const lines = row.text.startsWith("*filter\n-") ? row.text.replace("*filter\n", "*filter\n:cali-half - [0:0]\n") : row.text;
      const result = await tables.restore(lines, noflush);
      expect(result).toMatchObject({ ok: false, error: { kind: "refused" } });
      if (!result.ok) expect(result.error.line, result.error.message).toBeGreaterThan(0);
      expect(ours(await tables.save("filter"))).toEqual(before);
    });
  }

  each("the refused line is named", async ({ tables }) => {
    const result = await tables.restore(filter(":cali-a - [0:0]", "-A cali-a -j ACCEPT", "-Y cali-a"), noflush);
    expect(result).toMatchObject({ ok: false, error: { kind: "refused", line: 4, text: "-Y cali-a" } });
  });

  each("a set that a rule uses cannot be destroyed", async ({ tables, sets }) => {
    expect((await sets.restore("create cali40x hash:net family inet maxelem 1048576\n")).ok).toBe(true);
    await apply(tables, filter(":cali-a - [0:0]", "-A cali-a -m set --match-set cali40x src -j DROP"));
    expect(await sets.restore("destroy cali40x\n")).toMatchObject({
      ok: false,
      error: { kind: "refused", line: 1, text: "destroy cali40x" },
    });
    await apply(tables, filter(":cali-a - [0:0]"));
    expect((await sets.restore("destroy cali40x\n")).ok).toBe(true);
  });

  each("sets are listed as they are, members in ipset's own form", async ({ sets }) => {
    const script = [
      "create cali40ip hash:ip family inet maxelem 1048576",
      "create cali40net hash:net family inet maxelem 1048576",
      "create cali60ip hash:ip family inet6 maxelem 65536",
      "create cali40port hash:ip,port family inet maxelem 65536",
      "add cali40ip 10.0.0.2",
      "add cali40ip 10.0.0.1",
      "add cali40ip 10.0.0.1",
      "add cali40net 10.0.0.5/24",
      "add cali40net 10.0.0.1/32",
      "add cali60ip FD00:0::1",
      "add cali40port 10.0.0.1,udp:53",
      "del cali40ip 10.9.9.9",
      "create cali40ip hash:ip family inet maxelem 1048576",
      "destroy cali40gone",
      "",
    ].join("\n");
    expect(await sets.restore(script)).toEqual({ ok: true, value: undefined });
    expect((await sets.names()).toSorted()).toEqual(["cali40ip", "cali40net", "cali40port", "cali60ip"]);
    const shown = (await sets.list()).map((s) => `${s.name} ${s.type} ${s.family} ${s.maxelem} ${s.members.join(" ")}`).toSorted();
    expect(shown).toEqual([
      "cali40ip hash:ip inet 1048576 10.0.0.1 10.0.0.2",
      "cali40net hash:net inet 1048576 10.0.0.0/24 10.0.0.1",
      "cali40port hash:ip,port inet 65536 10.0.0.1,udp:53",
      "cali60ip hash:ip inet6 65536 fd00::1",
    ]);
    expect((await sets.list("cali40ip")).map((s) => s.name)).toEqual(["cali40ip"]);
    expect(await sets.list("cali40gone")).toEqual([]);
  });

  each("a set is rewritten by swap", async ({ sets }) => {
    await sets.restore("create cali40a hash:ip\nadd cali40a 10.0.0.1\n");
    const swapped = await sets.restore("create cali4tx hash:ip\nadd cali4tx 10.0.0.2\nswap cali40a cali4tx\ndestroy cali4tx\n");
    expect(swapped).toEqual({ ok: true, value: undefined });
    expect((await sets.list()).map((s) => `${s.name} ${s.members.join(" ")}`)).toEqual(["cali40a 10.0.0.2"]);
  });

  const REFUSED_SETS = [
    { name: "add to a missing set", text: "add cali40none 10.0.0.1\n" },
    { name: "an address of the other family", text: "create cali40a hash:ip family inet\nadd cali40a fd00::1\n" },
    { name: "the same name with another type", text: "create cali40a hash:ip\ncreate cali40a hash:net\n" },
    {
      name: "more than maxelem",
      text: "create cali40a hash:ip maxelem 2\nadd cali40a 10.0.0.1\nadd cali40a 10.0.0.2\nadd cali40a 10.0.0.3\n",
    },
    { name: "0.0.0.0/0 in hash:net", text: "create cali40a hash:net\nadd cali40a 0.0.0.0/0\n" },
    { name: "a name over 31 characters", text: `create cali40${"x".repeat(30)} hash:ip\n` },
    { name: "swap with another type", text: "create cali40a hash:ip\ncreate cali40b hash:net\nswap cali40a cali40b\n" },
    { name: "an unknown type", text: "create cali40a hash:nothing\n" },
  ];
  for (const row of REFUSED_SETS) {
    each(`ipset refuses: ${row.name}`, async ({ sets }) => {
      const last = row.text.trimEnd().split("\n").length;
      const result = await sets.restore(row.text);
      expect(result).toMatchObject({ ok: false, error: { kind: "refused", line: last } });
    });
  }
}
