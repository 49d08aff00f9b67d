/** A world from objects and affinities, for tests of what is derived from it. */
import { affinityKey, blockKey, keyOf, parseKey } from "@calico/model";
import type { ObjectKind } from "@calico/model";
import { makeWorld } from "../domain/config/world.ts";
import type { World } from "../domain/config/world.ts";

export type WorldInput = {
  readonly node: string;
  readonly objects?: readonly { readonly kind: ObjectKind; readonly metadata: { readonly name: string } }[];
  /** `node block state`, state confirmed if left out. */
  readonly affinities?: readonly string[];
  readonly blocks?: Readonly<Record<string, unknown>>;
};

export function aWorld({ node, objects = [], affinities = [], blocks = {} }: WorldInput): World {
  const store = makeWorld(node);
  const put = (key: string, value: unknown) => {
    const ref = parseKey(key);
    if (ref === undefined) throw new Error(`no key: ${key}`);
    const { rejected } = store.take({ kind: "updated", key, ref, value });
    if (rejected !== undefined) throw new Error(JSON.stringify(rejected));
  };
  for (const object of objects) put(keyOf({ kind: object.kind, name: object.metadata.name }), object);
  for (const text of affinities) {
    const [host = "", cidr = "", state = "confirmed"] = text.split(" ");
    put(affinityKey(host, cidr), { state, deleted: false });
  }
  for (const [cidr, value] of Object.entries(blocks)) put(blockKey(cidr), value);
  return store.world;
}
