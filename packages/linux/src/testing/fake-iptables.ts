/**
 * A strict iptables without a kernel: restore text in, save text out. A table is applied at its COMMIT or not at all. Refused are missing
 * and referenced chains, loops, unknown targets, targets in the wrong table and, with a fake ipset, matches on missing sets.
 */
import { err, ok } from "@calico/model";
import type { Iptables, IptablesBackend, IptablesError, IptablesTable } from "../ports.ts";
import type { FakeIpset } from "./fake-ipset.ts";
import { cloneTable, makeTable, renderTable, runTableLine, setsOf } from "./fake-iptables-table.ts";
import type { TableState } from "./fake-iptables-table.ts";

export type FakeIptables = Iptables & {
  /** Texts given to restore, refused ones too, in order. */
  readonly recorded: readonly string[];
  /** Rules of a chain as saved, without `-A CHAIN `; undefined if there is no such chain. */
  rules(table: IptablesTable, chain: string): readonly string[] | undefined;
  /** Names of all chains of a table, built-in first. */
  chains(table: IptablesTable): readonly string[];
  /** Put rules there behind the adapter's back, as another program would. Throws if refused. */
  tamper(text: string): void;
  failNext(message: string): void;
};

export function makeFakeIptables(options: { family?: 4 | 6; backend?: IptablesBackend; ipset?: FakeIpset } = {}): FakeIptables {
  const tables = new Map<IptablesTable, TableState>((["filter", "nat", "mangle", "raw"] as const).map((t) => [t, makeTable(t)]));
  const recorded: string[] = [];
  const faults: string[] = [];
  const hasSet = (name: string) => options.ipset === undefined || options.ipset.has(name);
  const table = (name: IptablesTable): TableState => tables.get(name) ?? makeTable(name);
  options.ipset?.addReferences(() => [...tables.values()].flatMap((t) => [...t.chains.values()].flatMap((c) => c.rules.flatMap(setsOf))));

  return {
    family: options.family ?? 4,
    recorded,
    backend: async () => options.backend ?? "nft",
    save: async (name) => renderTable(table(name)),
    async restore(text) {
      recorded.push(text);
      const fault = faults.shift();
      if (fault !== undefined) return err({ kind: "refused", message: fault });
      const failure = restoreInto(tables, text, hasSet);
      return failure ? err(failure) : ok(undefined);
    },
    rules: (name, chain) => table(name).chains.get(chain)?.rules,
    chains: (name) => [...table(name).chains.keys()],
    tamper(text) {
      const failure = restoreInto(tables, text, hasSet);
      if (failure) throw new Error(failure.message);
    },
    failNext: (message) => void faults.push(message),
  };
}

function restoreInto(tables: Map<IptablesTable, TableState>, text: string, hasSet: (name: string) => boolean): IptablesError | undefined {
  let staged: TableState | undefined;
  for (const [i, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    let reason: string | undefined;
    if (line.startsWith("*")) {
      const found = tables.get(line.slice(1) as IptablesTable);
      if (staged) reason = "COMMIT expected";
      else if (!found) reason = `can't initialize table \`${line.slice(1)}'`;
      else staged = cloneTable(found);
    } else if (!staged) {
      reason = "no command specified outside of a table";
    } else if (line === "COMMIT") {
      tables.set(staged.name, staged);
      staged = undefined;
    } else {
      reason = runTableLine(staged, line, hasSet);
    }
    if (reason !== undefined) return refused(reason, i + 1, raw);
  }
  return staged && refused("COMMIT expected", text.split("\n").length, "");
}

function refused(reason: string, line: number, text: string): IptablesError {
  return { kind: "refused", line, text, message: `Cannot apply rules at line ${line} (${text}): ${reason}` };
}
