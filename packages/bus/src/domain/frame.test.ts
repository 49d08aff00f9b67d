import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeFrame, encodeFrame, type FrameMessage } from "./frame.ts";

const message = fc.record<FrameMessage>({
  op: fc.constantFrom("put", "delete", "complete", "mark"),
  revision: fc.maxSafeNat(),
  seenAt: fc.maxSafeNat(),
  key: fc.string({ unit: "grapheme" }),
  data: fc.oneof(fc.json(), fc.string({ unit: "grapheme" })),
});
const frame = fc.record({ created: fc.string(), after: fc.maxSafeNat(), messages: fc.array(message) });

test("a frame is read as it was written", () => {
  fc.assert(fc.property(frame, (f) => void expect(decodeFrame(encodeFrame(f))).toEqual(f)));
});

test("what is not wholly a frame is none, and nothing throws", () => {
  const text = encodeFrame({
    created: "2026-01-01T00:00:00Z",
    after: 7,
    messages: [
      { op: "put", revision: 9, seenAt: 1, key: "/calico/a", data: '{"a":"\n"}' },
      { op: "mark", revision: 0, seenAt: 0, key: "", data: "{}" },
    ],
  });
  for (let cut = 0; cut < text.length; cut++) expect(decodeFrame(text.slice(0, cut))).toBeUndefined();
  expect(decodeFrame(`${text}x`)).toBeUndefined();
  for (const bad of [
    "null\n",
    "[]\n",
    '["c",-1,[]]\n',
    '["c",1.5,[]]\n',
    '["c",1,[[4,1,1,"k",0]]]\n',
    '["c",1,[[0,1,1,"k",-1]]]\n',
    "{}\n",
  ])
    expect(decodeFrame(bad)).toBeUndefined();
  fc.assert(fc.property(fc.string(), (s) => void decodeFrame(s)));
  fc.assert(fc.property(fc.json(), fc.string(), (s, rest) => void decodeFrame(`${s}\n${rest}`)));
});
