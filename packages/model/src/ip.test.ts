import fc from "fast-check";
import { expect, test } from "vitest";
import {
  cidrContains,
  cidrCovers,
  cidrOf,
  cidrOverlaps,
  cidrSize,
  familyBits,
  formatCidr,
  formatIp,
  nthIp,
  ordinalOf,
  parseCidr,
  parseCidrLoose,
  parseInterfaceAddress,
  parseIp,
} from "./ip.ts";
import type { Family, Ip } from "./ip.ts";

test.for([
  ["10.0.0.1", "10.0.0.1"],
  ["255.255.255.255", "255.255.255.255"],
  ["010.0.0.1", "error"],
  ["10.1", "error"],
  ["256.0.0.1", "error"],
  ["1.2.3.4 ", "error"],
  ["0x7f.0.0.1", "error"],
  ["::", "::"],
  ["::1", "::1"],
  ["FD00:0:0::00AB", "fd00::ab"],
  ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
  ["1:0:0:2:0:0:3:4", "1::2:0:0:3:4"],
  ["1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"],
  ["::ffff:1.2.3.4", "::ffff:1.2.3.4"],
  ["64:ff9b::1.2.3.4", "64:ff9b::102:304"],
  ["1::2::3", "error"],
  ["1:2:3:4:5:6:7:8:9", "error"],
  ["1:2:3:4:5:6:7::8", "error"],
  ["1:2:3:4:5:6:7", "error"],
  ["fe80::1%eth0", "error"],
  ["1.2.3.4::", "error"],
  [":1:2:3:4:5:6:7", "error"],
  ["", "error"],
])("parseIp: %j is %s", ([text, want]) => {
  const ip = parseIp(text as string);
  expect(ip.ok ? formatIp(ip.value) : "error").toBe(want);
});

test.for([
  ["10.0.0.0/8", "10.0.0.0/8"],
  ["10.0.0.1/8", 'Cannot parse CIDR "10.0.0.1/8": host bits are set, expected "10.0.0.0/8"'],
  ["10.0.0.0/33", 'Cannot parse CIDR "10.0.0.0/33": the length must be a number from 0 to 32'],
  ["10.0.0.0/08", 'Cannot parse CIDR "10.0.0.0/08": the length must be a number from 0 to 32'],
  ["10.0.0.0", 'Cannot parse CIDR "10.0.0.0": expected address/length'],
  ["x/8", 'Cannot parse CIDR "x/8": the address is not an IPv4 or IPv6 address'],
  ["fd00:0::/48", "fd00::/48"],
])("parseCidr: %j is %s", ([text, want]) => {
  const cidr = parseCidr(text as string);
  expect(cidr.ok ? formatCidr(cidr.value) : cidr.error).toBe(want);
});

test("parseCidrLoose: masks, and takes a bare address", () => {
  const text = (input: string) => {
    const cidr = parseCidrLoose(input);
    return cidr.ok ? formatCidr(cidr.value) : "error";
  };
  expect([text("10.0.0.1/8"), text("10.0.0.1"), text("::1"), text("x")]).toEqual(["10.0.0.0/8", "10.0.0.1/32", "::1/128", "error"]);
});

test("parseInterfaceAddress: keeps the host bits", () => {
  const parsed = parseInterfaceAddress("192.168.81.101/24");
  expect(parsed.ok && `${formatIp(parsed.value.ip)} ${parsed.value.len}`).toBe("192.168.81.101 24");
});

const anIp: fc.Arbitrary<Ip> = fc
  .constantFrom<Family>(4, 6)
  .chain((family) => fc.bigInt({ min: 0n, max: (1n << BigInt(familyBits(family))) - 1n }).map((value) => ({ family, value })));
const aCidr = fc.tuple(anIp, fc.nat(128)).map(([ip, len]) => cidrOf(ip, Math.min(len, familyBits(ip.family))));

test("formatIp, formatCidr: parsing them gives the same back", () => {
  fc.assert(
    fc.property(anIp, (ip) => {
      expect(parseIp(formatIp(ip))).toEqual({ ok: true, value: ip });
    }),
  );
  fc.assert(
    fc.property(aCidr, (cidr) => {
      expect(parseCidr(formatCidr(cidr))).toEqual({ ok: true, value: cidr });
    }),
  );
});

test("parseIp: no text makes it throw", () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.stringMatching(/^[0-9a-f:./]{0,20}$/)),
      (text) => void [parseIp(text), parseCidr(text), parseCidrLoose(text)],
    ),
  );
});

test("cidrOverlaps: true exactly if one holds the other's first address", () => {
  fc.assert(
    fc.property(aCidr, aCidr, (a, b) => {
      expect(cidrOverlaps(a, b)).toBe(cidrContains(a, b) || cidrContains(b, a));
      expect(cidrOverlaps(a, b)).toBe(cidrOverlaps(b, a));
      if (cidrCovers(a, b)) expect(cidrOverlaps(a, b)).toBe(true);
    }),
  );
});

test("nthIp: ordinalOf is its inverse, and it does not leave the network", () => {
  const cidr = cidrOf({ family: 4, value: 0xc0c83bc0n }, 26);
  for (let i = 0; i < 64; i++) expect(ordinalOf(cidr, nthIp(cidr, i))).toBe(i);
  expect(cidrSize(cidr)).toBe(64n);
  expect(() => nthIp(cidr, 64)).toThrow("192.200.59.192/26 has no address number 64");
  expect(() => nthIp(cidr, -1)).toThrow(RangeError);
});
