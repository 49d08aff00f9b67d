/**
 * Capabilities of an OPEN message, one row each. What is not in the table is passed over, as RFC 5492 wants.
 *
 * Source: RFC 5492 §4; RFC 4760 §8 (1), RFC 2918 §2 (2), RFC 4724 §3 (64), RFC 6793 §3 (65).
 */
import { readU16, readU32, u16, u32 } from "./octets.ts";
import type { Family } from "./prefix.ts";

export type GracefulRestart = {
  /** The sender has just restarted, and waits for nobody's End-of-RIB. */
  readonly restarted: boolean;
  readonly timeSec: number;
  /** `forwarding`: its kernel kept the routes of that family over the restart. */
  readonly families: readonly { readonly family: Family; readonly forwarding: boolean }[];
};

export type Capabilities = {
  readonly families?: readonly Family[];
  readonly routeRefresh?: true;
  readonly gracefulRestart?: GracefulRestart;
  readonly as4?: number;
};

type Row = {
  readonly code: number;
  /** What the value says; undefined if its length is wrong (the capability is then passed over). */
  readonly decode: (value: Uint8Array, so: Capabilities) => Capabilities | undefined;
  readonly encode: (caps: Capabilities) => readonly (readonly number[])[];
};

const UNICAST = 1;

export function familyOfAfi(afi: number, safi: number): Family | undefined {
  return safi !== UNICAST ? undefined : afi === 1 ? 4 : afi === 2 ? 6 : undefined;
}

export function afiOf(family: Family): number {
  return family === 4 ? 1 : 2;
}

const TABLE: readonly Row[] = [
  {
    code: 1,
    decode: (v, so) => {
      if (v.length !== 4) return undefined;
      const family = familyOfAfi(readU16(v, 0), v[3] ?? 0);
      return family === undefined ? {} : { families: [...new Set([...(so.families ?? []), family])] };
    },
    encode: (caps) => (caps.families ?? []).map((family) => [0, afiOf(family), 0, UNICAST]),
  },
  {
    code: 2,
    decode: (v) => (v.length === 0 ? { routeRefresh: true } : undefined),
    encode: (caps) => (caps.routeRefresh ? [[]] : []),
  },
  { code: 64, decode: decodeRestart, encode: (caps) => (caps.gracefulRestart ? [encodeRestart(caps.gracefulRestart)] : []) },
  {
    code: 65,
    decode: (v) => (v.length === 4 ? { as4: readU32(v, 0) } : undefined),
    encode: (caps) => (caps.as4 === undefined ? [] : [u32(caps.as4)]),
  },
];

const byCode = new Map(TABLE.map((row) => [row.code, row]));

function decodeRestart(v: Uint8Array): Capabilities | undefined {
  if (v.length < 2 || (v.length - 2) % 4 !== 0) return undefined;
  const head = readU16(v, 0);
  const families: { family: Family; forwarding: boolean }[] = [];
  for (let at = 2; at < v.length; at += 4) {
    const family = familyOfAfi(readU16(v, at), v[at + 2] ?? 0);
    if (family !== undefined) families.push({ family, forwarding: ((v[at + 3] ?? 0) & 0x80) !== 0 });
  }
  return { gracefulRestart: { restarted: (head & 0x8000) !== 0, timeSec: head & 0x0fff, families } };
}

function encodeRestart(gr: GracefulRestart): readonly number[] {
  const head = (gr.restarted ? 0x8000 : 0) | Math.min(gr.timeSec, 0x0fff);
  return [...u16(head), ...gr.families.flatMap((f) => [0, afiOf(f.family), UNICAST, f.forwarding ? 0x80 : 0])];
}

/** The capabilities in one optional parameter of type 2, added to `so`; undefined if a length overruns. */
export function decodeCapabilities(buf: Uint8Array, so: Capabilities): Capabilities | undefined {
  let caps = so;
  let at = 0;
  while (at < buf.length) {
    if (at + 2 > buf.length) return undefined;
    const end = at + 2 + (buf[at + 1] ?? 0);
    if (end > buf.length) return undefined;
    const known = byCode.get(buf[at] ?? 0)?.decode(buf.subarray(at + 2, end), caps);
    if (known !== undefined) caps = { ...caps, ...known };
    at = end;
  }
  return caps;
}

export function encodeCapabilities(caps: Capabilities): readonly number[] {
  return TABLE.flatMap((row) => row.encode(caps).flatMap((value) => [row.code, value.length, ...value]));
}
