/**
 * Makes the iptables tables of one family as wanted: only chains whose text differs are written, each table in one transaction, so
 * that a workload's dispatch appears together with its policy. Chains and rules of others stay as they are.
 *
 * It remembers what the kernel holds; after a failure, and at each refresh, it looks again.
 *
 * Source: Calico felix/iptables/table.go.
 */
import type { Iptables } from "../ports.ts";
import { renderChain } from "../domain/render/chain.ts";
import { TABLES, tableKey } from "../domain/program.ts";
import type { Program, ProgramDelta, RenderedChain, TableName } from "../domain/program.ts";
import { afterChange, parseSave, planTable, printTableChange } from "../domain/table-state.ts";
import type { TableChange, TableState } from "../domain/table-state.ts";
import { newOutcome } from "./outcome.ts";
import type { Outcome } from "./outcome.ts";

type OneTable = { seen: TableState | undefined; readonly dirty: Set<string>; hooksDirty: boolean; written: boolean };
type Planned = { readonly table: TableName; readonly change: TableChange; readonly text: string; readonly seen: TableState };

/** Chains that a single object made; when the kernel refuses one, only that object's traffic is stopped. */
const ONE_OBJECTS = /^cali-(pi|po|pri|pro)-/;

export class Tables {
  readonly #iptables: Iptables;
  readonly #program: Program;
  readonly #tables: ReadonlyMap<TableName, OneTable>;
  /** Chains that the kernel refused, by the last mark of the text that it refused. */
  readonly #refused = new Map<string, string | undefined>();

  constructor(iptables: Iptables, program: Program) {
    this.#iptables = iptables;
    this.#program = program;
    this.#tables = new Map(TABLES.map((t) => [t, { seen: undefined, dirty: new Set<string>(), hooksDirty: true, written: false }]));
  }

  get family(): 4 | 6 {
    return this.#iptables.family;
  }

  get chainCount(): number {
    return TABLES.reduce((sum, t) => sum + (this.#program.chains.get(tableKey(this.family, t))?.size ?? 0), 0);
  }

  get refusedCount(): number {
    return this.#refused.size;
  }

  stage({ chains, hooks }: ProgramDelta): void {
    for (const { family, table, name } of chains) if (family === this.family) this.#tables.get(table)!.dirty.add(name);
    for (const { family, table } of hooks) if (family === this.family) this.#tables.get(table)!.hooksDirty = true;
  }

  /** Look at the kernel's tables again before the next apply. */
  refresh(): void {
    for (const table of this.#tables.values()) table.seen = undefined;
  }

  async apply(): Promise<Outcome> {
    const outcome = newOutcome();
    const planned: Planned[] = [];
    for (const table of TABLES) {
      const plan = await this.#plan(table, outcome);
      if (plan.text === "") this.#done(plan);
      else planned.push(plan);
    }
    if (planned.length === 0) return outcome;
    const text = planned.map((p) => p.text).join("");
    const done = await this.#iptables.restore(text, { noflush: true });
    if (done.ok) {
      for (const plan of planned) {
        this.#done(plan);
        outcome.changed.push(...describe(plan, this.family));
      }
      return outcome;
    }
    this.refresh();
    this.#refuse(done.error.text);
    outcome.failures.push(done.error.message);
    return outcome;
  }

  async #plan(table: TableName, outcome: Outcome): Promise<Planned> {
    const one = this.#tables.get(table)!;
    const key = tableKey(this.family, table);
    const wanted = { chains: this.#withoutRefused(this.#program.chains.get(key) ?? new Map()), hooks: this.#program.hooks.get(key) ?? [] };
    if (one.seen !== undefined) {
      if (one.dirty.size === 0 && !one.hooksDirty)
        return { table, change: { write: [], remove: [], rehook: [] }, text: "", seen: one.seen };
      const change = planTable(wanted, one.seen, one.dirty);
      return { table, change, text: printTableChange(table, change, { hooks: wanted.hooks, seen: one.seen }), seen: one.seen };
    }
    const seen = parseSave(await this.#iptables.save(table));
    const change = planTable(wanted, seen);
    const plan = { table, change, text: printTableChange(table, change, { hooks: wanted.hooks, seen }), seen };
    if (one.written) outcome.repaired.push(...describe({ ...plan, change: withoutStaged(change, one) }, this.family));
    return plan;
  }

  /** A chain that was refused is a drop until its text changes. */
  #withoutRefused(chains: ReadonlyMap<string, RenderedChain>): ReadonlyMap<string, RenderedChain> {
    if (this.#refused.size === 0) return chains;
    const out = new Map(chains);
    for (const [name, mark] of this.#refused) {
      const chain = chains.get(name);
      if (chain === undefined) continue;
      if (chain.hashes.at(-1) === mark) out.set(name, renderChain(name, [{ action: "--jump DROP", comments: ["Refused by the kernel"] }]));
      else this.#refused.delete(name);
    }
    return out;
  }

  #refuse(line: string | undefined): void {
    const name = /^-[AI] (\S+)/.exec(line ?? "")?.[1];
    if (name === undefined || !ONE_OBJECTS.test(name)) return;
    const chain = this.#program.chains.get(tableKey(this.family, "filter"))?.get(name);
    if (chain !== undefined) this.#refused.set(name, chain.hashes.at(-1));
  }

  #done({ table, change, seen }: Planned): void {
    const one = this.#tables.get(table)!;
    one.seen = afterChange(seen, change, this.#program.hooks.get(tableKey(this.family, table)) ?? []);
    one.dirty.clear();
    one.hooksDirty = false;
    one.written = true;
  }
}

/** What differs although nobody asked for a change. */
function withoutStaged(change: TableChange, one: OneTable): TableChange {
  return {
    write: change.write.filter((c) => !one.dirty.has(c.name)),
    remove: change.remove.filter((name) => !one.dirty.has(name)),
    rehook: one.hooksDirty ? [] : change.rehook,
  };
}

function describe({ table, change }: Pick<Planned, "table" | "change">, family: 4 | 6): readonly string[] {
  const place = `${family === 4 ? "iptables" : "ip6tables"} ${table}`;
  return [
    ...change.write.map((chain) => `${place} ${chain.name}`),
    ...change.remove.map((name) => `${place} ${name} removed`),
    ...change.rehook.map((name) => `${place} ${name} hook`),
  ];
}
