/** Addresses that a node holds, from the blocks. */
import type { Store } from "@calico/datastore";
import { parseBlock } from "@calico/ipam";
import { formatIp, nthIp } from "@calico/model";

export type Allocation = { readonly handle: string; readonly ip: string };

const BLOCKS = "/calico/ipam/v2/assignment/";

/** By who the address is for, and not by whose block it is from: a node may borrow. */
export async function allocationsOf(store: Pick<Store, "list">, node: string): Promise<readonly Allocation[]> {
  const { items } = await store.list(BLOCKS);
  return items.flatMap(({ value }) => {
    const block = parseBlock(value);
    if (!block.ok) return [];
    const { cidr, allocations, attributes } = block.value;
    return allocations.flatMap((index, ordinal) => {
      const attribute = index === null ? undefined : attributes[index];
      if (attribute?.handleId === undefined || attribute.releasedAt !== undefined || attribute.secondary?.["node"] !== node) return [];
      return [{ handle: attribute.handleId, ip: formatIp(nthIp(cidr, ordinal)) }];
    });
  });
}
