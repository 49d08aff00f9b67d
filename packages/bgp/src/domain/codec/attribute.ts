/**
 * Path attributes, one table row each: type, category, how to read and write the value, and what to do when it is wrong.
 * MP_REACH_NLRI and MP_UNREACH_NLRI carry routes, not attributes of routes: see update.ts.
 *
 * Source: RFC 4271 §4.3 and §5, RFC 1997, RFC 4456 §8, RFC 6793 §4, RFC 8092 §3, RFC 7606 §7.
 */
import { decodeAsPath, encodeAsPath } from "./as-path.ts";
import type { AsSegment } from "./as-path.ts";
import type { LargeCommunity } from "./community.ts";
import type { Disposition } from "./error.ts";
import { ATTRIBUTE_LENGTH, INVALID_NEXT_HOP, INVALID_ORIGIN, MALFORMED_AS_PATH, OPTIONAL_ATTRIBUTE } from "./error.ts";
import type { NotificationCode } from "./error.ts";
import { ip4Octets, readIp4, readU16, readU32, u16, u32 } from "./octets.ts";
import { AS_TRANS } from "./open.ts";

export type Origin = "igp" | "egp" | "incomplete";

export type PathAttributes = {
  readonly origin?: Origin;
  readonly asPath?: readonly AsSegment[];
  /** NEXT_HOP of the routes in the message's own NLRI field. */
  readonly nextHop?: string;
  readonly med?: number;
  readonly localPref?: number;
  readonly atomicAggregate?: true;
  readonly aggregator?: { readonly as: number; readonly address: string };
  readonly communities?: readonly number[];
  readonly originatorId?: string;
  readonly clusterList?: readonly string[];
  readonly largeCommunities?: readonly LargeCommunity[];
  readonly as4Path?: readonly AsSegment[];
  readonly as4Aggregator?: { readonly as: number; readonly address: string };
  /** Optional transitive attributes that we do not know: passed on with the partial bit set. */
  readonly unknown?: readonly { readonly type: number; readonly value: Uint8Array }[];
};

/** What both ends agreed on, as far as it changes octets. */
export type SessionContext = { readonly as4: boolean; readonly ibgp: boolean };

export const OPTIONAL = 0x80;
export const TRANSITIVE = 0x40;
export const PARTIAL = 0x20;
export const EXTENDED = 0x10;

export type AttributeRow = {
  readonly type: number;
  readonly name: string;
  /** OPTIONAL and TRANSITIVE as they must be. */
  readonly flags: number;
  /** The attribute, or undefined if the value is malformed. */
  readonly decode: (value: Uint8Array, session: SessionContext) => PathAttributes | undefined;
  readonly encode: (attributes: PathAttributes, session: SessionContext) => readonly number[] | undefined;
  readonly onError: Disposition;
  readonly code: NotificationCode;
  /** Has no meaning from an external peer: dropped unread. */
  readonly internalOnly?: true;
};

const ORIGINS = ["igp", "egp", "incomplete"] as const;

function exactly<T>(value: Uint8Array, length: number, of: (value: Uint8Array) => T): T | undefined {
  return value.length === length ? of(value) : undefined;
}

function each<T>(value: Uint8Array, width: number, of: (at: number) => T): readonly T[] | undefined {
  if (value.length === 0 || value.length % width !== 0) return undefined;
  return Array.from({ length: value.length / width }, (_, i) => of(i * width));
}

function aggregator(value: Uint8Array, as4: boolean): { as: number; address: string } | undefined {
  if (value.length !== (as4 ? 8 : 6)) return undefined;
  return as4 ? { as: readU32(value, 0), address: readIp4(value, 4) } : { as: readU16(value, 0), address: readIp4(value, 2) };
}

/** An address that a packet can be sent to: not 0/8, not multicast or above. */
function usableNextHop(value: Uint8Array): boolean {
  const first = value[0] ?? 0;
  return first !== 0 && first < 224;
}

const anyAs4 = (path: readonly AsSegment[]) => path.some((s) => s.ases.some((as) => as > 0xffff));

const list = <K extends keyof PathAttributes, T>(key: K, values: readonly T[] | undefined) =>
  values === undefined ? undefined : ({ [key]: values } as PathAttributes);

export const ATTRIBUTES: readonly AttributeRow[] = [
  {
    type: 1,
    name: "ORIGIN",
    flags: TRANSITIVE,
    onError: "treatAsWithdraw",
    code: INVALID_ORIGIN,
    decode: (v) => {
      const origin = v.length === 1 ? ORIGINS[v[0] ?? 0] : undefined;
      return origin === undefined ? undefined : { origin };
    },
    encode: (a) => (a.origin === undefined ? undefined : [ORIGINS.indexOf(a.origin)]),
  },
  {
    type: 2,
    name: "AS_PATH",
    flags: TRANSITIVE,
    onError: "treatAsWithdraw",
    code: MALFORMED_AS_PATH,
    decode: (v, s) => list("asPath", decodeAsPath(v, s.as4)),
    encode: (a, s) => (a.asPath === undefined ? undefined : encodeAsPath(a.asPath, s.as4)),
  },
  {
    type: 3,
    name: "NEXT_HOP",
    flags: TRANSITIVE,
    onError: "treatAsWithdraw",
    code: INVALID_NEXT_HOP,
    decode: (v) => (v.length === 4 && usableNextHop(v) ? { nextHop: readIp4(v, 0) } : undefined),
    encode: (a) => (a.nextHop === undefined ? undefined : ip4Octets(a.nextHop)),
  },
  {
    type: 4,
    name: "MULTI_EXIT_DISC",
    flags: OPTIONAL,
    onError: "treatAsWithdraw",
    code: ATTRIBUTE_LENGTH,
    decode: (v) => exactly(v, 4, () => ({ med: readU32(v, 0) })),
    encode: (a) => (a.med === undefined ? undefined : u32(a.med)),
  },
  {
    type: 5,
    name: "LOCAL_PREF",
    flags: TRANSITIVE,
    onError: "treatAsWithdraw",
    code: ATTRIBUTE_LENGTH,
    internalOnly: true,
    decode: (v) => exactly(v, 4, () => ({ localPref: readU32(v, 0) })),
    encode: (a) => (a.localPref === undefined ? undefined : u32(a.localPref)),
  },
  {
    type: 6,
    name: "ATOMIC_AGGREGATE",
    flags: TRANSITIVE,
    onError: "attributeDiscard",
    code: ATTRIBUTE_LENGTH,
    decode: (v) => exactly(v, 0, () => ({ atomicAggregate: true })),
    encode: (a) => (a.atomicAggregate ? [] : undefined),
  },
  {
    type: 7,
    name: "AGGREGATOR",
    flags: OPTIONAL | TRANSITIVE,
    onError: "attributeDiscard",
    code: ATTRIBUTE_LENGTH,
    decode: (v, s) => {
      const value = aggregator(v, s.as4);
      return value === undefined ? undefined : { aggregator: value };
    },
    encode: (a, s) => {
      if (a.aggregator === undefined) return undefined;
      const { as, address } = a.aggregator;
      return [...(s.as4 ? u32(as) : u16(as > 0xffff ? AS_TRANS : as)), ...ip4Octets(address)];
    },
  },
  {
    type: 8,
    name: "COMMUNITIES",
    flags: OPTIONAL | TRANSITIVE,
    onError: "treatAsWithdraw",
    code: OPTIONAL_ATTRIBUTE,
    decode: (v) =>
      list(
        "communities",
        each(v, 4, (at) => readU32(v, at)),
      ),
    encode: (a) => (a.communities?.length ? a.communities.flatMap(u32) : undefined),
  },
  {
    type: 9,
    name: "ORIGINATOR_ID",
    flags: OPTIONAL,
    onError: "treatAsWithdraw",
    code: ATTRIBUTE_LENGTH,
    internalOnly: true,
    decode: (v) => exactly(v, 4, () => ({ originatorId: readIp4(v, 0) })),
    encode: (a) => (a.originatorId === undefined ? undefined : ip4Octets(a.originatorId)),
  },
  {
    type: 10,
    name: "CLUSTER_LIST",
    flags: OPTIONAL,
    onError: "treatAsWithdraw",
    code: ATTRIBUTE_LENGTH,
    internalOnly: true,
    decode: (v) =>
      list(
        "clusterList",
        each(v, 4, (at) => readIp4(v, at)),
      ),
    encode: (a) => (a.clusterList?.length ? a.clusterList.flatMap(ip4Octets) : undefined),
  },
  {
    type: 17,
    name: "AS4_PATH",
    flags: OPTIONAL | TRANSITIVE,
    onError: "attributeDiscard",
    code: MALFORMED_AS_PATH,
    decode: (v) => list("as4Path", decodeAsPath(v, true)),
    encode: (a, s) => (s.as4 || !a.asPath || !anyAs4(a.asPath) ? undefined : encodeAsPath(a.asPath, true)),
  },
  {
    type: 18,
    name: "AS4_AGGREGATOR",
    flags: OPTIONAL | TRANSITIVE,
    onError: "attributeDiscard",
    code: ATTRIBUTE_LENGTH,
    decode: (v) => {
      const value = aggregator(v, true);
      return value === undefined ? undefined : { as4Aggregator: value };
    },
    encode: (a, s) => {
      if (s.as4 || a.aggregator === undefined || a.aggregator.as <= 0xffff) return undefined;
      return [...u32(a.aggregator.as), ...ip4Octets(a.aggregator.address)];
    },
  },
  {
    type: 32,
    name: "LARGE_COMMUNITY",
    flags: OPTIONAL | TRANSITIVE,
    onError: "treatAsWithdraw",
    code: OPTIONAL_ATTRIBUTE,
    decode: (v) =>
      list(
        "largeCommunities",
        each(v, 12, (at) => [readU32(v, at), readU32(v, at + 4), readU32(v, at + 8)] as const),
      ),
    encode: (a) => (a.largeCommunities?.length ? a.largeCommunities.flatMap((c) => c.flatMap(u32)) : undefined),
  },
];

export const ATTRIBUTE_BY_TYPE: ReadonlyMap<number, AttributeRow> = new Map(ATTRIBUTES.map((row) => [row.type, row]));
