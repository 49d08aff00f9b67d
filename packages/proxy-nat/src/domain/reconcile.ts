import type { Chain, ChainRef } from "./chain.ts";
import type { Family, TableName } from "./names.ts";
import type { Saved } from "./readback.ts";
import type { Writes } from "./restore.ts";
import { HOOKS } from "./statics.ts";

/** What makes the kernel's table match the desired chains, and the names of what differed. */
export interface Repair {
  readonly writes: Required<Writes>;
  readonly differed: readonly string[];
}

/**
 * Compare one table with what should be there. A chain with a missing, added, reordered or altered rule is written anew; chains of ours that
 * nobody wants go; of our hook rules there is exactly one each. What is not ours is not looked at.
 */
export function reconcile(at: { readonly family: Family; readonly table: TableName }, desired: readonly Chain[], saved: Saved): Repair {
  const wanted = new Set(desired.map((c) => c.name));
  const set = desired.filter((c) => !matches(c, saved.chains.get(c.name)));
  const remove: ChainRef[] = [...saved.chains.keys()].filter((name) => !wanted.has(name)).map((name) => ({ ...at, name }));
  const hooks = hookLines(at.table, saved);
  return {
    writes: { set, remove, hooks: hooks.map((line) => ({ table: at.table, line })) },
    differed: [...set, ...remove].map((c) => `${at.table}/${c.name}`).concat(hooks.map((line) => `${at.table}/${line.split(" ")[1]} hook`)),
  };
}

function matches(chain: Chain, hashes: readonly (string | undefined)[] | undefined): boolean {
  return hashes !== undefined && hashes.length === chain.hashes.length && chain.hashes.every((h, i) => h === hashes[i]);
}

function hookLines(table: TableName, saved: Saved): readonly string[] {
  const expected = HOOKS.filter((h) => h.table === table);
  const seen = new Set<string>();
  const surplus = saved.hooks.filter((found) => {
    const good = expected.some((h) => h.chain === found.chain && h.hash === found.hash) && !seen.has(`${found.chain}|${found.hash}`);
    seen.add(`${found.chain}|${found.hash}`);
    return !good;
  });
  const missing = expected.filter((h) => !seen.has(`${h.chain}|${h.hash}`));
  return [...surplus.map((f) => `-D ${f.chain} ${f.rule}`), ...missing.map((h) => `-I ${h.chain} ${h.rule}`)];
}
