/** rtnetlink addresses. Source: Linux uapi/linux/if_addr.h. */
import type { Address, AddressOptions, Scope } from "../ports.ts";
import { afOf, ipOfOctets, octetsOfCidr } from "./octets.ts";
import { nameIn, NLM_F, RTM, SCOPES } from "./protocol.ts";
import type { NameOf, Resolve } from "./resolve.ts";
import { decodeAttributes, MessageWriter, viewOf } from "./wire.ts";

const IFA = { address: 1, local: 2, broadcast: 4, flags: 8 } as const;
const IFA_F_NODAD = 0x02;
const IFADDRMSG_OCTETS = 8;

type Header = { readonly family?: 4 | 6; readonly len?: number; readonly scope?: Scope; readonly index?: number };

/** struct ifaddrmsg: family u8, prefix length u8, flags u8, scope u8, index u32. */
function ifaddrmsg(w: MessageWriter, { family, len = 0, scope = "global", index = 0 }: Header): void {
  w.u8(family === undefined ? 0 : afOf(family))
    .u8(len)
    .u8(0)
    .u8(SCOPES[scope])
    .u32(index);
}

export function encodeGetAddresses(filter: { readonly index?: number; readonly family?: 4 | 6 }): Uint8Array {
  const w = new MessageWriter(RTM.getAddr, NLM_F.request | NLM_F.dump);
  ifaddrmsg(w, filter);
  return w.finish();
}

export function encodeReplaceAddress(link: string, cidr: string, options: AddressOptions, resolve: Resolve): Uint8Array {
  const { octets, len, family } = octetsOfCidr(cidr);
  const w = new MessageWriter(RTM.newAddr, NLM_F.request | NLM_F.create | NLM_F.replace);
  ifaddrmsg(w, { family, len, scope: options.scope, index: resolve.index(link) });
  w.attr(IFA.local, octets).attr(IFA.address, octets);
  if (family === 4 && len < 31) w.attr(IFA.broadcast, broadcastOf(octets, len));
  if (family === 6 && options.nodad) w.attrU32(IFA.flags, IFA_F_NODAD);
  return w.finish();
}

export function encodeDeleteAddress(link: string, cidr: string, resolve: Resolve): Uint8Array {
  const { octets, len, family } = octetsOfCidr(cidr);
  const w = new MessageWriter(RTM.delAddr, NLM_F.request);
  ifaddrmsg(w, { family, len, index: resolve.index(link) });
  return w.attr(IFA.local, octets).attr(IFA.address, octets).finish();
}

function broadcastOf(octets: Uint8Array, len: number): Uint8Array {
  return octets.map((octet, i) => octet | (0xff >> Math.min(8, Math.max(0, len - i * 8))));
}

/** The body of an RTM_NEWADDR or RTM_DELADDR; undefined if its device is gone. */
export function decodeAddress(body: Uint8Array, nameOf: NameOf): Address | undefined {
  const attrs = decodeAttributes(body, IFADDRMSG_OCTETS);
  const octets = attrs.get(IFA.local) ?? attrs.get(IFA.address);
  const link = nameOf(viewOf(body).getUint32(4, true));
  if (octets === undefined || link === undefined) return undefined;
  return { link, cidr: `${ipOfOctets(octets)}/${body[1]}`, scope: nameIn(SCOPES, body[3] ?? 0) ?? "global" };
}
