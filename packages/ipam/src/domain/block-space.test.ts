import { blockKey, cidrOf, cidrOverlaps, parseCidr } from "@calico/model";
import type { Cidr, Family } from "@calico/model";
import fc from "fast-check";
import { expect, test } from "vitest";
import { makeOccupied, overlapAmong, surroundingsOf } from "./block-space.ts";
import { BLOCK_LENS } from "./pools.ts";

const cidr = (text: string) => {
  const parsed = parseCidr(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
};

test.for([
  { block: "10.0.5.64/26", want: "10.0.5. and 10.0.0.0-20 10.0.0.0-21 10.0.4.0-22 10.0.4.0-23" },
  { block: "10.0.0.64/26", want: "10.0.0. and " },
  { block: "10.0.16.0/20", want: "10.0. and " },
  { block: "fd00:10:244::40/122", want: "fd00:10:244:: and " },
  {
    block: "1:0:0:4:5::/128",
    want: "1::4:5:0:0: and 1:0:0:4:5::-116 1:0:0:4:5::-117 1:0:0:4:5::-118 1:0:0:4:5::-119 1:0:0:4:5::-120 1:0:0:4:5::-121 1:0:0:4:5::-122 1:0:0:4:5::-123 1:0:0:4:5::-124 1:0:0:4:5::-125 1:0:0:4:5::-126 1:0:0:4:5::-127",
  },
])("surroundingsOf: $block", ({ block, want }) => {
  const { prefix, others } = surroundingsOf(cidr(block));
  const short = (key: string) => key.replace(/.*\/block\//, "");
  expect(`${short(prefix)} and ${others.map(short).join(" ")}`).toBe(want);
});

/** Two blocks near each other, of any sizes, at addresses with many zeros. */
const pairs = fc
  .tuple(
    fc.constantFrom<Family>(4, 6),
    fc.bigInt(0n, 2n ** 128n - 1n),
    fc.integer({ min: 0, max: 12 }),
    fc.integer({ min: 0, max: 12 }),
    fc.nat(5000),
    fc.bigInt(0n, 2n ** 128n - 1n),
  )
  .map(([family, bits, a, b, offset, mask]): [Cidr, Cidr] => {
    const size = family === 4 ? 32n : 128n;
    const value = BigInt.asUintN(Number(size), bits & mask);
    const near = BigInt.asUintN(Number(size), value + BigInt(offset));
    const [least] = BLOCK_LENS[family];
    return [cidrOf({ family, value }, least + a), cidrOf({ family, value: near }, least + b)];
  });

test("surroundingsOf: whatever overlaps a block is in its surroundings", () => {
  let overlaps = 0;
  fc.assert(
    fc.property(pairs, ([a, b]) => {
      const isOther = blockKey(a) !== blockKey(b);
      if (!isOther || !cidrOverlaps(a, b)) return overlapAmong([blockKey(b)], a) === undefined;
      overlaps++;
      const { prefix, others } = surroundingsOf(a);
      const key = blockKey(b);
      return (key.startsWith(prefix) || others.includes(key)) && overlapAmong(["x", key], a) === key;
    }),
    { numRuns: 2000 },
  );
  expect(overlaps).toBeGreaterThan(100);
});

test("makeOccupied: as looking through all of them", () => {
  fc.assert(
    fc.property(fc.array(pairs, { maxLength: 8 }), pairs, (others, [block]) => {
      const blocks = others.flat();
      const want = blocks.some((b) => cidrOverlaps(b, block) && b.family === block.family);
      expect(makeOccupied(blocks, [block.len])(block)).toBe(want);
    }),
  );
});
