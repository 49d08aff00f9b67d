import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeAck } from "./ack.ts";
import { ipOfOctets, macOfOctets, octetsOfCidr, octetsOfIp, octetsOfMac } from "./octets.ts";
import { decodeAttributes, decodeMessages, MessageWriter, NLMSG_HEADER_OCTETS, readString, readU32 } from "./wire.ts";

test("MessageWriter: attributes of any length are read back, at any size", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 0x3fff }), fc.uint8Array({ maxLength: 300 })), { selector: ([type]) => type }),
      (attrs) => {
        const w = new MessageWriter(24, 1);
        for (const [type, payload] of attrs) w.attr(type, payload);
        const [message, ...rest] = [...decodeMessages(w.finish())];
        expect(rest).toEqual([]);
        expect(message?.type).toBe(24);
        const found = decodeAttributes(message?.body ?? new Uint8Array());
        expect([...found].map(([type, payload]) => [type, [...payload]])).toEqual(attrs.map(([type, payload]) => [type, [...payload]]));
      },
    ),
  );
});

test("MessageWriter: a nested attribute carries its flag and its content", () => {
  const w = new MessageWriter(16, 0).nest(18, (inner) => inner.attrString(1, "vxlan").nest(2, () => inner.attrU32(7, 4096)));
  const outer = decodeAttributes(w.finish(), NLMSG_HEADER_OCTETS).get(18) ?? new Uint8Array();
  const inner = decodeAttributes(outer);
  expect(readString(inner.get(1))).toBe("vxlan");
  expect(readU32(decodeAttributes(inner.get(2) ?? new Uint8Array()).get(7))).toBe(4096);
});

test.for<{ name: string; hex: string }>([
  { name: "shorter than a header", hex: "04000000100000000000000000000000" },
  { name: "longer than the datagram", hex: "40000000100000000000000000000000" },
])("decodeMessages: a length $name is an error", ({ hex }) => {
  expect(() => [...decodeMessages(Uint8Array.from(Buffer.from(hex, "hex")))]).toThrow(/Cannot decode netlink datagram: message at octet 0/);
});

test("decodeAttributes: any octets are read without fault", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => void decodeAttributes(octets)));
});

test("decodeAck: errno and the kernel's words, as captured for a gateway that is off the link", () => {
  const body = Buffer.from(
    "9bffffff3400000018000504010000000000000020000100" + "4e657874686f702068617320696e76616c6964206761746577617900",
    "hex",
  );
  const ack = decodeAck({ type: 2, flags: 0x300, sequence: 1, body: Uint8Array.from(body) });
  expect(ack).toEqual({ errno: 101, kernelMessage: "Nexthop has invalid gateway" });
});

test("addresses: octets and back", () => {
  for (const ip of ["0.0.0.0", "192.200.59.193", "::", "fd00:1::5", "2001:db8::ffff"]) expect(ipOfOctets(octetsOfIp(ip))).toBe(ip);
  expect(macOfOctets(octetsOfMac("EE:ee:00:01:02:ff"))).toBe("ee:ee:00:01:02:ff");
  expect(macOfOctets(Uint8Array.of(10, 0, 0, 1))).toBeUndefined();
});

test.for(["10.1", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "fd00::/129", "010.0.0.1", ""])("octetsOfCidr: refuses %j", (text) => {
  expect(() => octetsOfCidr(text)).toThrow(/Cannot parse/);
});
