/**
 * NLRI: prefixes on the wire, as canonical CIDR text in memory.
 *
 * Wire: length in bits (1 octet), then ceil(length / 8) octets. Trailing bits are irrelevant on the wire, so they are cleared.
 * A bad prefix resets the session: the routes it names cannot be known, so there is nothing to withdraw.
 *
 * Source: RFC 4271 §4.3, RFC 4760 §5, RFC 7606 §3(j) and §5.3.
 */
import { err, familyBits, formatIp, ok, parseIp } from "@calico/model";
import type { Result } from "@calico/model";
import { INVALID_NETWORK_FIELD } from "./error.ts";
import type { WireError } from "./error.ts";

export type Family = 4 | 6;

/** Canonical CIDR text: host bits clear, RFC 5952. */
export type Prefix = string;

export function familyOf(text: string): Family {
  return text.includes(":") ? 6 : 4;
}

/** All prefixes of a field. `buf` is exactly the field. */
export function decodePrefixes(family: Family, buf: Uint8Array): Result<readonly Prefix[], WireError> {
  const out: Prefix[] = [];
  let at = 0;
  while (at < buf.length) {
    const len = buf[at] ?? 0;
    const octets = (len + 7) >> 3;
    if (len > familyBits(family)) return bad("badPrefixLength", at);
    if (at + 1 + octets > buf.length) return bad("truncated", at);
    out.push(family === 4 ? prefix4(buf, at + 1, len, octets) : prefix6(buf, at + 1, len, octets));
    at += 1 + octets;
  }
  return ok(out);
}

function bad(reason: string, at: number): Result<never, WireError> {
  return err({ reason, at, code: INVALID_NETWORK_FIELD, disposition: "sessionReset" });
}

function prefix4(buf: Uint8Array, at: number, len: number, octets: number): Prefix {
  let value = 0;
  for (let i = 0; i < 4; i++) value = (value << 8) | (i < octets ? (buf[at + i] ?? 0) : 0);
  if (len < 32) value &= len === 0 ? 0 : -1 << (32 - len);
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}/${len}`;
}

function prefix6(buf: Uint8Array, at: number, len: number, octets: number): Prefix {
  const wide = new Uint8Array(16);
  wide.set(buf.subarray(at, at + octets));
  const spare = octets * 8 - len;
  if (spare > 0) wide[octets - 1] = (wide[octets - 1] ?? 0) & (0xff << spare);
  return `${readIp6(wide, 0)}/${len}`;
}

export function encodePrefix(prefix: Prefix): readonly number[] {
  const slash = prefix.lastIndexOf("/");
  const len = Number(prefix.slice(slash + 1));
  const octets = addressOctets(prefix.slice(0, slash));
  return [len, ...octets.slice(0, (len + 7) >> 3)];
}

export function readIp6(buf: Uint8Array, at: number): string {
  let value = 0n;
  for (let i = 0; i < 16; i++) value = (value << 8n) | BigInt(buf[at + i] ?? 0);
  return formatIp({ family: 6, value });
}

/** The octets of an address, 4 or 16. Throws if the text is not an address: our own texts are. */
export function addressOctets(text: string): readonly number[] {
  if (!text.includes(":")) return text.split(".").map(Number);
  const ip = parseIp(text);
  if (!ip.ok) throw new TypeError(ip.error);
  return Array.from({ length: 16 }, (_, i) => Number((ip.value.value >> BigInt(8 * (15 - i))) & 0xffn));
}
