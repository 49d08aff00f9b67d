import fc from "fast-check";
import { expect, test } from "vitest";
import type { PathAttributes } from "./attribute.ts";
import { decodeMessage, encodeMessage, splitFrames } from "./message.ts";
import type { Message } from "./message.ts";

const as = fc.integer({ min: 1, max: 2 ** 32 - 1 });
const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const quad = fc.tuple(fc.integer({ min: 1, max: 223 }), fc.nat(255), fc.nat(255), fc.nat(255)).map((parts) => parts.join("."));
const prefix = fc.tuple(u32, fc.integer({ min: 1, max: 32 })).map(([n, len]) => {
  const v = (n & (-1 << (32 - len))) >>> 0;
  return `${v >>> 24}.${(v >>> 16) & 255}.${(v >>> 8) & 255}.${v & 255}/${len}`;
});
const segment = fc.record({
  type: fc.constantFrom("set" as const, "sequence" as const),
  ases: fc.array(as, { minLength: 1, maxLength: 5 }),
});

const attributes: fc.Arbitrary<PathAttributes> = fc.record(
  {
    origin: fc.constantFrom("igp" as const, "egp" as const, "incomplete" as const),
    asPath: fc.array(segment, { maxLength: 3 }),
    localPref: u32,
    med: u32,
    atomicAggregate: fc.constant(true as const),
    aggregator: fc.record({ as, address: quad }),
    communities: fc.array(u32, { minLength: 1, maxLength: 100 }),
    originatorId: quad,
    clusterList: fc.array(quad, { minLength: 1, maxLength: 4 }),
    largeCommunities: fc.array(fc.tuple(u32, u32, u32), { minLength: 1, maxLength: 4 }),
  },
  { requiredKeys: ["origin", "asPath", "localPref"] },
);

const open: fc.Arbitrary<Message> = fc
  .record({
    as,
    holdTimeSec: fc.integer({ min: 3, max: 65535 }),
    routerId: quad,
    restarted: fc.boolean(),
    timeSec: fc.nat(4095),
    forwarding: fc.boolean(),
  })
  .map(({ as: number, holdTimeSec, routerId, restarted, timeSec, forwarding }) => ({
    type: "open",
    open: {
      as: number,
      holdTimeSec,
      routerId,
      capabilities: {
        families: [4, 6],
        routeRefresh: true,
        as4: number,
        gracefulRestart: { restarted, timeSec, families: [{ family: 4, forwarding }] },
      },
    },
  }));

const update: fc.Arbitrary<Message> = fc
  .record({ attributes, nextHop: quad, prefixes: fc.array(prefix, { minLength: 1, maxLength: 50 }) })
  .map(({ attributes: a, nextHop, prefixes }) => ({
    type: "update",
    update: { unreach: [], reach: [{ family: 4, nextHop, prefixes }], attributes: a },
    faults: [],
  }));

test("encodeMessage: every message comes back as it was", () => {
  fc.assert(
    fc.property(fc.oneof(open, update), (message) => {
      const [frame, ...more] = encodeMessage(message, { as4: true, ibgp: true });
      expect(more).toEqual([]);
      const back = decodeMessage(frame ?? new Uint8Array(0), { as4: true, ibgp: true });
      expect(back).toEqual({ ok: true, value: message });
    }),
  );
});

test("encodeMessage: a path of large AS numbers survives a session with an old speaker", () => {
  fc.assert(
    fc.property(fc.array(as, { minLength: 1, maxLength: 20 }), (ases) => {
      const asPath = [{ type: "sequence" as const, ases }];
      const sent = {
        unreach: [],
        reach: [{ family: 4 as const, nextHop: "192.0.2.1", prefixes: ["10.0.0.0/8"] }],
        attributes: { origin: "igp" as const, asPath },
      };
      const session = { as4: false, ibgp: false };
      const [frame] = encodeMessage({ type: "update", update: sent }, session);
      const back = decodeMessage(frame ?? new Uint8Array(0), session);
      expect(back.ok && back.value.type === "update" && back.value.update.attributes.asPath).toEqual(asPath);
    }),
  );
});

/** A window in a larger buffer: reading past its end would see other octets, and change the result. */
function windowed(octets: Uint8Array, filler: number): Uint8Array {
  const wide = new Uint8Array(octets.length + 64).fill(filler);
  wide.set(octets, 32);
  return wide.subarray(32, 32 + octets.length);
}

test("decodeMessage: never throws and never reads past its frame, whatever the octets", () => {
  const damaged = fc
    .tuple(fc.oneof(open, update), fc.array(fc.tuple(fc.nat(4095), fc.nat(255)), { maxLength: 8 }), fc.boolean())
    .map(([message, changes, ibgp]) => {
      const [frame = new Uint8Array(0)] = encodeMessage(message, { as4: true, ibgp });
      const out = frame.slice();
      for (const [at, value] of changes) out[19 + (at % (out.length - 19))] = value;
      return { octets: out, ibgp };
    });
  const noise = fc
    .record({ octets: fc.uint8Array({ minLength: 4, maxLength: 200 }), type: fc.integer({ min: 1, max: 5 }), ibgp: fc.boolean() })
    .map(({ octets, type, ibgp }) => {
      const out = new Uint8Array(19 + octets.length).fill(0xff, 0, 16);
      out.set([out.length >> 8, out.length & 255, type], 16);
      out.set(octets, 19);
      return { octets: out, ibgp };
    });
  fc.assert(
    fc.property(fc.oneof(damaged, noise), fc.boolean(), ({ octets, ibgp }, as4) => {
      const session = { as4, ibgp };
      const first = decodeMessage(windowed(octets, 0x00), session);
      expect(decodeMessage(windowed(octets, 0xa5), session)).toEqual(first);
      if (!first.ok) expect(first.error.disposition).toBe("sessionReset");
    }),
    { numRuns: 2000 },
  );
});

test("splitFrames: however a stream is cut, the same frames come out", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(open, update), { minLength: 1, maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 30 }),
      (messages, cuts) => {
        const frames = messages.flatMap((message) => encodeMessage(message, { as4: true, ibgp: true }));
        const stream = Uint8Array.from(frames.flatMap((frame) => [...frame]));
        const got: Uint8Array[] = [];
        let rest = new Uint8Array(0);
        for (let at = 0, i = 0; at < stream.length; i++) {
          const end = Math.min(stream.length, at + (cuts[i % cuts.length] ?? 1));
          const split = splitFrames(Uint8Array.from([...rest, ...stream.subarray(at, end)]));
          expect(split.error).toBeUndefined();
          got.push(...split.frames);
          rest = split.rest.slice();
          at = end;
        }
        expect(got).toEqual(frames);
        expect(rest).toHaveLength(0);
      },
    ),
  );
});
