import fc from "fast-check";
import { expect, test } from "vitest";
import { hex } from "../../testing/hex.ts";
import { decodePrefixes, encodePrefix } from "./prefix.ts";

test.for<{ name: string; family: 4 | 6; wire: string; want: string }>([
  { name: "an empty field has none", family: 4, wire: "", want: "" },
  { name: "default route is one octet", family: 4, wire: "00", want: "0.0.0.0/0" },
  { name: "/8 carries one address octet", family: 4, wire: "080a", want: "10.0.0.0/8" },
  { name: "/25 carries four, trailing bits cleared", family: 4, wire: "19c0a801ff", want: "192.168.1.128/25" },
  { name: "two in a row", family: 4, wire: "1ac0c83bc0 080a", want: "192.200.59.192/26 10.0.0.0/8" },
  { name: "length 33 is invalid", family: 4, wire: "21c000020100", want: "badPrefixLength@0 3/10 sessionReset" },
  { name: "missing last octet", family: 4, wire: "080a 18c0a8", want: "truncated@2 3/10 sessionReset" },
  { name: "IPv6 /122", family: 6, wire: "7afd0000100244000000000000000000ff", want: "fd00:10:244::c0/122" },
  { name: "IPv6 length 129 is invalid", family: 6, wire: "81", want: "badPrefixLength@0 3/10 sessionReset" },
])("decodePrefixes: $name", ({ family, wire, want }) => {
  const r = decodePrefixes(family, hex(wire));
  expect(r.ok ? r.value.join(" ") : `${r.error.reason}@${r.error.at} ${r.error.code.join("/")} ${r.error.disposition}`).toBe(want);
});

test("encodePrefix: what it writes is what decodePrefixes reads", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.integer({ min: 0, max: 32 }))), (list) => {
      const prefixes = list.map(([n, len]) => `${quad(len === 0 ? 0 : (n & (-1 << (32 - len))) >>> 0)}/${len}`);
      const r = decodePrefixes(4, Uint8Array.from(prefixes.flatMap((p) => [...encodePrefix(p)])));
      expect(r).toEqual({ ok: true, value: prefixes });
    }),
  );
});

function quad(n: number): string {
  return [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255].join(".");
}
