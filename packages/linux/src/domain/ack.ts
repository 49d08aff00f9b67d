/**
 * The kernel's answer to a request: NLMSG_ERROR, of which errno 0 is the acknowledgement.
 *
 * Wire: errno i32 (negative), the request's header (with NETLINK_CAP_ACK; without it the whole request), then with the flag NLM_F_ACK_TLVS
 * attributes. Source: Linux Documentation/userspace-api/netlink/intro.rst, "Extended ACK".
 */
import { NLM_F } from "./protocol.ts";
import { decodeAttributes, NLMSG_HEADER_OCTETS, readString, viewOf } from "./wire.ts";
import type { Message } from "./wire.ts";

const NLMSGERR_ATTR_MSG = 1;
/** With NETLINK_CAP_ACK the request comes back without its payload. Flag NLM_F_CAPPED says so. */
const NLM_F_CAPPED = 0x100;

export type Ack = { readonly errno: number; readonly kernelMessage?: string };

export function decodeAck(message: Message): Ack {
  const view = viewOf(message.body);
  const errno = -view.getInt32(0, true);
  const requestOctets = message.flags & NLM_F_CAPPED ? NLMSG_HEADER_OCTETS : view.getUint32(4, true);
  const attrs = message.flags & NLM_F.ackTlvs ? decodeAttributes(message.body, 4 + ((requestOctets + 3) & ~3)) : undefined;
  return { errno, kernelMessage: readString(attrs?.get(NLMSGERR_ATTR_MSG)) };
}

/** NLMSG_DONE of a dump: errno i32 and, on failure, the same attributes. */
export function decodeDone(message: Message): Ack {
  const errno = message.body.length >= 4 ? -viewOf(message.body).getInt32(0, true) : 0;
  const attrs = message.flags & NLM_F.ackTlvs ? decodeAttributes(message.body, 4) : undefined;
  return { errno, kernelMessage: readString(attrs?.get(NLMSGERR_ATTR_MSG)) };
}
