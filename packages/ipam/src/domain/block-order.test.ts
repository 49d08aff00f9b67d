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
      const all = [...blockOrder(pool, len, { seed: host })].map(formatCidr);
      expect(new Set(all).size).toBe(all.length);
      expect(all.length).toBe(Number(blockCount(pool, len)));
    }),
  );
});

test("placeInOrder: the index of each block in the order", () => {
  const pool = cidr("10.0.0.0/22");
  expect([...blockOrder(pool, 26, { seed: "n1" })].map((c) => placeInOrder(pool, c, "n1"))).toEqual([...Array(16).keys()].map(BigInt));
});

test("blockOrder: near names start far apart", () => {
  const pool = cidr("10.0.0.0/8");
  const starts = Array.from({ length: 50 }, (_, i) => formatCidr(blockOrder(pool, 26, { seed: `node${i}` }).next().value ?? pool));
  expect(new Set(starts).size).toBe(50);
});

test("blockOrder: a pool of 2^64 blocks costs nothing until it is walked", () => {
  const first = blockOrder(cidr("fd00::/58"), 122, { seed: "node1" }).next().value;
  expect(first?.len).toBe(122);
});

test("blockOrder: what is reserved as a whole is left out, however much of it there is", () => {
  const all = (reserved: string[]) =>
    [...blockOrder(cidr("10.0.0.0/24"), 27, { seed: "n", reserved: reserved.map(cidr) })].map(formatCidr).sort();
  expect(all(["10.0.0.0/25", "10.0.0.32/27", "10.0.0.160/28", "172.16.0.0/12"])).toEqual([
    "10.0.0.128/27",
    "10.0.0.160/27",
    "10.0.0.192/27",
    "10.0.0.224/27",
  ]);
  expect(all(["10.0.0.0/8"])).toEqual([]);
  const half = blockOrder(cidr("fd00::/48"), 122, { seed: "n", reserved: [cidr("fd00::/49")] }).next().value;
  expect(half && formatCidr(half)).toMatch(/^fd00::[89a-f]...(:[0-9a-f]+){4}\/122$/);
  expect(blockOrder(cidr("fd00::/48"), 122, { seed: "n", reserved: [cidr("fd00::/48")] }).next().done).toBe(true);
});

test("blockOrder: two hosts that begin at one block part at the next", () => {
  const pool = cidr("10.0.0.0/22");
  const orders = Array.from({ length: 64 }, (_, i) => [...blockOrder(pool, 26, { seed: `node${i}` })].map(formatCidr));
  const meeting = orders.flatMap((a, i) =>
    orders
      .slice(i + 1)
      .filter((b) => a[0] === b[0])
      .map((b) => a[1] === b[1]),
  );
  expect(meeting.length).toBeGreaterThan(50);
  expect(meeting.filter(Boolean).length / meeting.length).toBeLessThan(0.35);
});
