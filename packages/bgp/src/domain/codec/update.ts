/**
 * The UPDATE message, in both its forms: IPv4 unicast in the message's own fields, other families in MP attributes.
 *
 * Source: RFC 4271 §4.3 and §6.3, RFC 4760 §3 and §4, RFC 4724 §2 (End-of-RIB), RFC 7606 §3 and §5.
 */
import { err, ok } from "@calico/model";
import type { Result } from "@calico/model";
import { decodeAttributeList, encodeAttribute, encodeAttributeList, MP_REACH, MP_UNREACH } from "./attribute-list.ts";
import type { AttributeList } from "./attribute-list.ts";
import { OPTIONAL } from "./attribute.ts";
import type { PathAttributes, SessionContext } from "./attribute.ts";
import { afiOf, familyOfAfi } from "./capability.ts";
import { MALFORMED_ATTRIBUTE_LIST, MISSING_WELL_KNOWN, OPTIONAL_ATTRIBUTE } from "./error.ts";
import type { NotificationCode, WireError } from "./error.ts";
import { concatOctets, readU16, u16 } from "./octets.ts";
import { addressOctets, decodePrefixes, encodePrefix, readIp6 } from "./prefix.ts";
import type { Family, Prefix } from "./prefix.ts";

export type Reach = { readonly family: Family; readonly nextHop: string; readonly prefixes: readonly Prefix[] };
export type Unreach = { readonly family: Family; readonly prefixes: readonly Prefix[] };

/** `attributes` hold for every prefix of `reach`; next hops are in `reach`, not in the attributes. */
export type Update = {
  readonly unreach: readonly Unreach[];
  readonly reach: readonly Reach[];
  readonly attributes: PathAttributes;
  readonly endOfRib?: Family;
};

/** `faults` are what was found wrong and settled by treat-as-withdraw or attribute-discard. */
export type DecodedUpdate = { readonly update: Update; readonly faults: readonly WireError[] };

/** `body` is the message without its header. An error is one that resets the session. */
export function decodeUpdate(body: Uint8Array, session: SessionContext): Result<DecodedUpdate, WireError> {
  if (body.length < 4) return reset("truncated", body.length, MALFORMED_ATTRIBUTE_LIST);
  const attributesAt = 2 + readU16(body, 0);
  if (attributesAt + 2 > body.length) return reset("withdrawnOverruns", 0, MALFORMED_ATTRIBUTE_LIST);
  const nlriAt = attributesAt + 2 + readU16(body, attributesAt);
  if (nlriAt > body.length) return reset("attributesOverrun", attributesAt, MALFORMED_ATTRIBUTE_LIST);
  const withdrawn = decodePrefixes(4, body.subarray(2, attributesAt));
  if (!withdrawn.ok) return withdrawn;
  const announced = decodePrefixes(4, body.subarray(nlriAt));
  if (!announced.ok) return announced;
  const list = decodeAttributeList(body.subarray(attributesAt + 2, nlriAt), session);
  const fatal = list.faults.find((f) => f.disposition === "sessionReset");
  if (fatal !== undefined) return err(fatal);
  const mp = decodeMultiprotocol(list);
  if (!mp.ok) return mp;
  if (body.length === 4) return ok({ update: { unreach: [], reach: [], attributes: {}, endOfRib: 4 }, faults: [] });
  return ok(assemble(list, withdrawn.value, announced.value, mp.value, session));
}

function reset(reason: string, at: number, code: NotificationCode): Result<never, WireError> {
  return err({ reason, at, code, disposition: "sessionReset" });
}

type Multiprotocol = { readonly reach?: Reach; readonly unreach?: Unreach };

function decodeMultiprotocol(list: AttributeList): Result<Multiprotocol, WireError> {
  const reach = list.mpReach === undefined ? ok(undefined) : decodeMpReach(list.mpReach);
  if (!reach.ok) return reach;
  const unreach = list.mpUnreach === undefined ? ok(undefined) : decodeMpUnreach(list.mpUnreach);
  if (!unreach.ok) return unreach;
  return ok({ ...(reach.value ? { reach: reach.value } : {}), ...(unreach.value ? { unreach: unreach.value } : {}) });
}

/** A family that we do not speak is passed over whole. */
function decodeMpReach(value: Uint8Array): Result<Reach | undefined, WireError> {
  if (value.length < 5) return reset("MP_REACH_NLRI: truncated", value.length, OPTIONAL_ATTRIBUTE);
  const family = familyOfAfi(readU16(value, 0), value[2] ?? 0);
  if (family === undefined) return ok(undefined);
  const length = value[3] ?? 0;
  const nlriAt = 4 + length + 1;
  const good = family === 4 ? length === 4 : length === 16 || length === 32;
  if (!good || nlriAt > value.length) return reset("MP_REACH_NLRI: badNextHopLength", 3, OPTIONAL_ATTRIBUTE);
  const prefixes = decodePrefixes(family, value.subarray(nlriAt));
  if (!prefixes.ok) return prefixes;
  const nextHop = family === 4 ? value.subarray(4, 8).join(".") : readIp6(value, 4);
  return ok({ family, nextHop, prefixes: prefixes.value });
}

function decodeMpUnreach(value: Uint8Array): Result<Unreach | undefined, WireError> {
  if (value.length < 3) return reset("MP_UNREACH_NLRI: truncated", value.length, OPTIONAL_ATTRIBUTE);
  const family = familyOfAfi(readU16(value, 0), value[2] ?? 0);
  if (family === undefined) return ok(undefined);
  const prefixes = decodePrefixes(family, value.subarray(3));
  return prefixes.ok ? ok({ family, prefixes: prefixes.value }) : prefixes;
}

function assemble(
  list: AttributeList,
  withdrawn: readonly Prefix[],
  announced: readonly Prefix[],
  mp: Multiprotocol,
  session: SessionContext,
): DecodedUpdate {
  const { nextHop, ...attributes } = list.attributes;
  const unreach: Unreach[] = [...(withdrawn.length > 0 ? [{ family: 4 as const, prefixes: withdrawn }] : [])];
  if (mp.unreach && mp.unreach.prefixes.length > 0) unreach.push(mp.unreach);
  const reaches: Reach[] = [...(announced.length > 0 ? [{ family: 4 as const, nextHop: nextHop ?? "", prefixes: announced }] : [])];
  if (mp.reach) reaches.push(mp.reach);
  const faults = [...list.faults];
  if (reaches.length > 0) faults.push(...missing(list.attributes, announced.length > 0, session, list.faults));
  if (faults.some((f) => f.disposition === "treatAsWithdraw")) {
    return {
      update: { unreach: [...unreach, ...reaches.map(({ family, prefixes }) => ({ family, prefixes }))], reach: [], attributes: {} },
      faults,
    };
  }
  const eor =
    mp.unreach && mp.unreach.prefixes.length === 0 && reaches.length === 0 && unreach.length === 0 ? mp.unreach.family : undefined;
  return { update: { unreach, reach: reaches, attributes, ...(eor === undefined ? {} : { endOfRib: eor }) }, faults };
}

/** Mandatory attributes that are not there, unless their own fault is already known. */
function missing(a: PathAttributes, hasNlri: boolean, session: SessionContext, known: readonly WireError[]): readonly WireError[] {
  const wanted: readonly [name: string, present: boolean][] = [
    ["ORIGIN", a.origin !== undefined],
    ["AS_PATH", a.asPath !== undefined],
    ["NEXT_HOP", !hasNlri || a.nextHop !== undefined],
    ["LOCAL_PREF", !session.ibgp || a.localPref !== undefined],
  ];
  return wanted
    .filter(([name, present]) => !present && !known.some((f) => f.reason.startsWith(`${name}:`)))
    .map(([name]) => ({ reason: `${name}: missing`, at: 0, code: MISSING_WELL_KNOWN, disposition: "treatAsWithdraw" as const }));
}

/** Room for the fields of one message after header and the two lengths. */
const ROOM = 4096 - 19 - 4;

/**
 * The bodies that carry an update: as many as its prefixes need.
 *
 * Withdrawals first, then announcements; an End-of-RIB is a body of its own, last.
 */
export function encodeUpdate(update: Update, session: SessionContext): readonly Uint8Array[] {
  return [
    ...update.unreach.flatMap(encodeUnreach),
    ...update.reach.flatMap((reach) => encodeReach(reach, update.attributes, session)),
    ...(update.endOfRib === undefined ? [] : [encodeEndOfRib(update.endOfRib)]),
  ];
}

function body(withdrawn: readonly number[], attributes: readonly number[], nlri: readonly number[]): Uint8Array {
  return concatOctets([u16(withdrawn.length), withdrawn, u16(attributes.length), attributes, nlri]);
}

function encodeEndOfRib(family: Family): Uint8Array {
  return family === 4 ? body([], [], []) : body([], encodeAttribute(OPTIONAL, MP_UNREACH, [...u16(afiOf(family)), 1]), []);
}

function encodeUnreach({ family, prefixes }: Unreach): readonly Uint8Array[] {
  if (family === 4) return chunk(prefixes, ROOM).map((part) => body(part, [], []));
  return chunk(prefixes, ROOM - 7).map((part) => body([], encodeAttribute(OPTIONAL, MP_UNREACH, [...u16(afiOf(family)), 1, ...part]), []));
}

function encodeReach({ family, nextHop, prefixes }: Reach, attributes: PathAttributes, session: SessionContext): readonly Uint8Array[] {
  if (family === 4) {
    const list = encodeAttributeList({ ...attributes, nextHop }, session);
    return chunk(prefixes, ROOM - list.length).map((part) => body([], list, part));
  }
  const list = encodeAttributeList(attributes, session);
  const head = [...u16(afiOf(family)), 1, 16, ...addressOctets(nextHop), 0];
  const room = ROOM - list.length - head.length - 4;
  return chunk(prefixes, room).map((part) => body([], [...list, ...encodeAttribute(OPTIONAL, MP_REACH, [...head, ...part])], []));
}

function chunk(prefixes: readonly Prefix[], room: number): readonly (readonly number[])[] {
  const out: number[][] = [];
  let current: number[] = [];
  for (const prefix of prefixes) {
    const octets = encodePrefix(prefix);
    if (octets.length > room)
      throw new RangeError(`Cannot encode UPDATE for ${prefix}: its path attributes leave no room in a message of 4096 octets`);
    if (current.length + octets.length > room) {
      out.push(current);
      current = [];
    }
    current.push(...octets);
  }
  if (current.length > 0) out.push(current);
  return out;
}
