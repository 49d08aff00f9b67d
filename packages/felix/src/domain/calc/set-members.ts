/**
 * Members of IP sets, counted: an address that two endpoints give to a set stays until both are gone.
 *
 * Flush gives what changed since the last one, as the kernel's sets want it: by family, networks without /32 and /128,
 * the whole address space as two halves.
 *
 * Source: Calico felix/labelindex/named_port_index.go (reference counts); ipset(8) hash:net refuses a zero prefix.
 */
import { setName } from "../names.ts";
import type { Family } from "../names.ts";
import type { SetChange, SetType } from "../program.ts";

type Side = {
  readonly counts: Map<string, number>;
  /** Members touched since the last flush, and whether they were there. */ readonly touched: Map<string, boolean>;
};
type CountedSet = { readonly type: SetType; readonly sides: Readonly<Record<Family, Side>>; isNew: boolean };

export class SetMembers {
  readonly #sets = new Map<string, CountedSet>();
  readonly #dirty = new Set<string>();
  readonly #dropped = new Set<string>();
  readonly #families: readonly Family[];

  constructor(families: readonly Family[]) {
    this.#families = families;
  }

  get count(): number {
    return this.#sets.size;
  }

  create(id: string, type: SetType): void {
    if (this.#sets.has(id)) return;
    this.#sets.set(id, { type, sides: { 4: newSide(), 6: newSide() }, isNew: true });
    this.#dirty.add(id);
  }

  /** Forget a set and its members. */
  drop(id: string): void {
    const set = this.#sets.get(id);
    if (set === undefined) return;
    this.#sets.delete(id);
    this.#dirty.delete(id);
    if (!set.isNew) this.#dropped.add(id);
  }

  add(id: string, member: string): void {
    this.#count(id, member, +1);
  }

  remove(id: string, member: string): void {
    this.#count(id, member, -1);
  }

  #count(id: string, member: string, by: 1 | -1): void {
    const set = this.#sets.get(id);
    if (set === undefined) return;
    for (const text of kernelForms(member)) {
      const { counts, touched } = set.sides[familyOf(text)];
      const before = counts.get(text) ?? 0;
      if (!touched.has(text)) touched.set(text, before > 0);
      if (before + by > 0) counts.set(text, before + by);
      else counts.delete(text);
    }
    this.#dirty.add(id);
  }

  flush(): readonly SetChange[] {
    const out: SetChange[] = [];
    for (const id of this.#dropped) {
      if (this.#sets.has(id)) throw new Error(`IP set ${id} was dropped and made again between two flushes`);
      for (const family of this.#families) out.push({ name: setName(family, id), family, add: [], remove: [] });
    }
    for (const id of this.#dirty) out.push(...this.#changesOf(id));
    this.#dropped.clear();
    this.#dirty.clear();
    return out;
  }

  #changesOf(id: string): readonly SetChange[] {
    const set = this.#sets.get(id)!;
    const changes = this.#families.flatMap((family): SetChange[] => {
      const { counts, touched } = set.sides[family];
      const add: string[] = [];
      const remove: string[] = [];
      for (const [member, was] of touched) {
        const is = counts.has(member);
        if (is && !was) add.push(member);
        if (!is && was) remove.push(member);
      }
      touched.clear();
      if (!set.isNew && add.length === 0 && remove.length === 0) return [];
      return [{ name: setName(family, id), family, type: set.type, add, remove }];
    });
    set.isNew = false;
    return changes;
  }
}

function newSide(): Side {
  return { counts: new Map(), touched: new Map() };
}

function familyOf(member: string): Family {
  const comma = member.indexOf(",");
  return (comma < 0 ? member : member.slice(0, comma)).includes(":") ? 6 : 4;
}

/** A member as `ipset list` prints it. */
function kernelForms(member: string): readonly string[] {
  if (member === "0.0.0.0/0") return ["0.0.0.0/1", "128.0.0.0/1"];
  if (member === "::/0") return ["::/1", "8000::/1"];
  const host = member.includes(":") ? "/128" : "/32";
  return [member.endsWith(host) ? member.slice(0, -host.length) : member];
}
