/**
 * The order in which a host tries the blocks of a pool: each once, from a start and with a step that depend on the host.
 * Hosts that meet at one block part at the next, so that many which claim at the same time do not queue up behind each other.
 * Blocks that are reserved as a whole are left out by interval, so that a reservation of any size costs nothing.
 *
 * Deviation: Calico draws the start with Go's math/rand and goes on block by block; only "host-dependent, complete, duplicate-free" is shared.
 * Source: calico libcalico-go/lib/ipam/ipam.go (randomBlockGenerator).
 */
import { cidrCovers, cidrOf } from "@calico/model";
import type { Cidr } from "@calico/model";

/** All blocks of `blockLen` in the pool that are not wholly reserved, each once. */
export function* blockOrder(pool: Cidr, blockLen: number, o: BlockOrder): Generator<Cidr, void, undefined> {
  const open = openIntervals(pool, blockLen, o.reserved ?? []);
  const count = open.reduce((sum, { from, to }) => sum + to - from, 0n);
  const { start, stride } = courseOf(count, o.seed);
  const step = stepOf(pool, blockLen);
  for (let i = 0n; i < count; i++) {
    const index = nthOf(open, (start + i * stride) % count);
    yield cidrOf({ family: pool.family, value: pool.value + index * step }, blockLen);
  }
}

export type BlockOrder = { readonly seed: string; readonly reserved?: readonly Cidr[] };

/** The place of a block in the order of a pool without reservations: to sort the blocks that exist without walking all that could. */
export function placeInOrder(pool: Cidr, block: Cidr, seed: string): bigint {
  const count = blockCount(pool, block.len);
  const index = (block.value - pool.value) / stepOf(pool, block.len);
  const { start, stride } = courseOf(count, seed);
  return ((((index - start) % count) + count) * inverse(stride, count)) % count;
}

export function blockCount(pool: Cidr, blockLen: number): bigint {
  return blockLen < pool.len ? 0n : 1n << BigInt(blockLen - pool.len);
}

function stepOf(pool: Cidr, blockLen: number): bigint {
  return 1n << BigInt((pool.family === 4 ? 32 : 128) - blockLen);
}

type Interval = { readonly from: bigint; readonly to: bigint };

/** The indexes of the pool's blocks that no reservation covers as a whole; `to` is the first after. */
function openIntervals(pool: Cidr, blockLen: number, reserved: readonly Cidr[]): readonly Interval[] {
  const count = blockCount(pool, blockLen);
  if (reserved.some((r) => cidrCovers(r, pool))) return [];
  const step = stepOf(pool, blockLen);
  const closed = reserved
    .filter((r) => r.len <= blockLen && cidrCovers(pool, r))
    .map((r) => ({ from: (r.value - pool.value) / step, to: (r.value - pool.value) / step + blockCount(r, blockLen) }))
    .sort((a, b) => (a.from < b.from ? -1 : 1));
  const open: Interval[] = [];
  let from = 0n;
  for (const gap of [...closed, { from: count, to: count }]) {
    if (gap.from > from) open.push({ from, to: gap.from });
    if (gap.to > from) from = gap.to;
  }
  return open;
}

function nthOf(intervals: readonly Interval[], n: bigint): bigint {
  let left = n;
  for (const { from, to } of intervals) {
    if (left < to - from) return from + left;
    left -= to - from;
  }
  throw new RangeError(`Cannot take block ${n}: there are fewer`);
}

/** Where a host begins, and how far apart its tries are; the step has no factor in common with the count, so that all are reached. */
function courseOf(count: bigint, seed: string): { readonly start: bigint; readonly stride: bigint } {
  if (count <= 1n) return { start: 0n, stride: 1n };
  let stride = (hashOf(`${seed}/step`) % count) | 1n;
  while (gcd(stride, count) !== 1n) stride += 2n;
  return { start: hashOf(seed) % count, stride };
}

function gcd(a: bigint, b: bigint): bigint {
  return b === 0n ? a : gcd(b, a % b);
}

/** The number that takes `a` back to 1, modulo `m`; `a` has no factor in common with `m`. */
function inverse(a: bigint, m: bigint): bigint {
  let [r0, r1, s0, s1] = [a % m, m, 1n, 0n];
  while (r1 !== 0n) [r0, r1, s0, s1] = [r1, r0 % r1, s1, s0 - (r0 / r1) * s1];
  return ((s0 % m) + m) % m;
}

/** FNV-1, stretched to 128 bits so that large pools are covered too. */
function hashOf(seed: string): bigint {
  let value = 0n;
  for (let i = 0; i < 4; i++) value = (value << 32n) | BigInt(mix(fnv1(seed) + i * 0x9e3779b9));
  return value;
}

function fnv1(text: string): number {
  let hash = 0x811c9dc5;
  for (const octet of new TextEncoder().encode(text)) hash = (Math.imul(hash, 0x01000193) ^ octet) >>> 0;
  return hash;
}

/** Spreads near seeds (node1, node2) far apart. */
function mix(seed: number): number {
  let x = seed >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return (x ^ (x >>> 15)) >>> 0;
}
