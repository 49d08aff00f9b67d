/** rtnetlink neighbours (ARP, NDP, their proxies) and forwarding database entries (bridge, VXLAN). Source: Linux uapi/linux/neighbour.h. */
import type { FdbEntry, Neighbour, NeighbourState } from "../ports.ts";
import { AF_BRIDGE, AF_INET, AF_INET6, ipOfOctets, macOfOctets, octetsOfIp, octetsOfMac } from "./octets.ts";
import { nameIn, NEIGHBOUR_STATES, NLM_F, RTM } from "./protocol.ts";
import type { NameOf, Resolve } from "./resolve.ts";
import { decodeAttributes, MessageWriter, viewOf } from "./wire.ts";

const NDA = { dst: 1, lladdr: 2, ifindex: 8 } as const;
/** SELF: the device's own table, not its bridge's. PROXY: answer for others. */
const NTF = { self: 0x02, proxy: 0x08 } as const;
const NDMSG_OCTETS = 12;

type Header = { readonly family: number; readonly index?: number; readonly state?: number; readonly flags?: number };

/** struct ndmsg: family u8, pad u8, pad u16, index i32, state u16, flags u8, type u8. */
function ndmsg(w: MessageWriter, { family, index = 0, state = 0, flags = 0 }: Header): void {
  w.u8(family).u8(0).u16(0).u32(index).u16(state).u8(flags).u8(0);
}

export function encodeGetNeighbours(index: number, which: "neighbours" | "proxies"): Uint8Array {
  const w = new MessageWriter(RTM.getNeigh, NLM_F.request | NLM_F.dump);
  ndmsg(w, { family: 0, flags: which === "proxies" ? NTF.proxy : 0 });
  return w.attrU32(NDA.ifindex, index).finish();
}

export function encodeReplaceNeighbour(entry: Neighbour, resolve: Resolve): Uint8Array {
  const w = new MessageWriter(RTM.newNeigh, NLM_F.request | NLM_F.create | NLM_F.replace);
  const ip = octetsOfIp(entry.ip);
  ndmsg(w, {
    family: ip.length === 4 ? AF_INET : AF_INET6,
    index: resolve.index(entry.link),
    state: NEIGHBOUR_STATES[entry.state ?? "permanent"],
    flags: entry.proxy ? NTF.proxy : 0,
  });
  w.attr(NDA.dst, ip);
  if (entry.mac !== undefined) w.attr(NDA.lladdr, octetsOfMac(entry.mac));
  return w.finish();
}

export function encodeDeleteNeighbour(entry: Pick<Neighbour, "link" | "ip" | "proxy">, resolve: Resolve): Uint8Array {
  const w = new MessageWriter(RTM.delNeigh, NLM_F.request);
  const ip = octetsOfIp(entry.ip);
  ndmsg(w, { family: ip.length === 4 ? AF_INET : AF_INET6, index: resolve.index(entry.link), flags: entry.proxy ? NTF.proxy : 0 });
  return w.attr(NDA.dst, ip).finish();
}

/** The body of an RTM_NEWNEIGH or RTM_DELNEIGH of IPv4 or IPv6. */
export function decodeNeighbour(body: Uint8Array, nameOf: NameOf): Neighbour | undefined {
  const attrs = decodeAttributes(body, NDMSG_OCTETS);
  const ip = attrs.get(NDA.dst);
  const link = nameOf(viewOf(body).getInt32(4, true));
  if ((body[0] !== AF_INET && body[0] !== AF_INET6) || ip === undefined || link === undefined) return undefined;
  return {
    link,
    ip: ipOfOctets(ip),
    mac: macOfOctets(attrs.get(NDA.lladdr)),
    state: stateOf(body),
    proxy: (body[10] ?? 0) & NTF.proxy ? true : undefined,
  };
}

export function encodeGetFdb(): Uint8Array {
  const w = new MessageWriter(RTM.getNeigh, NLM_F.request | NLM_F.dump);
  ndmsg(w, { family: AF_BRIDGE });
  return w.finish();
}

export function encodeReplaceFdb(entry: FdbEntry, resolve: Resolve): Uint8Array {
  return fdb(new MessageWriter(RTM.newNeigh, NLM_F.request | NLM_F.create | NLM_F.replace), entry, resolve);
}

export function encodeDeleteFdb(entry: Pick<FdbEntry, "link" | "mac" | "dst">, resolve: Resolve): Uint8Array {
  return fdb(new MessageWriter(RTM.delNeigh, NLM_F.request), entry, resolve);
}

function fdb(w: MessageWriter, entry: FdbEntry, resolve: Resolve): Uint8Array {
  ndmsg(w, {
    family: AF_BRIDGE,
    index: resolve.index(entry.link),
    state: NEIGHBOUR_STATES[entry.state ?? "permanent"],
    flags: NTF.self,
  });
  w.attr(NDA.lladdr, octetsOfMac(entry.mac));
  if (entry.dst !== undefined) w.attr(NDA.dst, octetsOfIp(entry.dst));
  return w.finish();
}

export function decodeFdb(body: Uint8Array, nameOf: NameOf): FdbEntry | undefined {
  const attrs = decodeAttributes(body, NDMSG_OCTETS);
  const mac = macOfOctets(attrs.get(NDA.lladdr));
  const link = nameOf(viewOf(body).getInt32(4, true));
  const dst = attrs.get(NDA.dst);
  if (body[0] !== AF_BRIDGE || mac === undefined || link === undefined) return undefined;
  return { link, mac, dst: dst && ipOfOctets(dst), state: stateOf(body) };
}

/** ndm_state is a set of bits; FDB entries by `bridge fdb add` are permanent and noarp in one. */
function stateOf(body: Uint8Array): NeighbourState | undefined {
  const bits = viewOf(body).getUint16(8, true);
  return bits & NEIGHBOUR_STATES.permanent ? "permanent" : nameIn(NEIGHBOUR_STATES, bits);
}
