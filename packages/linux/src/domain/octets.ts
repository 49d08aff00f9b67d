/** Addresses as the kernel carries them: 4 or 16 octets in network order for IP, 6 for Ethernet. */
import { formatIp, parseIp } from "@calico/model";

export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_BRIDGE = 7;

/** `10.0.0.1` → 4 octets, `fd00::1` → 16. Throws on anything else: by here an address was parsed long ago. */
export function octetsOfIp(text: string): Uint8Array {
  const parsed = parseIp(text);
  if (!parsed.ok) throw new TypeError(parsed.error);
  const length = parsed.value.family === 4 ? 4 : 16;
  const octets = new Uint8Array(length);
  if (length === 4) {
    new DataView(octets.buffer).setUint32(0, Number(parsed.value.value));
    return octets;
  }
  const view = new DataView(octets.buffer);
  view.setBigUint64(0, parsed.value.value >> 64n);
  view.setBigUint64(8, parsed.value.value & 0xffff_ffff_ffff_ffffn);
  return octets;
}

/** 4 or 16 octets → canonical text. */
export function ipOfOctets(octets: Uint8Array): string {
  if (octets.length === 4) return octets.join(".");
  const view = new DataView(octets.buffer, octets.byteOffset, 16);
  return formatIp({ family: 6, value: (view.getBigUint64(0) << 64n) | view.getBigUint64(8) });
}

/** `10.1.0.0/26` → its octets (host bits kept) and prefix length. */
export function octetsOfCidr(text: string): { readonly octets: Uint8Array; readonly len: number; readonly family: 4 | 6 } {
  const slash = text.indexOf("/");
  const octets = octetsOfIp(slash < 0 ? text : text.slice(0, slash));
  const bits = octets.length * 8;
  const len = slash < 0 ? bits : Number(text.slice(slash + 1));
  if (!Number.isInteger(len) || len < 0 || len > bits || slash === text.length - 1) {
    throw new TypeError(`Cannot parse CIDR "${text}": prefix length must be 0 to ${bits}`);
  }
  return { octets, len, family: octets.length === 4 ? 4 : 6 };
}

export function afOf(family: 4 | 6): number {
  return family === 4 ? AF_INET : AF_INET6;
}

export function octetsOfMac(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text))
    throw new TypeError(`Cannot parse MAC "${text}": expected six hex octets, "ee:ee:ee:ee:ee:ee"`);
  return Uint8Array.from(text.split(":"), (part) => parseInt(part, 16));
}

/** A MAC; undefined for link-layer addresses that are none (tunnels carry an IP there). */
export function macOfOctets(octets: Uint8Array | undefined): string | undefined {
  if (octets === undefined || octets.length !== 6) return undefined;
  return Array.from(octets, (octet) => octet.toString(16).padStart(2, "0")).join(":");
}
