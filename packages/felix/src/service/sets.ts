/**
 * Makes the kernel's IP sets as wanted, in two steps around the tables: what rules will refer to comes before them, what they
 * no longer refer to goes after them.
 *
 * Source: Calico felix/ipsets/ipsets.go; facts 5.9.6, 5.9.7.
 */
import type { Ipset } from "../ports.ts";
import { isOurSet } from "../domain/names.ts";
import { createLine } from "../domain/print.ts";
import type { Program, ProgramDelta } from "../domain/program.ts";
import { messageOf } from "./outcome.ts";
import type { Outcome } from "./outcome.ts";

type Pending = { create: boolean; readonly add: Set<string>; readonly remove: Set<string> };

export class Sets {
  readonly #ipset: Ipset;
  readonly #program: Program;
  readonly #pending = new Map<string, Pending>();
  readonly #destroy = new Set<string>();
  #looked = false;
  #everLooked = false;

  constructor(ipset: Ipset, program: Program) {
    this.#ipset = ipset;
    this.#program = program;
  }

  /** Call before the delta is added to the program. */
  stage({ sets }: ProgramDelta): void {
    for (const { name, type, add, remove } of sets) {
      if (type === undefined) {
        this.#pending.delete(name);
        this.#destroy.add(name);
        continue;
      }
      // It is wanted again before it went: what the kernel still has in it is not known.
      if (this.#destroy.delete(name)) this.refresh();
      const pending = this.#of(name);
      if (!this.#program.sets.has(name)) pending.create = true;
      for (const member of remove) {
        pending.add.delete(member);
        pending.remove.add(member);
      }
      for (const member of add) {
        pending.remove.delete(member);
        pending.add.add(member);
      }
    }
  }

  refresh(): void {
    this.#looked = false;
  }

  /** Make sets and add members. False: rules must wait. */
  async applyAdditions(outcome: Outcome): Promise<boolean> {
    try {
      if (!this.#looked) await this.#look(outcome);
    } catch (error) {
      outcome.failures.push(messageOf(error));
      return false;
    }
    const work = [...this.#pending].filter(([, p]) => p.create || p.add.size > 0);
    const lines = work.flatMap(([name, p]) => [
      ...(p.create ? [createLine(name, this.#program.sets.get(name)!)] : []),
      ...[...p.add].map((m) => `add ${name} ${m}`),
    ]);
    if (!(await this.#restore(lines, outcome))) return false;
    for (const [name, p] of work) {
      outcome.changed.push(`ipset ${name}`);
      p.create = false;
      p.add.clear();
    }
    return true;
  }

  /** Remove members, then sets. */
  async applyRemovals(outcome: Outcome): Promise<boolean> {
    const work = [...this.#pending].filter(([, p]) => p.remove.size > 0);
    const ok = await this.#restore(
      work.flatMap(([name, p]) => [...p.remove].map((m) => `del ${name} ${m}`)),
      outcome,
    );
    if (!ok) return false;
    for (const [name] of work) if (!outcome.changed.includes(`ipset ${name}`)) outcome.changed.push(`ipset ${name}`);
    this.#pending.clear();
    return this.#destroyUnused(outcome);
  }

  /** One by one: the kernel lets go of a set a moment after the last rule, and one that is held must not hold up the others. */
  async #destroyUnused(outcome: Outcome): Promise<boolean> {
    let ok = true;
    for (const name of this.#destroy) {
      const done = await this.#ipset.restore(`destroy ${name}\n`);
      if (done.ok) {
        this.#destroy.delete(name);
        outcome.changed.push(`ipset ${name} removed`);
      } else {
        outcome.failures.push(done.error.message);
        ok = false;
      }
    }
    return ok;
  }

  async #restore(lines: readonly string[], outcome: Outcome): Promise<boolean> {
    if (lines.length === 0) return true;
    const done = await this.#ipset.restore(`${lines.join("\n")}\n`);
    if (done.ok) return true;
    outcome.failures.push(done.error.message);
    this.refresh();
    return false;
  }

  /** Compare all sets of ours with what is wanted. What differs without having been asked for was altered by somebody. */
  async #look(outcome: Outcome): Promise<void> {
    const found = new Map((await this.#ipset.list()).map((set) => [set.name, set]));
    for (const [name, wanted] of this.#program.sets) {
      const pending = this.#of(name);
      const members = new Set(found.get(name)?.members ?? []);
      const missing = [...wanted.members].filter((m) => !members.has(m));
      const extra = [...members].filter((m) => !wanted.members.has(m));
      const unasked = missing.filter((m) => !pending.add.has(m)).length + extra.filter((m) => !pending.remove.has(m)).length;
      if (this.#everLooked && (unasked > 0 || (!found.has(name) && !pending.create))) {
        outcome.repaired.push(`ipset ${name}: ${missing.length} missing, ${extra.length} too many`);
      }
      pending.create = !found.has(name);
      pending.add.clear();
      pending.remove.clear();
      for (const m of missing) pending.add.add(m);
      for (const m of extra) pending.remove.add(m);
    }
    for (const name of found.keys()) {
      if (!isOurSet(name) || this.#program.sets.has(name)) continue;
      if (this.#everLooked && !this.#destroy.has(name)) outcome.repaired.push(`ipset ${name}: not ours to keep`);
      this.#destroy.add(name);
    }
    this.#looked = true;
    this.#everLooked = true;
  }

  #of(name: string): Pending {
    let pending = this.#pending.get(name);
    if (pending === undefined) this.#pending.set(name, (pending = { create: false, add: new Set(), remove: new Set() }));
    return pending;
  }
}
