/** What a pool may not be, given what is there. Source: facts §1.8.1, §1.8.2; calico libcalico-go/lib/clientv3/ippool.go (validateAndSetDefaults). */
import { cidrOverlaps, formatCidr, parseCidr } from "@calico/model";
import type { Cidr, FieldError, IPPool } from "@calico/model";

/** A new pool must not overlap another, nor blocks of another size. */
export function newPoolFaults(pool: IPPool, pools: readonly IPPool[], blocks: readonly Cidr[]): FieldError[] {
  return [...overlapFaults(pool, pools), ...blockFaults(pool, blocks)];
}

/** Blocks of another size that an earlier pool left: addresses of both would be the same. */
function blockFaults(pool: IPPool, blocks: readonly Cidr[]): FieldError[] {
  const own = parseCidr(pool.spec.cidr);
  const other = own.ok ? blocks.find((b) => cidrOverlaps(own.value, b) && b.len !== pool.spec.blockSize) : undefined;
  if (other === undefined) return [];
  const reason = `IPPool(${pool.metadata.name}) blocksize is not the same as existing block ${formatCidr(other)}: release its addresses first (calicoctl ipam check)`;
  return [{ field: "IPPool.Spec.BlockSize", value: pool.spec.blockSize, reason }];
}

function overlapFaults(pool: IPPool, pools: readonly IPPool[]): FieldError[] {
  const own = parseCidr(pool.spec.cidr);
  return pools.flatMap((other) => {
    const cidr = parseCidr(other.spec.cidr);
    if (!own.ok || !cidr.ok || !cidrOverlaps(own.value, cidr.value)) return [];
    return [
      {
        field: "IPPool.Spec.CIDR",
        value: pool.spec.cidr,
        reason: `IPPool(${pool.metadata.name}) CIDR overlaps with IPPool(${other.metadata.name}) CIDR ${other.spec.cidr}`,
      },
    ];
  });
}

/** An old one keeps its network, its block size and its use. */
export function changedPoolFaults(pool: IPPool, old: IPPool): FieldError[] {
  const errors: FieldError[] = [];
  if (pool.spec.cidr !== old.spec.cidr)
    errors.push({ field: "IPPool.Spec.CIDR", value: pool.spec.cidr, reason: "IPPool CIDR cannot be modified" });
  if (pool.spec.blockSize !== old.spec.blockSize)
    errors.push({ field: "IPPool.Spec.BlockSize", value: pool.spec.blockSize, reason: "IPPool BlockSize cannot be modified" });
  if (pool.spec.allowedUses.includes("LoadBalancer") !== old.spec.allowedUses.includes("LoadBalancer")) {
    errors.push({ field: "IPPool.Spec.AllowedUses", value: pool.spec.allowedUses, reason: "LoadBalancer cannot be added or removed" });
  }
  return errors;
}
