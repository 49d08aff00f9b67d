/** The golden program in the real programs' hands: both back ends, both families, twice, and then compared as saved. Needs root. */
import { createNetns, deleteNetns, netnsPath, openIpset, openIptables } from "@calico/linux";
import { afterAll, beforeAll, expect, test } from "vitest";
import { TABLES } from "../../src/domain/program.ts";
import { parseSave, planTable } from "../../src/domain/table-state.ts";
import { tableKey } from "../../src/domain/program.ts";
import { programOf, renderProgramText } from "../../src/mod.ts";
import { updated } from "../../src/testing.ts";
import { NODE } from "../cluster.ts";
import { everyKind } from "../every-kind.ts";

const name = `felix-${process.pid}-golden`;
const program = programOf(everyKind().map(updated), NODE);
const text = renderProgramText(program);

beforeAll(() => createNetns(name));
afterAll(() => deleteNetns(name));

test.for([
  { backend: "nft", family: 4 },
  { backend: "nft", family: 6 },
  { backend: "legacy", family: 4 },
  { backend: "legacy", family: 6 },
] as const)(
  "golden: iptables-$backend takes the IPv$family program, and shows it back without a difference",
  async ({ backend, family }) => {
    const at = { netnsPath: netnsPath(name) };
    expect(await openIpset(at).restore(text.ipset)).toEqual({ ok: true, value: undefined });
    const iptables = openIptables({ ...at, backend, family });
    const restore = family === 4 ? text.iptables : text.ip6tables;
    expect(await iptables.restore(restore, { noflush: true })).toEqual({ ok: true, value: undefined });
    for (const table of TABLES) {
      const wanted = { chains: program.chains.get(tableKey(family, table))!, hooks: program.hooks.get(tableKey(family, table))! };
      const seen = parseSave(await iptables.save(table));
      expect(planTable(wanted, seen), table).toEqual({ write: [], remove: [], rehook: [] });
    }
  },
);
