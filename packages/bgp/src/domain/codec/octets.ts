/** Big-endian numbers and IPv4 addresses in octets. Readers expect the caller to have checked the length. */

export function readU16(buf: Uint8Array, at: number): number {
  return ((buf[at] ?? 0) << 8) | (buf[at + 1] ?? 0);
}

export function readU32(buf: Uint8Array, at: number): number {
  return readU16(buf, at) * 65536 + readU16(buf, at + 2);
}

export function u16(value: number): readonly number[] {
  return [(value >>> 8) & 255, value & 255];
}

export function u32(value: number): readonly number[] {
  return [(value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
}

export function readIp4(buf: Uint8Array, at: number): string {
  return `${buf[at] ?? 0}.${buf[at + 1] ?? 0}.${buf[at + 2] ?? 0}.${buf[at + 3] ?? 0}`;
}

/** The four octets of a dotted quad that is known to be well formed. */
export function ip4Octets(text: string): readonly number[] {
  return text.split(".").map(Number);
}

/** A dotted quad as one number, for comparing BGP identifiers. */
export function ip4Number(text: string): number {
  return ip4Octets(text).reduce((sum, octet) => sum * 256 + octet, 0);
}

export function concatOctets(parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
