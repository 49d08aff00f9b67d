/** The objects of a state as the datastore's own client reads them, and as `calicoctl apply` takes them. */
import { resourceClient, type Store } from "@calico/datastore";
import { ALL_KINDS, API_VERSION, type Kind, kindInfo, type ObjectKind } from "@calico/model";
import { byText, type State } from "../domain/fold.ts";
import { valueOf } from "../domain/history.ts";

export type Objects = {
  /** Tiers first, since policies need theirs. */
  readonly objects: readonly Readonly<Record<string, unknown>>[];
  /** Why others are not among them. */
  readonly leftOut: readonly string[];
};

/** Kinds that a person can write. */
export const API_KINDS: readonly Kind[] = ["Tier", ...ALL_KINDS.filter((kind) => kindInfo(kind).api && kind !== "Tier")];

/** Objects of these kinds, ready to be applied elsewhere: without what the datastore gave them. */
export async function objectsToApply(state: State, kinds: readonly Kind[], wants: (key: string) => boolean): Promise<Objects> {
  const objects: Readonly<Record<string, unknown>>[] = [];
  const leftOut: string[] = [];
  const client = resourceClient(storeOf(state));
  const ordered = [...new Set([...API_KINDS, ...ALL_KINDS])].filter((kind) => kinds.includes(kind));
  for (const kind of ordered) {
    if (!kindInfo(kind).api) {
      objects.push(...rawObjects(state, kind, wants));
      continue;
    }
    const { items, unparsable } = await client.list(kind as ObjectKind);
    for (const { message } of unparsable) leftOut.push(message);
    for (const item of items) {
      const object = item as unknown as ApiObject;
      const { name, namespace } = object.metadata;
      if (kind === "Profile" && name === BUILT_IN_PROFILE) continue;
      if (!wants(`${kind}/${namespace ?? ""}/${name}`)) continue;
      const why = whyNotApplied(kind, name);
      if (why === undefined) objects.push(withoutBookkeeping(object));
      else leftOut.push(`${kind}(${namespace === undefined ? "" : `${namespace}/`}${name}): ${why}`);
    }
  }
  return { objects, leftOut };
}

type ApiObject = {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string } & Readonly<Record<string, unknown>>;
} & Readonly<Record<string, unknown>>;

/** Every cluster has it, and nobody may write it. */
const BUILT_IN_PROFILE = "projectcalico-default-allow";

function whyNotApplied(kind: Kind, name: string): string | undefined {
  if (kind === "ClusterInformation") return "each cluster makes its own";
  if (kind === "NetworkPolicy" && name.startsWith("knp.default."))
    return "a mirror of a Kubernetes NetworkPolicy: apply that one with kubectl";
  return undefined;
}

function withoutBookkeeping(object: ApiObject): Readonly<Record<string, unknown>> {
  const { name, namespace, labels, annotations } = object.metadata;
  const metadata = Object.fromEntries(Object.entries({ name, namespace, labels, annotations }).filter(([, value]) => value !== undefined));
  const { kind, apiVersion: _, metadata: __, ...rest } = object;
  return { apiVersion: API_VERSION, kind, metadata, ...rest };
}

/** Kinds of the bus alone, as they are stored. */
function rawObjects(state: State, kind: Kind, wants: (key: string) => boolean): readonly Readonly<Record<string, unknown>>[] {
  return [...state.values()]
    .filter(({ ref }) => ref.ref.kind === kind && wants(`${kind}/${ref.ref.namespace ?? ""}/${ref.ref.name}`))
    .toSorted((a, b) => byText(a.key, b.key))
    .map((record) => ({ kind, key: record.key, value: valueOf(record) }));
}

/** The state as a store that can be read. */
function storeOf(state: State): Store {
  const refuse = (): never => {
    throw new Error("Cannot write the past");
  };
  const items = [...state.values()]
    .toSorted((a, b) => byText(a.key, b.key))
    .map(({ key, data, revision }) => ({ key, value: data, modRevision: revision, createRevision: revision }));
  const revision = items.reduce((newest, item) => Math.max(newest, item.modRevision), 0);
  const byKey = new Map(items.map((item) => [item.key, item]));
  return {
    get: async (key) => byKey.get(key),
    list: async (prefix) => ({ items: items.filter(({ key }) => key.startsWith(prefix)), revision }),
    create: refuse,
    update: refuse,
    put: refuse,
    delete: refuse,
    txn: refuse,
    watch: refuse,
    elect: refuse,
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
}
