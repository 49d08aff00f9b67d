/**
 * The OPEN message.
 *
 * Source: RFC 4271 §4.2 and §6.2, RFC 5492 §4, RFC 6793 §4.1 (AS_TRANS), RFC 9072 (extended parameter length).
 */
import { err, ok } from "@calico/model";
import type { Result } from "@calico/model";
import { decodeCapabilities, encodeCapabilities } from "./capability.ts";
import type { Capabilities } from "./capability.ts";
import {
  BAD_BGP_IDENTIFIER,
  MALFORMED_OPEN,
  UNACCEPTABLE_HOLD_TIME,
  UNSUPPORTED_OPTIONAL_PARAMETER,
  UNSUPPORTED_VERSION,
} from "./error.ts";
import type { NotificationCode, WireError } from "./error.ts";
import { concatOctets, ip4Octets, readIp4, readU16, u16 } from "./octets.ts";

/** `as` is the real AS number, whichever field carried it. */
export type Open = { readonly as: number; readonly holdTimeSec: number; readonly routerId: string; readonly capabilities: Capabilities };

export const AS_TRANS = 23456;
const VERSION = 4;
const CAPABILITIES = 2;

/** `body` is the message without its header. */
export function decodeOpen(body: Uint8Array): Result<Open, WireError> {
  if (body.length < 10) return bad("truncated", body.length, MALFORMED_OPEN);
  if (body[0] !== VERSION) return bad("unsupportedVersion", 0, UNSUPPORTED_VERSION, Uint8Array.from(u16(VERSION)));
  const holdTimeSec = readU16(body, 3);
  if (holdTimeSec === 1 || holdTimeSec === 2) return bad("badHoldTime", 3, UNACCEPTABLE_HOLD_TIME);
  const routerId = readIp4(body, 5);
  if (routerId === "0.0.0.0") return bad("badRouterId", 5, BAD_BGP_IDENTIFIER);
  const capabilities = decodeParameters(body);
  if (!capabilities.ok) return capabilities;
  return ok({ as: capabilities.value.as4 ?? readU16(body, 1), holdTimeSec, routerId, capabilities: capabilities.value });
}

function decodeParameters(body: Uint8Array): Result<Capabilities, WireError> {
  const extended = body[9] === 255 && body[10] === 255 && body.length >= 13;
  let at = extended ? 13 : 10;
  const end = at + (extended ? readU16(body, 11) : (body[9] ?? 0));
  if (end !== body.length) return bad("parameterLength", 9, MALFORMED_OPEN);
  const head = extended ? 3 : 2;
  let caps: Capabilities = {};
  while (at < end) {
    if (at + head > end) return bad("truncatedParameter", at, MALFORMED_OPEN);
    const next = at + head + (extended ? readU16(body, at + 1) : (body[at + 1] ?? 0));
    if (next > end) return bad("truncatedParameter", at, MALFORMED_OPEN);
    if (body[at] !== CAPABILITIES) return bad("unknownParameter", at, UNSUPPORTED_OPTIONAL_PARAMETER);
    const more = decodeCapabilities(body.subarray(at + head, next), caps);
    if (more === undefined) return bad("truncatedCapability", at + head, MALFORMED_OPEN);
    caps = more;
    at = next;
  }
  return ok(caps);
}

function bad(reason: string, at: number, code: NotificationCode, data?: Uint8Array): Result<never, WireError> {
  return err({ reason, at, code, disposition: "sessionReset", ...(data ? { data } : {}) });
}

export function encodeOpen(open: Open): Uint8Array {
  const caps = encodeCapabilities(open.capabilities);
  const params = caps.length === 0 ? [] : [CAPABILITIES, caps.length, ...caps];
  const as2 = open.as > 0xffff ? AS_TRANS : open.as;
  return concatOctets([[VERSION], u16(as2), u16(open.holdTimeSec), ip4Octets(open.routerId), [params.length], params]);
}
