/**
 * The order in which a host tries the blocks of a pool: all of them once, from a start that depends on the host, so that
 * hosts which claim at the same time do not meet.
 *
 * Deviation: Calico draws the start with Go's math/rand; only "host-dependent, complete, duplicate-free" is shared.
 * Source: calico libcalico-go/lib/ipam/ipam.go (randomBlockGenerator).
 */
import { cidrOf } from "@calico/model";
import type { Cidr } from "@calico/model";

/** All blocks of `blockLen` in the pool, starting at the host's place and wrapping around once. */
export function* blockOrder(pool: Cidr, blockLen: number, seed: string): Generator<Cidr, void, undefined> {
  const count = blockCount(pool, blockLen);
  const start = startIndex(count, seed);
  const step = stepOf(pool, blockLen);
  for (let i = 0n; i < count; i++) {
    yield cidrOf({ family: pool.family, value: pool.value + ((start + i) % count) * step }, blockLen);
  }
}

/** The place of a block in `blockOrder`: to sort the blocks that exist without walking all that could. */
export function placeInOrder(pool: Cidr, block: Cidr, seed: string): bigint {
  const count = blockCount(pool, block.len);
  const index = (block.value - pool.value) / stepOf(pool, block.len);
  return (index - startIndex(count, seed) + count) % count;
}

export function blockCount(pool: Cidr, blockLen: number): bigint {
  return blockLen < pool.len ? 0n : 1n << BigInt(blockLen - pool.len);
}

function stepOf(pool: Cidr, blockLen: number): bigint {
  return 1n << BigInt((pool.family === 4 ? 32 : 128) - blockLen);
}

/** FNV-1 of the host, stretched to 128 bits so that large pools are covered too. */
function startIndex(count: bigint, seed: string): bigint {
  if (count === 0n) return 0n;
  let value = 0n;
  for (let i = 0; i < 4; i++) value = (value << 32n) | BigInt(mix(fnv1(`${seed}`) + i * 0x9e3779b9));
  return value % count;
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
