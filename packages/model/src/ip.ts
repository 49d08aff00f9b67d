/**
 * IP addresses and networks as a family and a number. Text forms are strict: what two programs could read
 * differently (`010.0.0.1`, `10.1`, `1.2.3.4/8` as a network) is refused. Output is RFC 5952.
 *
 * Source: RFC 4291 §2.2, RFC 5952 §4, RFC 6943 §3.1.1.
 */
import { err, ok } from "./result.ts";
import type { Result } from "./result.ts";

export type Family = 4 | 6;
export type Ip = { readonly family: Family; readonly value: bigint };
/** `value` has no bits below `len`. */
export type Cidr = { readonly family: Family; readonly value: bigint; readonly len: number };

/** Bits of an address of that family. */
export function familyBits(family: Family): 32 | 128 {
  return family === 4 ? 32 : 128;
}

/** An address from text: dotted quad without leading zeros, or IPv6 (with or without an embedded quad; no zone). */
export function parseIp(text: string): Result<Ip, string> {
  const value = text.includes(":") ? parseV6(text) : parseV4(text);
  if (value === undefined) return err(`Cannot parse IP address ${JSON.stringify(text)}: expected an IPv4 or IPv6 address`);
  return ok({ family: text.includes(":") ? 6 : 4, value });
}

function parseV4(text: string): bigint | undefined {
  const m = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (!m) return undefined;
  let value = 0;
  for (const part of m.slice(1)) {
    if ((part.length > 1 && part.startsWith("0")) || Number(part) > 255) return undefined;
    value = value * 256 + Number(part);
  }
  return BigInt(value);
}

function parseV6(text: string): bigint | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = groups(halves[0] ?? "", halves.length === 1);
  const tail = halves.length === 2 ? groups(halves[1] ?? "", true) : [];
  if (!head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const all = [...head, ...Array<number>(missing).fill(0), ...tail];
  return all.reduce((sum, group) => (sum << 16n) | BigInt(group), 0n);
}

function groups(text: string, quadAllowed: boolean): number[] | undefined {
  if (text === "") return [];
  const parts = text.split(":");
  const out: number[] = [];
  for (const [i, part] of parts.entries()) {
    if (quadAllowed && i === parts.length - 1 && part.includes(".")) {
      const quad = parseV4(part);
      if (quad === undefined) return undefined;
      out.push(Number(quad >> 16n), Number(quad & 0xffffn));
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      out.push(parseInt(part, 16));
    } else {
      return undefined;
    }
  }
  return out;
}

/** The canonical text: dotted quad, or RFC 5952 (lower case, longest run of zero groups shortened, v4-mapped as a quad). */
export function formatIp(ip: Ip): string {
  return ip.family === 4 ? formatV4(ip.value) : formatV6(ip.value);
}

function formatV4(value: bigint): string {
  const n = Number(value);
  return `${(n >>> 24) & 255}.${(n >>> 16) & 255}.${(n >>> 8) & 255}.${n & 255}`;
}

function formatV6(value: bigint): string {
  if (value >> 32n === 0xffffn) return `::ffff:${formatV4(value & 0xffffffffn)}`;
  const parts = Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(112 - 16 * i)) & 0xffffn));
  const run = longestZeroRun(parts);
  const hex = parts.map((part) => part.toString(16));
  if (run.length < 2) return hex.join(":");
  return `${hex.slice(0, run.start).join(":")}::${hex.slice(run.start + run.length).join(":")}`;
}

function longestZeroRun(parts: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < parts.length; start++) {
    let length = 0;
    while (start + length < parts.length && parts[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}

/** A network from `address/len`. Host bits set are an error that names the network meant. */
export function parseCidr(text: string): Result<Cidr, string> {
  const split = splitCidr(text);
  if (!split.ok) return split;
  const { ip, len } = split.value;
  const cidr = cidrOf(ip, len);
  if (cidr.value !== ip.value) return err(`Cannot parse CIDR ${JSON.stringify(text)}: host bits are set, expected "${formatCidr(cidr)}"`);
  return ok(cidr);
}

/** A network from `address/len` with host bits cleared, or from a bare address as /32 or /128. */
export function parseCidrLoose(text: string): Result<Cidr, string> {
  if (!text.includes("/")) {
    const ip = parseIp(text);
    return ip.ok ? ok(cidrOf(ip.value, familyBits(ip.value.family))) : ip;
  }
  const split = splitCidr(text);
  return split.ok ? ok(cidrOf(split.value.ip, split.value.len)) : split;
}

/** The address and the prefix length of an interface address such as `192.168.81.101/24`; a bare address is /32 or /128. */
export function parseInterfaceAddress(text: string): Result<{ readonly ip: Ip; readonly len: number }, string> {
  if (text.includes("/")) return splitCidr(text);
  const ip = parseIp(text);
  return ip.ok ? ok({ ip: ip.value, len: familyBits(ip.value.family) }) : ip;
}

function splitCidr(text: string): Result<{ ip: Ip; len: number }, string> {
  const slash = text.indexOf("/");
  const bad = (why: string) => err(`Cannot parse CIDR ${JSON.stringify(text)}: ${why}`);
  if (slash < 0) return bad("expected address/length");
  const ip = parseIp(text.slice(0, slash));
  if (!ip.ok) return bad("the address is not an IPv4 or IPv6 address");
  const digits = text.slice(slash + 1);
  const bits = familyBits(ip.value.family);
  if (!/^(0|[1-9]\d{0,2})$/.test(digits) || Number(digits) > bits) return bad(`the length must be a number from 0 to ${bits}`);
  return ok({ ip: ip.value, len: Number(digits) });
}

export function formatCidr(cidr: Cidr): string {
  return `${formatIp({ family: cidr.family, value: cidr.value })}/${cidr.len}`;
}

/** The network of `len` bits that holds `ip`. */
export function cidrOf(ip: Ip, len: number): Cidr {
  const shift = BigInt(familyBits(ip.family) - len);
  return { family: ip.family, value: (ip.value >> shift) << shift, len };
}

export function cidrContains(cidr: Cidr, ip: Ip): boolean {
  return cidr.family === ip.family && cidrOf(ip, cidr.len).value === cidr.value;
}

/** True if all of `inner` lies in `outer`. */
export function cidrCovers(outer: Cidr, inner: Cidr): boolean {
  return inner.len >= outer.len && cidrContains(outer, inner);
}

export function cidrOverlaps(a: Cidr, b: Cidr): boolean {
  return a.family === b.family && (a.len <= b.len ? cidrContains(a, b) : cidrContains(b, a));
}

/** How many addresses the network has. */
export function cidrSize(cidr: Cidr): bigint {
  return 1n << BigInt(familyBits(cidr.family) - cidr.len);
}

/** The address `n` places after the network's first. Throws a RangeError outside of the network. */
export function nthIp(cidr: Cidr, n: bigint | number): Ip {
  const offset = BigInt(n);
  if (offset < 0n || offset >= cidrSize(cidr)) throw new RangeError(`${formatCidr(cidr)} has no address number ${n}`);
  return { family: cidr.family, value: cidr.value + offset };
}

/** The place of an address in a network: the inverse of nthIp. Throws a RangeError outside of the network. */
export function ordinalOf(cidr: Cidr, ip: Ip): number {
  if (!cidrContains(cidr, ip)) throw new RangeError(`${formatIp(ip)} is not in ${formatCidr(cidr)}`);
  return Number(ip.value - cidr.value);
}

/** Order for sorting: IPv4 before IPv6, then by number. */
export function compareIp(a: Ip, b: Ip): number {
  if (a.family !== b.family) return a.family - b.family;
  return a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
}

/** Order for sorting: by first address, then the larger network first. */
export function compareCidr(a: Cidr, b: Cidr): number {
  return compareIp(a, b) || a.len - b.len;
}

export function sameIp(a: Ip, b: Ip): boolean {
  return a.family === b.family && a.value === b.value;
}

export function sameCidr(a: Cidr, b: Cidr): boolean {
  return sameIp(a, b) && a.len === b.len;
}
