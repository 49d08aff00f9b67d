/** What a write needs of other objects. */
import { ok, type Result } from "@calico/model";
import { DEFAULT_TIERS, defaultTier } from "../domain/built-in.ts";
import { type DatastoreError, datastoreErrors } from "../domain/errors.ts";
import type { ResourceInput, ResourceRef } from "../domain/resource-input.ts";
import { isTiered, TIERED_KINDS, tierOf } from "../domain/stored-form.ts";
import { isDefaultAllow } from "./decode.ts";
import type { ResourceClient } from "./resource-client.ts";

/** A policy needs its tier. The three that every cluster has are written if nobody has yet. */
export async function requireTier(client: ResourceClient, object: ResourceInput): Promise<Result<void, DatastoreError>> {
  if (!isTiered(object.kind)) return ok(undefined);
  const name = tierOf(object);
  const tier = await client.get({ kind: "Tier", name });
  if (tier.ok) return ok(undefined);
  const builtIn = defaultTier(name);
  if (tier.error.kind !== "doesNotExist" || builtIn === undefined) return tier;
  const made = await client.create(builtIn);
  return made.ok || made.error.kind === "alreadyExists" ? ok(undefined) : made;
}

/** Source: facts §1.6.4. */
export async function deleteRefused(client: ResourceClient, ref: ResourceRef): Promise<DatastoreError | undefined> {
  if (isDefaultAllow(ref)) return datastoreErrors.notSupported("Delete", ref, "the profile is built in");
  if (ref.kind !== "Tier") return undefined;
  if (DEFAULT_TIERS.some(({ name }) => name === ref.name)) {
    return datastoreErrors.notSupported("Delete", ref, "Cannot delete a tier that every cluster has");
  }
  for (const kind of TIERED_KINDS) {
    const { items } = await client.list(kind);
    if (items.some((policy) => tierOf(policy) === ref.name))
      return datastoreErrors.notSupported("Delete", ref, "Cannot delete a non-empty tier");
  }
  return undefined;
}
