import type { Chain, ChainRef } from "./chain.ts";
import type { Family, TableName } from "./names.ts";

/** What is to be written to one family's tables. */
export interface Writes {
  readonly set: readonly Chain[];
  readonly remove: readonly ChainRef[];
  /** Whole lines on chains that are not ours: `-I CHAIN …`, `-D CHAIN …` of our own hook rules. */
  readonly hooks?: readonly { readonly table: TableName; readonly line: string }[];
}

/**
 * Text for `iptables-restore --noflush`, or "" if there is nothing to write for the family.
 *
 * Each table is one transaction: chains are declared (which makes or flushes them), filled, hooked, and the vanished ones, that nothing
 * refers to any more by then, deleted. Chains that are not named stay as they are, whoever owns them.
 */
export function printRestore(family: Family, writes: Writes): string {
  return (["nat", "filter"] as const).map((table) => printTable(family, table, writes)).join("");
}

function printTable(family: Family, table: TableName, writes: Writes): string {
  const here = (c: ChainRef) => c.family === family && c.table === table;
  const set = writes.set.filter(here);
  const remove = writes.remove.filter(here);
  const hooks = (writes.hooks ?? []).filter((h) => h.table === table).map((h) => h.line);
  if (set.length + remove.length + hooks.length === 0) return "";
  const lines = [
    `*${table}`,
    ...[...set, ...remove].map((c) => `:${c.name} - [0:0]`),
    ...set.flatMap((c) => c.rules),
    ...hooks,
    ...remove.map((c) => `-X ${c.name}`),
    "COMMIT",
    "",
  ];
  return lines.join("\n");
}
