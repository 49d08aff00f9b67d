/** What a pool's write and deletion need of other pools, of blocks, and of IPAM. */
import { type Cidr, type IPPool, parseCidr, parseKey, prefixOf, type Result } from "@calico/model";
import { type DatastoreError, datastoreErrors } from "../domain/errors.ts";
import { changedPoolFaults, newPoolFaults } from "../domain/pool-rules.ts";
import type { ResourceInput, ResourceRef } from "../domain/resource-input.ts";
import type { Store } from "../ports.ts";
import type { IpamForDeletes } from "./node-guards.ts";
import type { ResourceClient } from "./resource-client.ts";

export async function poolRefused(
  { client, store }: { readonly client: ResourceClient; readonly store: Store },
  operation: "create" | "update",
  pool: IPPool,
): Promise<DatastoreError | undefined> {
  const { name } = pool.metadata;
  const old = await client.get({ kind: "IPPool", name });
  if (old.ok !== (operation === "update")) return undefined; // it says so itself
  const faults = old.ok
    ? changedPoolFaults(pool, old.value)
    : newPoolFaults(pool, (await client.list("IPPool")).items, await blockCidrs(store));
  return faults.length === 0 ? undefined : datastoreErrors.invalid({ kind: "IPPool", name }, faults);
}

/** The blocks there are, from their keys. */
async function blockCidrs(store: Store): Promise<readonly Cidr[]> {
  const { items } = await store.list(prefixOf("IPAMBlock"));
  return items.flatMap(({ key }) => {
    const cidr = parseCidr(parseKey(key)?.cidr ?? "");
    return cidr.ok ? [cidr.value] : [];
  });
}

/** How long who began to assign from a pool before it was disabled may take. */
const SETTLE_MS = 500;

/**
 * A pool is disabled before it goes, so that nobody assigns from it any more, and the nodes' claims in it are given back, or they would
 * outlive it. The value is the revision to delete. Source: facts §1.8.3; calico libcalico-go/lib/clientv3/ippool.go (Delete).
 */
export async function emptyPool(
  client: ResourceClient,
  ref: ResourceRef<"IPPool">,
  { ipam, settleMs = SETTLE_MS }: { readonly ipam?: (() => Promise<IpamForDeletes>) | undefined; readonly settleMs?: number | undefined },
): Promise<Result<string | undefined, DatastoreError>> {
  const pool = await client.get(ref);
  if (!pool.ok) return pool.error.kind === "unparsable" ? { ok: true, value: undefined } : pool; // nobody assigns from what cannot be read
  if (ipam === undefined)
    return {
      ok: false,
      error: datastoreErrors.notSupported("Delete", ref, "this client cannot give back the pool's blocks; use calicoctl"),
    };
  const disabled = pool.value.spec.disabled ? pool : await client.update(disable(pool.value));
  if (!disabled.ok) return disabled;
  await new Promise((resolve) => setTimeout(resolve, settleMs));
  const released = await (await ipam()).releasePoolAffinities(pool.value.spec.cidr);
  if (released.ok) return { ok: true, value: disabled.value.metadata.resourceVersion };
  return { ok: false, error: datastoreErrors.partiallyFailed(ref, `is disabled, but not deleted: ${released.error.message}`) };
}

function disable(pool: IPPool): ResourceInput<"IPPool"> {
  return { ...pool, spec: { ...pool.spec, disabled: true } };
}
