/** Pools by name or CIDR, and whether there are any. Source: calico cni-plugin/internal/pkg/utils (ResolvePools). */
import { formatIp, parseCidrLoose } from "@calico/model";
import type { IPPool } from "@calico/model";
import type { ResourceClient } from "@calico/datastore";
import { CniFault } from "../domain/fault.ts";

type Reader = Pick<ResourceClient, "list">;
type Named = { readonly v4: readonly string[] | undefined; readonly v6: readonly string[] | undefined };
type Resolved = { readonly v4: readonly string[] | undefined; readonly v6: readonly string[] | undefined };

/** Whoever may annotate a pod may name pools. */
const MOST_POOLS = 100;

/** CIDRs of each family, by one read at most. What is no CIDR is a pool's name. */
export async function resolvePools(resources: Reader, { v4, v6 }: Named): Promise<Resolved> {
  const given = [...(v4 ?? []), ...(v6 ?? [])];
  if (given.length > MOST_POOLS)
    throw new CniFault(
      "invalidConfig",
      `${given.length} pools are named, more than ${MOST_POOLS}`,
      "in ipam.ipv4_pools, ipam.ipv6_pools or the annotations ipv4pools, ipv6pools",
    );
  const known = given.every(isCidr) ? [] : (await resources.list("IPPool")).items;
  return { v4: v4?.map((pool) => resolvePool(known, pool, 4)), v6: v6?.map((pool) => resolvePool(known, pool, 6)) };
}

function isCidr(text: string): boolean {
  return parseCidrLoose(text).ok;
}

function resolvePool(known: readonly IPPool[], pool: string, family: 4 | 6): string {
  const text = isCidr(pool) ? pool : (known.find(({ metadata }) => metadata.name === pool)?.spec.cidr ?? pool);
  const cidr = parseCidrLoose(text);
  if (!cidr.ok) throw new CniFault("invalidConfig", `error parsing pool "${pool}": invalid CIDR address: ${pool}`);
  if (cidr.value.family !== family) {
    const ip = formatIp({ family: cidr.value.family, value: cidr.value.value });
    throw new CniFault("invalidConfig", `"${ip}" isn't a IPv${family} address`, `pool ${pool}`);
  }
  return text;
}
