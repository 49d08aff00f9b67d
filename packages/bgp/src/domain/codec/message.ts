/**
 * BGP messages: framing and the five types.
 *
 * Source: RFC 4271 §4.1, §4.4, §4.5 and §6.1, RFC 2918 §3.
 */
import { assertNever } from "../assert-never.ts";
import { err, ok } from "@calico/model";
import type { Result } from "@calico/model";
import type { SessionContext } from "./attribute.ts";
import { afiOf, familyOfAfi } from "./capability.ts";
import { BAD_MESSAGE_LENGTH, BAD_MESSAGE_TYPE, HEADER_NOT_SYNCHRONIZED } from "./error.ts";
import type { NotificationCode, WireError } from "./error.ts";
import { concatOctets, readU16, u16 } from "./octets.ts";
import { decodeOpen, encodeOpen } from "./open.ts";
import type { Open } from "./open.ts";
import type { Family } from "./prefix.ts";
import { decodeUpdate, encodeUpdate } from "./update.ts";
import type { Update } from "./update.ts";

export type Message =
  | { readonly type: "open"; readonly open: Open }
  | { readonly type: "update"; readonly update: Update; readonly faults?: readonly WireError[] }
  | { readonly type: "notification"; readonly code: NotificationCode; readonly data: Uint8Array }
  | { readonly type: "keepalive" }
  /** `family` is undefined for a family that we do not speak. */
  | { readonly type: "routeRefresh"; readonly family: Family | undefined };

export const HEADER_OCTETS = 19;
export const MAX_MESSAGE_OCTETS = 4096;

/** Type number and least length of each message type. */
const TYPES = {
  open: { number: 1, least: 29 },
  update: { number: 2, least: 23 },
  notification: { number: 3, least: 21 },
  keepalive: { number: 4, least: 19 },
  routeRefresh: { number: 5, least: 23 },
} as const;

type TypeName = keyof typeof TYPES;

/** Whole frames at the start of `buf`, what is left of it, and the error that ends the stream, if there is one. */
export type Frames = { readonly frames: readonly Uint8Array[]; readonly rest: Uint8Array; readonly error?: WireError };

/** Cut a byte stream into messages, header included. Never copies. */
export function splitFrames(buf: Uint8Array): Frames {
  const frames: Uint8Array[] = [];
  let at = 0;
  while (buf.length - at >= HEADER_OCTETS) {
    const error = headerError(buf, at);
    if (error !== undefined) return { frames, rest: buf.subarray(at), error };
    const length = readU16(buf, at + 16);
    if (buf.length - at < length) break;
    frames.push(buf.subarray(at, at + length));
    at += length;
  }
  return { frames, rest: buf.subarray(at) };
}

function headerError(buf: Uint8Array, at: number): WireError | undefined {
  const bad = (reason: string, code: NotificationCode, data: readonly number[] = []): WireError => ({
    reason,
    at,
    code,
    disposition: "sessionReset",
    data: Uint8Array.from(data),
  });
  for (let i = 0; i < 16; i++) if (buf[at + i] !== 0xff) return bad("badMarker", HEADER_NOT_SYNCHRONIZED);
  const length = readU16(buf, at + 16);
  const type = typeOf(buf[at + 18] ?? 0);
  if (length < HEADER_OCTETS || length > MAX_MESSAGE_OCTETS) return bad("badMessageLength", BAD_MESSAGE_LENGTH, u16(length));
  if (type === undefined) return bad("badMessageType", BAD_MESSAGE_TYPE, [buf[at + 18] ?? 0]);
  const { least } = TYPES[type];
  const fits = length >= least && (type !== "keepalive" || length === least);
  return fits ? undefined : bad("badMessageLength", BAD_MESSAGE_LENGTH, u16(length));
}

function typeOf(number: number): TypeName | undefined {
  return (Object.keys(TYPES) as TypeName[]).find((name) => TYPES[name].number === number);
}

/** One message from one frame of splitFrames. */
export function decodeMessage(frame: Uint8Array, session: SessionContext): Result<Message, WireError> {
  const error = frame.length < HEADER_OCTETS ? frameTooShort() : headerError(frame, 0);
  const type = typeOf(frame[18] ?? 0);
  if (error !== undefined || type === undefined) return err(error ?? frameTooShort());
  const content = frame.subarray(HEADER_OCTETS);
  switch (type) {
    case "open": {
      const open = decodeOpen(content);
      return open.ok ? ok({ type, open: open.value }) : open;
    }
    case "update": {
      const update = decodeUpdate(content, session);
      return update.ok ? ok({ type, ...update.value }) : update;
    }
    case "notification":
      return ok({ type, code: [content[0] ?? 0, content[1] ?? 0], data: content.slice(2) });
    case "keepalive":
      return ok({ type });
    case "routeRefresh":
      return ok({ type, family: familyOfAfi(readU16(content, 0), content[3] ?? 0) });
    default:
      return assertNever(type);
  }
}

function frameTooShort(): WireError {
  return { reason: "badMessageLength", at: 0, code: BAD_MESSAGE_LENGTH, disposition: "sessionReset" };
}

/** The frames of a message; an UPDATE may need several. */
export function encodeMessage(message: Message, session: SessionContext): readonly Uint8Array[] {
  return encodeBodies(message, session).map((content) => frame(message.type, content));
}

function encodeBodies(message: Message, session: SessionContext): readonly Uint8Array[] {
  switch (message.type) {
    case "open":
      return [encodeOpen(message.open)];
    case "update":
      return encodeUpdate(message.update, session);
    case "notification":
      return [concatOctets([message.code, message.data])];
    case "keepalive":
      return [new Uint8Array(0)];
    case "routeRefresh":
      return [Uint8Array.from([...u16(afiOf(message.family ?? 4)), 0, 1])];
    default:
      return assertNever(message);
  }
}

function frame(type: TypeName, content: Uint8Array): Uint8Array {
  const out = new Uint8Array(HEADER_OCTETS + content.length).fill(0xff, 0, 16);
  out.set(u16(out.length), 16);
  out[18] = TYPES[type].number;
  out.set(content, HEADER_OCTETS);
  return out;
}
