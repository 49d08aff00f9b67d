/** Pools by name or CIDR. Source: calico cni-plugin/internal/pkg/utils (ResolvePools). */
import { formatIp, parseCidrLoose } from "@calico/model";
import type { ResourceClient } from "@calico/datastore";
import { CniFault } from "../domain/fault.ts";

/** CIDRs of one family. What is no CIDR is a pool's name. */
export async function resolvePools(
  resources: Pick<ResourceClient, "get">,
  o: { readonly pools: readonly string[] | undefined; readonly family: 4 | 6 },
): Promise<string[] | undefined> {
  if (o.pools === undefined) return undefined;
  return await Promise.all(o.pools.map((pool) => resolvePool(resources, pool, o.family)));
}

async function resolvePool(resources: Pick<ResourceClient, "get">, pool: string, family: 4 | 6): Promise<string> {
  const text = parseCidrLoose(pool).ok ? pool : await cidrOfPool(resources, pool);
  const cidr = parseCidrLoose(text);
  if (!cidr.ok) throw new CniFault("invalidConfig", `error parsing pool "${pool}": invalid CIDR address: ${pool}`);
  if (cidr.value.family !== family) {
    const ip = formatIp({ family: cidr.value.family, value: cidr.value.value });
    throw new CniFault("invalidConfig", `"${ip}" isn't a IPv${family} address`, `pool ${pool}`);
  }
  return text;
}

async function cidrOfPool(resources: Pick<ResourceClient, "get">, name: string): Promise<string> {
  const pool = await resources.get({ kind: "IPPool", name });
  return pool.ok ? pool.value.spec.cidr : name;
}
