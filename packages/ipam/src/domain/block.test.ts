import { parseCidr } from "@calico/model";
import fc from "fast-check";
import { expect, test } from "vitest";
import { brokenInvariant, parseBlock, renderBlock } from "./block-json.ts";
import { assignFree, assignOrdinal, isEmpty, newBlock } from "./block.ts";
import type { Block } from "./block.ts";
import { collect, release } from "./release.ts";

const NOW = Date.parse("2026-08-01T10:00:00Z");
const none = () => false;

function cidr(text: string) {
  const c = parseCidr(text);
  if (!c.ok) throw new Error(c.error);
  return c.value;
}

function aBlock(text = "10.0.0.0/30", nowMs = NOW): Block {
  return newBlock(cidr(text), { affinity: "host:node1", nowMs });
}

/** Facts §2.3.9, word for word but for the sequence numbers, which follow §2.3.10. */
const EXAMPLE =
  '{"cidr":"10.0.0.0/30","affinity":"host:node1","affinity_claim_time":"2026-08-01T10:00:00Z","allocations":[null,0,null,null],"unallocated":[0,2,3],' +
  '"attributes":[{"handle_id":"k8s-pod-network.3b1c","secondary":{"namespace":"default","node":"node1","pod":"nginx","timestamp":"2026-08-01 10:00:01.0 +0000 UTC"}}],' +
  '"sequenceNumber":1785578400000000001,"sequenceNumberForAllocation":{"1":1785578400000000000},"deleted":false}';

test("renderBlock: a block with one pod is Calico's JSON to the letter", () => {
  const attrs = { pod: "nginx", namespace: "default", node: "node1", timestamp: "2026-08-01 10:00:01.0 +0000 UTC" };
  const block = assignOrdinal(aBlock(), 1, { handleId: "k8s-pod-network.3b1c", attrs });
  expect(block && renderBlock(block)).toBe(EXAMPLE);
});

test("parseBlock: reads its own JSON back, sequence numbers beyond 2^53 exactly", () => {
  const block = parseBlock(EXAMPLE);
  expect(block.ok && renderBlock(block.value)).toBe(EXAMPLE);
});

test.for([
  { name: "not JSON", edit: () => "{", want: /Cannot parse block/ },
  { name: "too few allocations", edit: (s: string) => s.replace("[null,0,null,null]", "[null,0]"), want: /2 allocations for 4 addresses/ },
  {
    name: "free and allocated",
    edit: (s: string) => s.replace("[0,2,3]", "[0,1,2,3]"),
    want: /ordinal 1 is both allocated and in unallocated/,
  },
  {
    name: "neither free nor allocated",
    edit: (s: string) => s.replace("[0,2,3]", "[0,2]"),
    want: /ordinal 3 is neither allocated nor in unallocated/,
  },
  { name: "attribute out of range", edit: (s: string) => s.replace("[null,0,", "[null,7,"), want: /points at attribute 7 of 1/ },
  { name: "twice in unallocated", edit: (s: string) => s.replace("[0,2,3]", "[0,2,3,3]"), want: /twice/ },
  { name: "host bits", edit: (s: string) => s.replace("10.0.0.0/30", "10.0.0.1/30"), want: /host bits/ },
])("parseBlock: refuses $name", ({ edit, want }) => {
  const block = parseBlock(edit(EXAMPLE));
  expect(block.ok ? "accepted" : block.error).toMatch(want);
});

test("parseBlock: the legacy hostAffinity is the affinity", () => {
  const block = parseBlock(EXAMPLE.replace('"affinity":"host:node1"', '"hostAffinity":"node7"'));
  expect(block.ok && block.value.affinity).toBe("host:node7");
});

test("assignFree: head of the free list first, released ones come last, attributes are kept once", () => {
  const one = assignFree(aBlock(), { handleId: "a", attrs: {} }, { count: 2, reserved: none });
  expect(one.ordinals).toEqual([0, 1]);
  expect(one.block.attributes.length).toBe(1);
  const freed = release(one.block, [{ ordinal: 0 }], { nowMs: NOW, cooldownSec: 0 });
  if (!freed.ok) throw new Error("not released");
  expect(freed.value.block.unallocated).toEqual([2, 3, 0]);
  expect(freed.value.handles).toEqual(new Map([["a", 1]]));
});

test("assignFree: reserved addresses are passed over and stay in order", () => {
  const { block, ordinals } = assignFree(aBlock(), { handleId: "a", attrs: {} }, { count: 2, reserved: (n) => n === 0 || n === 2 });
  expect(ordinals).toEqual([1, 3]);
  expect(block.unallocated).toEqual([0, 2]);
});

test.for([
  { name: "wrong handle", request: { ordinal: 0, handle: "b" }, want: "badHandle" },
  { name: "wrong sequence", request: { ordinal: 0, sequence: 1n }, want: "badSequence" },
  { name: "right handle", request: { ordinal: 0, handle: "a" }, want: "released 0" },
  { name: "right sequence", request: { ordinal: 0, sequence: BigInt(NOW) * 1_000_000n }, want: "released 0" },
  { name: "not allocated", request: { ordinal: 3, handle: "a" }, want: "not allocated 3" },
])("release: $name", ({ request, want }) => {
  const { block } = assignFree(aBlock(), { handleId: "a", attrs: {} }, { count: 1, reserved: none });
  const outcome = release(block, [request], { nowMs: NOW, cooldownSec: 0 });
  const got = !outcome.ok
    ? outcome.error.kind
    : outcome.value.released.length > 0
      ? `released ${outcome.value.released}`
      : `not allocated ${outcome.value.notAllocated}`;
  expect(got).toBe(want);
});

test("release: one bad condition leaves the whole block as it is", () => {
  const { block } = assignFree(aBlock(), { handleId: "a", attrs: {} }, { count: 2, reserved: none });
  expect(release(block, [{ ordinal: 0 }, { ordinal: 1, handle: "b" }], { nowMs: NOW, cooldownSec: 0 }).ok).toBe(false);
});

test("collect: a released address cools down before it is free again", () => {
  const { block } = assignFree(aBlock(), { handleId: "a", attrs: {} }, { count: 1, reserved: none });
  const cooling = release(block, [{ ordinal: 0 }], { nowMs: NOW, cooldownSec: 60 });
  if (!cooling.ok) throw new Error("not released");
  expect(cooling.value.block.attributes).toEqual([{ releasedAt: "2026-08-01T10:00:00Z" }]);
  expect(collect(cooling.value.block, { nowMs: NOW + 59_000, cooldownSec: 60 }).unallocated).toEqual([1, 2, 3]);
  const free = collect(cooling.value.block, { nowMs: NOW + 60_000, cooldownSec: 60 });
  expect([free.unallocated, free.attributes, free.sequenceNumberForAllocation.size]).toEqual([[1, 2, 3, 0], [], 0]);
});

test("block: any run of assign and release keeps the invariants, and every stored form reads back the same", () => {
  const action = fc.oneof(
    fc.record({ do: fc.constant("assign" as const), handle: fc.constantFrom("a", "b", "c"), count: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ do: fc.constant("release" as const), ordinal: fc.integer({ min: 0, max: 7 }), cooldownSec: fc.constantFrom(0, 30) }),
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 30 }), (actions) => {
      let block = aBlock("10.0.0.0/29");
      let nowMs = NOW;
      for (const a of actions) {
        const before = block;
        nowMs += 10_000;
        if (a.do === "assign")
          block = assignFree(block, { handleId: a.handle, attrs: { n: a.handle } }, { count: a.count, reserved: none }).block;
        else {
          const r = release(block, [{ ordinal: a.ordinal }], { nowMs, cooldownSec: a.cooldownSec });
          if (r.ok) block = r.value.block;
        }
        expect(brokenInvariant(block)).toBeUndefined();
        expect(block.sequenceNumber - before.sequenceNumber).toBe(block === before ? 0n : 1n);
        const again = parseBlock(renderBlock(block));
        expect(again.ok && renderBlock(again.value)).toBe(renderBlock(block));
      }
      const all = release(
        block,
        [...Array(8).keys()].map((ordinal) => ({ ordinal })),
        { nowMs, cooldownSec: 0 },
      );
      expect(all.ok && isEmpty(collect(all.value.block, { nowMs, cooldownSec: 0 }))).toBe(true);
    }),
  );
});
