export interface StoredName {
  readonly namespace?: string | undefined;
  readonly name: string;
}

/** Which stored objects belong to which Kubernetes object. Keys are etcd's, owners the API server's `namespace/name`. */
export interface OwnerIndex {
  readonly size: number;
  put(key: string, owner: string, ref: StoredName): void;
  remove(key: string): void;
  namesOf(owner: string): readonly StoredName[];
  owners(): readonly string[];
}

export function makeOwnerIndex(): OwnerIndex {
  const byKey = new Map<string, { readonly owner: string; readonly ref: StoredName }>();
  const byOwner = new Map<string, Set<string>>();
  const remove = (key: string): void => {
    const owner = byKey.get(key)?.owner;
    if (owner === undefined) return;
    byKey.delete(key);
    const keys = byOwner.get(owner);
    keys?.delete(key);
    if (keys?.size === 0) byOwner.delete(owner);
  };
  return {
    get size() {
      return byKey.size;
    },
    remove,
    put(key: string, owner: string, { namespace, name }: StoredName): void {
      remove(key);
      byKey.set(key, { owner, ref: { ...(namespace === undefined ? {} : { namespace }), name } });
      byOwner.set(owner, (byOwner.get(owner) ?? new Set()).add(key));
    },
    namesOf: (owner: string): readonly StoredName[] => [...(byOwner.get(owner) ?? [])].flatMap((key) => byKey.get(key)?.ref ?? []),
    owners: (): readonly string[] => [...byOwner.keys()],
  };
}
