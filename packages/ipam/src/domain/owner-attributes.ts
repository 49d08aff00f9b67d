/** Changing who an address is said to be for, without giving it anew. Source: calico libcalico-go/lib/ipam/ipam.go (SetOwnerAttributes). */
import { bumped, attributeKey } from "./block.ts";
import type { Block, BlockAttribute } from "./block.ts";

/** The block with other attributes for one address; the handle and the addresses that shared the old ones keep theirs. */
export function withOwnerAttributes(
  block: Block,
  ordinal: number,
  change: { readonly active?: Readonly<Record<string, string>>; readonly alternate?: Readonly<Record<string, string>> },
): Block {
  const at = block.allocations[ordinal];
  const old = at === null || at === undefined ? undefined : block.attributes[at];
  if (old === undefined) throw new Error(`Cannot change the attributes of ordinal ${ordinal}: it is free`);
  const next: BlockAttribute = {
    ...old,
    ...(change.active === undefined ? {} : { secondary: change.active }),
    ...(change.alternate === undefined ? {} : { alternate: change.alternate }),
  };
  const known = block.attributes.findIndex((a) => attributeKey(a) === attributeKey(next));
  const attributes = known >= 0 ? block.attributes : [...block.attributes, next];
  const index = known >= 0 ? known : block.attributes.length;
  return bumped({ ...block, attributes, allocations: block.allocations.map((a, i) => (i === ordinal ? index : a)) });
}
