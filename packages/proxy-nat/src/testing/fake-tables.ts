import { err, ok, type Result } from "@calico/model";
import type { Family, TableName } from "../domain/names.ts";
import type { Tables } from "../ports.ts";
import { parseRule, type ParsedRule } from "./rule.ts";

const BUILTIN_CHAINS = { nat: ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"], filter: ["INPUT", "FORWARD", "OUTPUT"] } as const;
const BUILTIN_TARGETS = ["ACCEPT", "DROP", "RETURN", "REJECT", "DNAT", "SNAT", "MARK", "MASQUERADE"];

type Chains = Map<string, ParsedRule[]>;

export interface FakeTables extends Tables {
  chains(table: TableName): ReadonlyMap<string, readonly ParsedRule[]>;
  /** Every accepted text, in order. */
  readonly restores: readonly string[];
  /** Refuse the next `n` restores, as a kernel that is busy would. */
  failNext(n: number): void;
}

/** Tables that refuse what iptables refuses: unknown chains and options, deleting a chain that is referred to. A table is applied whole or not at all. */
export function fakeTables(family: Family = 4): FakeTables {
  const state: Record<TableName, Chains> = { nat: emptyTable("nat"), filter: emptyTable("filter") };
  const restores: string[] = [];
  let failing = 0;

  function restore(text: string): Result<void, { message: string }> {
    if (failing > 0) {
      failing--;
      return err({ message: "injected: resource temporarily unavailable" });
    }
    let open: { table: TableName; chains: Chains } | undefined;
    for (const line of text.split("\n")) {
      try {
        if (line === "") continue;
        if (line.startsWith("*")) open = begin(line.slice(1), state);
        else if (open === undefined) throw new Error(`no table before: ${line}`);
        else if (line === "COMMIT") {
          checkReferences(open.chains);
          state[open.table] = open.chains;
          open = undefined;
        } else change(open.chains, line);
      } catch (error) {
        return err({ message: error instanceof Error ? error.message : String(error) });
      }
    }
    if (open !== undefined) return err({ message: "COMMIT expected" });
    restores.push(text);
    return ok(undefined);
  }

  return {
    family,
    chains: (table) => state[table],
    restores,
    failNext: (n) => void (failing = n),
    save: async (table) => printTable(table, state[table]),
    restore: async (text) => restore(text),
  };
}

function emptyTable(table: TableName): Chains {
  return new Map(BUILTIN_CHAINS[table].map((name) => [name, []]));
}

function begin(table: string, state: Record<TableName, Chains>): { table: TableName; chains: Chains } {
  if (table !== "nat" && table !== "filter") throw new Error(`unknown table ${table}`);
  return { table, chains: new Map([...state[table]].map(([name, rules]) => [name, [...rules]])) };
}

function change(chains: Chains, line: string): void {
  const [verb = "", chain = ""] = line.split(" ");
  const rest = line.slice(verb.length + chain.length + 2);
  const rules = () => chains.get(chain) ?? fail(`no chain ${chain}: ${line}`);
  if (verb.startsWith(":")) {
    if (verb.length - 1 > 28) fail(`chain name too long: ${verb.slice(1)}`);
    chains.set(verb.slice(1), []);
  } else if (verb === "-A") rules().push(parseRule(rest));
  else if (verb === "-I") rules().unshift(parseRule(rest));
  else if (verb === "-D") {
    const at = rules().findIndex((r) => r.text === rest);
    if (at < 0) fail(`no such rule: ${line}`);
    rules().splice(at, 1);
  } else if (verb === "-X") {
    if (rules().length > 0) fail(`chain not empty: ${chain}`);
    if ([...chains.values()].flat().some((r) => r.target === chain)) fail(`chain in use: ${chain}`);
    chains.delete(chain);
  } else fail(`unknown command: ${line}`);
}

function checkReferences(chains: Chains): void {
  for (const rule of [...chains.values()].flat())
    if (!chains.has(rule.target) && !BUILTIN_TARGETS.includes(rule.target)) fail(`no target ${rule.target}: ${rule.text}`);
}

function printTable(table: TableName, chains: Chains): string {
  const declared = [...chains.keys()].map(
    (name) => `:${name} ${(BUILTIN_CHAINS[table] as readonly string[]).includes(name) ? "ACCEPT" : "-"} [0:0]`,
  );
  const rules = [...chains].flatMap(([name, list]) => list.map((r) => `-A ${name} ${r.text}`));
  return [`*${table}`, ...declared, ...rules, "COMMIT", ""].join("\n");
}

function fail(why: string): never {
  throw new Error(`iptables-restore: ${why}`);
}
