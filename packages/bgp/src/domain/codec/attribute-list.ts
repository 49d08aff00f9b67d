/**
 * The attribute list of an UPDATE: reads each attribute by its table row and settles errors by the strongest disposition.
 *
 * Source: RFC 4271 §6.3, RFC 7606 §3 and §4.
 */
import { mergeAs4Path } from "./as-path.ts";
import { ATTRIBUTE_BY_TYPE, ATTRIBUTES, EXTENDED, OPTIONAL, PARTIAL, TRANSITIVE } from "./attribute.ts";
import type { AttributeRow, PathAttributes, SessionContext } from "./attribute.ts";
import { ATTRIBUTE_FLAGS, MALFORMED_ATTRIBUTE_LIST, UNRECOGNIZED_WELL_KNOWN } from "./error.ts";
import type { Disposition, NotificationCode, WireError } from "./error.ts";
import { readU16, u16 } from "./octets.ts";

export const MP_REACH = 14;
export const MP_UNREACH = 15;

/** Attributes known by their table row, the raw values of the two MP ones, and every fault that was found. */
export type AttributeList = {
  readonly attributes: PathAttributes;
  readonly mpReach?: Uint8Array;
  readonly mpUnreach?: Uint8Array;
  readonly faults: readonly WireError[];
};

type Draft = {
  attributes: PathAttributes;
  mpReach?: Uint8Array;
  mpUnreach?: Uint8Array;
  readonly faults: WireError[];
  readonly seen: Set<number>;
};

type RawAttribute = { readonly flags: number; readonly type: number; readonly value: Uint8Array; readonly at: number };

export function decodeAttributeList(buf: Uint8Array, session: SessionContext): AttributeList {
  const draft: Draft = { attributes: {}, faults: [], seen: new Set() };
  let at = 0;
  while (at < buf.length) {
    const extended = ((buf[at] ?? 0) & EXTENDED) !== 0;
    const head = extended ? 4 : 3;
    const length = extended ? readU16(buf, at + 2) : (buf[at + 2] ?? 0);
    if (at + head + length > buf.length) {
      draft.faults.push(fault("attributeOverruns", at, MALFORMED_ATTRIBUTE_LIST, "treatAsWithdraw"));
      break;
    }
    take(draft, { flags: buf[at] ?? 0, type: buf[at + 1] ?? 0, value: buf.subarray(at + head, at + head + length), at }, session);
    at += head + length;
  }
  return { ...draft, attributes: settleAs4(draft.attributes, session) };
}

function fault(reason: string, at: number, code: NotificationCode, disposition: Disposition): WireError {
  return { reason, at, code, disposition };
}

function take(draft: Draft, raw: RawAttribute, session: SessionContext): void {
  const multiprotocol = raw.type === MP_REACH || raw.type === MP_UNREACH;
  if (draft.seen.has(raw.type)) {
    const how = multiprotocol ? "sessionReset" : "attributeDiscard";
    draft.faults.push(fault("duplicateAttribute", raw.at, MALFORMED_ATTRIBUTE_LIST, how));
    return;
  }
  draft.seen.add(raw.type);
  if (multiprotocol) takeMultiprotocol(draft, raw);
  else takeByRow(draft, raw, session);
}

function takeMultiprotocol(draft: Draft, raw: RawAttribute): void {
  if ((raw.flags & (OPTIONAL | TRANSITIVE)) !== OPTIONAL)
    draft.faults.push(fault("attributeFlags", raw.at, ATTRIBUTE_FLAGS, "treatAsWithdraw"));
  if (raw.type === MP_REACH) draft.mpReach = raw.value;
  else draft.mpUnreach = raw.value;
}

function takeByRow(draft: Draft, raw: RawAttribute, session: SessionContext): void {
  const row = ATTRIBUTE_BY_TYPE.get(raw.type);
  if (row === undefined) return takeUnknown(draft, raw);
  if (row.internalOnly && !session.ibgp) return;
  if ((raw.flags & (OPTIONAL | TRANSITIVE)) !== row.flags) {
    const how = row.onError === "attributeDiscard" ? "attributeDiscard" : "treatAsWithdraw";
    draft.faults.push(fault(`${row.name}: attributeFlags`, raw.at, ATTRIBUTE_FLAGS, how));
    return;
  }
  const attribute = row.decode(raw.value, session);
  if (attribute === undefined) draft.faults.push(fault(`${row.name}: malformed`, raw.at, row.code, row.onError));
  else draft.attributes = { ...draft.attributes, ...attribute };
}

function takeUnknown(draft: Draft, raw: RawAttribute): void {
  if ((raw.flags & OPTIONAL) === 0) {
    draft.faults.push(fault("unrecognizedWellKnown", raw.at, UNRECOGNIZED_WELL_KNOWN, "sessionReset"));
  } else if ((raw.flags & TRANSITIVE) !== 0) {
    const kept = { type: raw.type, value: raw.value.slice() };
    draft.attributes = { ...draft.attributes, unknown: [...(draft.attributes.unknown ?? []), kept] };
  }
}

/** AS4_ attributes are only for sessions with an old speaker; there they replace what AS_TRANS hides. */
function settleAs4(attributes: PathAttributes, session: SessionContext): PathAttributes {
  const { as4Path, as4Aggregator, ...rest } = attributes;
  if (session.as4) return rest;
  return {
    ...rest,
    ...(as4Path && rest.asPath ? { asPath: mergeAs4Path(rest.asPath, as4Path) } : {}),
    ...(as4Aggregator && rest.aggregator ? { aggregator: as4Aggregator } : {}),
  };
}

/** In order of type, the order RFC 4271 §5 asks senders for. */
export function encodeAttributeList(attributes: PathAttributes, session: SessionContext): readonly number[] {
  const known = ATTRIBUTES.flatMap((row) => encodeRow(row, attributes, session));
  const unknown = (attributes.unknown ?? []).flatMap((u) => encodeAttribute(OPTIONAL | TRANSITIVE | PARTIAL, u.type, [...u.value]));
  return [...known, ...unknown];
}

function encodeRow(row: AttributeRow, attributes: PathAttributes, session: SessionContext): readonly number[] {
  if (row.internalOnly && !session.ibgp) return [];
  const value = row.encode(attributes, session);
  return value === undefined ? [] : encodeAttribute(row.flags, row.type, value);
}

export function encodeAttribute(flags: number, type: number, value: readonly number[]): readonly number[] {
  return value.length > 255 ? [flags | EXTENDED, type, ...u16(value.length), ...value] : [flags, type, value.length, ...value];
}
