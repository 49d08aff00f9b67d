/**
 * What is wrong with octets from a peer, and what the protocol says to do about it.
 *
 * Source: RFC 4271 §4.5 and §6 (codes), RFC 7606 §2 (dispositions), RFC 4486 (Cease), RFC 7313 §5.
 */

export type Disposition = "sessionReset" | "treatAsWithdraw" | "attributeDiscard";

/** `at` is the octet offset in the field that was being decoded; `code` is what a NOTIFICATION would carry. */
export type WireError = {
  readonly reason: string;
  readonly at: number;
  readonly code: NotificationCode;
  readonly disposition: Disposition;
  readonly data?: Uint8Array;
};

export type NotificationCode = readonly [code: number, subcode: number];

export const HEADER_NOT_SYNCHRONIZED: NotificationCode = [1, 1];
export const BAD_MESSAGE_LENGTH: NotificationCode = [1, 2];
export const BAD_MESSAGE_TYPE: NotificationCode = [1, 3];
export const MALFORMED_OPEN: NotificationCode = [2, 0];
export const UNSUPPORTED_VERSION: NotificationCode = [2, 1];
export const BAD_PEER_AS: NotificationCode = [2, 2];
export const BAD_BGP_IDENTIFIER: NotificationCode = [2, 3];
export const UNSUPPORTED_OPTIONAL_PARAMETER: NotificationCode = [2, 4];
export const UNACCEPTABLE_HOLD_TIME: NotificationCode = [2, 6];
export const MALFORMED_ATTRIBUTE_LIST: NotificationCode = [3, 1];
export const UNRECOGNIZED_WELL_KNOWN: NotificationCode = [3, 2];
export const MISSING_WELL_KNOWN: NotificationCode = [3, 3];
export const ATTRIBUTE_FLAGS: NotificationCode = [3, 4];
export const ATTRIBUTE_LENGTH: NotificationCode = [3, 5];
export const INVALID_ORIGIN: NotificationCode = [3, 6];
export const INVALID_NEXT_HOP: NotificationCode = [3, 8];
export const OPTIONAL_ATTRIBUTE: NotificationCode = [3, 9];
export const INVALID_NETWORK_FIELD: NotificationCode = [3, 10];
export const MALFORMED_AS_PATH: NotificationCode = [3, 11];
export const HOLD_TIMER_EXPIRED: NotificationCode = [4, 0];
export const FSM_ERROR: NotificationCode = [5, 0];
export const CEASE_ADMINISTRATIVE_SHUTDOWN: NotificationCode = [6, 2];
export const CEASE_PEER_DECONFIGURED: NotificationCode = [6, 3];
export const CEASE_CONNECTION_REJECTED: NotificationCode = [6, 5];
export const CEASE_COLLISION: NotificationCode = [6, 7];

const NAMES: Readonly<Record<string, string>> = {
  "1/1": "connection not synchronized",
  "1/2": "bad message length",
  "1/3": "bad message type",
  "2/0": "malformed OPEN",
  "2/1": "unsupported version number",
  "2/2": "bad peer AS",
  "2/3": "bad BGP identifier",
  "2/4": "unsupported optional parameter",
  "2/6": "unacceptable hold time",
  "2/7": "unsupported capability",
  "3/1": "malformed attribute list",
  "3/2": "unrecognized well-known attribute",
  "3/3": "missing well-known attribute",
  "3/4": "attribute flags error",
  "3/5": "attribute length error",
  "3/6": "invalid ORIGIN attribute",
  "3/8": "invalid NEXT_HOP attribute",
  "3/9": "optional attribute error",
  "3/10": "invalid network field",
  "3/11": "malformed AS_PATH",
  "4/0": "hold timer expired",
  "5/0": "finite state machine error",
  "5/1": "unexpected message in OpenSent",
  "5/2": "unexpected message in OpenConfirm",
  "5/3": "unexpected message in Established",
  "6/1": "maximum number of prefixes reached",
  "6/2": "administrative shutdown",
  "6/3": "peer de-configured",
  "6/4": "administrative reset",
  "6/5": "connection rejected",
  "6/6": "other configuration change",
  "6/7": "connection collision resolution",
  "6/8": "out of resources",
};

/** The peer ends on purpose and says of no error: it may be back at once. */
export function isCease(code: NotificationCode): boolean {
  return code[0] === 6;
}

/** The words for a NOTIFICATION's code; the numbers where there are no words. */
export function nameNotification(code: NotificationCode): string {
  return NAMES[code.join("/")] ?? `code ${code[0]} subcode ${code[1]}`;
}
