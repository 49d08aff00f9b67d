import type { World } from "./ipam-gc.ts";

/** Names of virtual machines, of either kind: what is absent from one may be in the other. */
export type MachineIndex = NonNullable<World["machines"]> & {
  /** False: no machine came or went by this. */
  set(name: string, o: { readonly kind: string; readonly isThere: boolean; readonly revision: string }): boolean;
};

export function makeMachineIndex(): MachineIndex {
  const kindsOf = new Map<string, ReadonlySet<string>>();
  const names = new Set<string>();
  let revision = "";
  return {
    names,
    get revision() {
      return revision;
    },
    set(name, { kind, ...o }) {
      revision = o.revision;
      const kinds = new Set(kindsOf.get(name));
      if (o.isThere) kinds.add(kind);
      else kinds.delete(kind);
      if (kinds.size === 0) kindsOf.delete(name);
      else kindsOf.set(name, kinds);
      if (names.has(name) === kinds.size > 0) return false;
      return kinds.size > 0 ? names.add(name).has(name) : names.delete(name);
    },
  };
}
