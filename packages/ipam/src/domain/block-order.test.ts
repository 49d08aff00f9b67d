import { formatCidr, parseCidr } from "@calico/model";
import fc from "fast-check";
import { expect, test } from "vitest";
import { blockCount, blockOrder, placeInOrder } from "./block-order.ts";

function cidr(text: string) {
  const c = parseCidr(text);
  if (!c.ok) throw new Error(c.error);
  return c.value;
}

test("blockOrder: every block once, whatever the host", () => {
  fc.assert(
    fc.property(fc.string(), fc.integer({ min: 16, max: 24 }), (host, len) => {
      const pool = cidr("192.200.0.0/16");
      const all = [...blockOrder(pool, len, host)].map(formatCidr);
      expect(new Set(all).size).toBe(all.length);
      expect(all.length).toBe(Number(blockCount(pool, len)));
    }),
  );
});

test("placeInOrder: the index of each block in the order", () => {
  const pool = cidr("10.0.0.0/22");
  expect([...blockOrder(pool, 26, "n1")].map((c) => placeInOrder(pool, c, "n1"))).toEqual([...Array(16).keys()].map(BigInt));
});

test("blockOrder: near names start far apart", () => {
  const pool = cidr("10.0.0.0/8");
  const starts = Array.from({ length: 50 }, (_, i) => formatCidr(blockOrder(pool, 26, `node${i}`).next().value ?? pool));
  expect(new Set(starts).size).toBe(50);
});

test("blockOrder: a pool of 2^64 blocks costs nothing until it is walked", () => {
  const first = blockOrder(cidr("fd00::/58"), 122, "node1").next().value;
  expect(first?.len).toBe(122);
});
