/**
 * Blocks that share addresses. Blocks of one size never do; of a pool that was made anew with another block size, the old and the new ones would.
 * The keys of all blocks that may overlap one are below a prefix of its own key, but for a few, which can be named.
 */
import { blockKey, cidrOf, cidrOverlaps, formatCidr, formatIp, parseCidr, parseKey } from "@calico/model";
import type { Cidr } from "@calico/model";
import { BLOCK_LENS } from "./pools.ts";

export type Surroundings = {
  readonly prefix: string;
  /** Keys of blocks that would overlap and are not below the prefix. */
  readonly others: readonly string[];
};

/** Where the blocks are that overlap `block`, and its neighbours besides. */
export function surroundingsOf(block: Cidr): Surroundings {
  const prefix = block.family === 4 ? prefix4(block) : prefix6(block);
  const [least, most] = BLOCK_LENS[block.family];
  const lens = Array.from({ length: most - least + 1 }, (_, i) => least + i).filter((len) => len !== block.len);
  const others = lens.map((len) => blockKey(cidrOf(block, len))).filter((key) => !key.startsWith(prefix));
  return { prefix, others: [...new Set(others)] };
}

/** All blocks begin with the same three octets, or, if it is larger than that, two. */
function prefix4(block: Cidr): string {
  const octets = formatIp(block)
    .split(".")
    .slice(0, block.len >= 24 ? 3 : 2);
  return `${keyUpTo(block)}${octets.join(".")}.`;
}

/** Addresses of a block differ in their last 16 bits, and so does their text, unless these are 0: then the zeros before them count, too. */
function prefix6(block: Cidr): string {
  const first = formatIp({ family: 6, value: ((block.value >> 16n) << 16n) | 1n });
  return `${keyUpTo(block)}${first.slice(0, -1)}`;
}

function keyUpTo(block: Cidr): string {
  return blockKey(block).slice(0, -formatCidr(block).length);
}

/** The first of the keys that is of another block which overlaps `block`. */
export function overlapAmong(keys: Iterable<string>, block: Cidr): string | undefined {
  const own = blockKey(block);
  for (const key of keys) {
    const cidr = parseCidr(parseKey(key)?.cidr ?? "");
    if (key !== own && cidr.ok && cidrOverlaps(cidr.value, block)) return key;
  }
  return undefined;
}

/** Says of blocks with one of these lengths whether one of `blocks` is it or overlaps it, without looking through them all. */
export function makeOccupied(blocks: readonly Cidr[], lens: readonly number[]): (block: Cidr) => boolean {
  const there = new Set(blocks.map(formatCidr));
  const within = new Set(blocks.flatMap((b) => lens.filter((len) => len < b.len).map((len) => formatCidr(cidrOf(b, len)))));
  const known = [...new Set(blocks.map((b) => b.len))];
  return (block) => {
    if (within.has(formatCidr(block))) return true;
    return known.some((len) => len <= block.len && there.has(formatCidr(cidrOf(block, len))));
  };
}
