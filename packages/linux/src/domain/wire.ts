/**
 * Netlink framing: messages and attributes to octets and back. Host byte order is little-endian on every machine this runs on.
 *
 * Wire: nlmsghdr is length u32, type u16, flags u16, sequence u32, port u32; an attribute is length u16, type u16, payload; both
 * are padded to 4 octets and both lengths count the header but not the padding. Source: Linux uapi/linux/netlink.h.
 */

export const NLMSG_HEADER_OCTETS = 16;
const ATTRIBUTE_HEADER_OCTETS = 4;
/** Bits of the attribute type that are flags (nested, network byte order), not type. */
const ATTRIBUTE_TYPE_MASK = 0x3fff;
const NLA_F_NESTED = 0x8000;

const text = new TextEncoder();
const untext = new TextDecoder();

/** Builds one netlink message. */
export class MessageWriter {
  #octets = new Uint8Array(256);
  #view = new DataView(this.#octets.buffer);
  #length = NLMSG_HEADER_OCTETS;

  constructor(type: number, flags: number) {
    this.#view.setUint16(4, type, true);
    this.#view.setUint16(6, flags, true);
  }

  #reserve(count: number): number {
    const at = this.#length;
    if (at + count > this.#octets.length) {
      const larger = new Uint8Array(Math.max(this.#octets.length * 2, at + count));
      larger.set(this.#octets);
      this.#octets = larger;
      this.#view = new DataView(larger.buffer);
    }
    this.#length += count;
    return at;
  }

  u8(value: number): this {
    const at = this.#reserve(1);
    this.#octets[at] = value;
    return this;
  }

  u16(value: number): this {
    const at = this.#reserve(2);
    this.#view.setUint16(at, value, true);
    return this;
  }

  u32(value: number): this {
    const at = this.#reserve(4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.#reserve(value.length);
    this.#octets.set(value, at);
    return this;
  }

  #align(): void {
    this.#reserve(align4(this.#length) - this.#length);
  }

  attr(type: number, payload: Uint8Array): this {
    this.u16(ATTRIBUTE_HEADER_OCTETS + payload.length)
      .u16(type)
      .bytes(payload);
    this.#align();
    return this;
  }

  attrU8(type: number, value: number): this {
    return this.attr(type, Uint8Array.of(value));
  }

  attrU16Be(type: number, value: number): this {
    return this.attr(type, Uint8Array.of(value >> 8, value & 0xff));
  }

  attrU32(type: number, value: number): this {
    return this.u16(ATTRIBUTE_HEADER_OCTETS + 4)
      .u16(type)
      .u32(value);
  }

  /** A string attribute, with its terminating zero. */
  attrString(type: number, value: string): this {
    return this.attr(type, text.encode(`${value}\0`));
  }

  /** An attribute whose payload `fill` writes: more attributes, possibly after a header. */
  nest(type: number, fill: (w: this) => void, flag: "nested" | "plain" = "nested"): this {
    const at = this.#reserve(ATTRIBUTE_HEADER_OCTETS);
    fill(this);
    this.#view.setUint16(at, this.#length - at, true);
    this.#view.setUint16(at + 2, flag === "nested" ? type | NLA_F_NESTED : type, true);
    this.#align();
    return this;
  }

  /** Write a record whose first field is its own length (u16), such as rtnexthop. */
  record(fill: (w: this) => void): this {
    const at = this.#reserve(2);
    fill(this);
    this.#view.setUint16(at, this.#length - at, true);
    this.#align();
    return this;
  }

  /** The finished message; its sequence number is set by whoever sends it. */
  finish(): Uint8Array {
    this.#view.setUint32(0, this.#length, true);
    return this.#octets.subarray(0, this.#length);
  }
}

export type Message = {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly body: Uint8Array;
};

/** The messages of one datagram. A length that does not fit ends it with an error: the rest cannot be found. */
export function* decodeMessages(datagram: Uint8Array): Generator<Message> {
  const view = viewOf(datagram);
  let at = 0;
  while (at + NLMSG_HEADER_OCTETS <= datagram.length) {
    const length = view.getUint32(at, true);
    if (length < NLMSG_HEADER_OCTETS || at + length > datagram.length) {
      throw new Error(`Cannot decode netlink datagram: message at octet ${at} claims ${length} octets of ${datagram.length - at}`);
    }
    yield {
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      body: datagram.subarray(at + NLMSG_HEADER_OCTETS, at + length),
    };
    at += align4(length);
  }
}

/** Attributes by type; of a repeated type the last one. Stops at the first that does not fit, as the kernel's own parser does. */
export type Attributes = ReadonlyMap<number, Uint8Array>;

export function decodeAttributes(octets: Uint8Array, from = 0): Attributes {
  const found = new Map<number, Uint8Array>();
  const view = viewOf(octets);
  let at = from;
  while (at + ATTRIBUTE_HEADER_OCTETS <= octets.length) {
    const length = view.getUint16(at, true);
    if (length < ATTRIBUTE_HEADER_OCTETS || at + length > octets.length) break;
    found.set(view.getUint16(at + 2, true) & ATTRIBUTE_TYPE_MASK, octets.subarray(at + ATTRIBUTE_HEADER_OCTETS, at + length));
    at += align4(length);
  }
  return found;
}

export function viewOf(octets: Uint8Array): DataView {
  return new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
}

export function readU32(octets: Uint8Array | undefined): number | undefined {
  return octets === undefined || octets.length < 4 ? undefined : viewOf(octets).getUint32(0, true);
}

export function readU16Be(octets: Uint8Array | undefined): number | undefined {
  return octets === undefined || octets.length < 2 ? undefined : viewOf(octets).getUint16(0, false);
}

/** A string attribute without its terminating zero. */
export function readString(octets: Uint8Array | undefined): string | undefined {
  if (octets === undefined) return undefined;
  const end = octets.indexOf(0);
  return untext.decode(end < 0 ? octets : octets.subarray(0, end));
}

export function align4(length: number): number {
  return (length + 3) & ~3;
}
