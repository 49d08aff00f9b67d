/** rtnetlink routes. Source: Linux uapi/linux/rtnetlink.h, rtnetlink(7). */
import type { NextHop, Route, RouteFilter, RouteRef } from "../ports.ts";
import { AF_INET, AF_INET6, afOf, ipOfOctets, octetsOfCidr, octetsOfIp } from "./octets.ts";
import { defaultScope, hasNextHop } from "./route-identity.ts";
import { nameIn, NLM_F, ROUTE_TYPES, RTM, SCOPES, TABLE_MAIN } from "./protocol.ts";
import type { NameOf, Resolve } from "./resolve.ts";
import { align4, decodeAttributes, MessageWriter, readU32, viewOf } from "./wire.ts";

const RTA = { dst: 1, oif: 4, gateway: 5, priority: 6, prefsrc: 7, metrics: 8, multipath: 9, table: 15, via: 18 } as const;
const RTAX_MTU = 2;
const RTNH_F_ONLINK = 4;
const RTM_F_CLONED = 0x200;
const RTM_F_FIB_MATCH = 0x2000;
const RTMSG_OCTETS = 12;
const RTNEXTHOP_OCTETS = 8;

type Header = { family: number; len?: number; table?: number; protocol?: number; scope?: number; type?: number; flags?: number };

/** struct rtmsg: family, dst len, src len, tos, table, protocol, scope, type (u8 each), flags u32. A table over 255 is an attribute. */
function rtmsg(w: MessageWriter, h: Header): void {
  const table = h.table ?? 0;
  w.u8(h.family)
    .u8(h.len ?? 0)
    .u8(0)
    .u8(0)
    .u8(table > 255 ? 0 : table)
    .u8(h.protocol ?? 0)
    .u8(h.scope ?? 0)
    .u8(h.type ?? 0);
  w.u32(h.flags ?? 0);
}

export type RouteWrite = "add" | "replace";

export function encodeWriteRoute(route: Route, how: RouteWrite, resolve: Resolve): Uint8Array {
  const flags = how === "add" ? NLM_F.exclusive : NLM_F.replace;
  const w = new MessageWriter(RTM.newRoute, NLM_F.request | NLM_F.create | flags);
  const { octets, len, family } = octetsOfCidr(route.dst);
  rtmsg(w, {
    family: afOf(family),
    len,
    table: route.table ?? TABLE_MAIN,
    protocol: route.protocol,
    scope: SCOPES[route.scope ?? defaultScope(route, family)],
    type: ROUTE_TYPES[route.type],
    flags: route.onlink ? RTNH_F_ONLINK : 0,
  });
  if (len > 0) w.attr(RTA.dst, octets);
  selectors(w, route, family, resolve);
  if (route.src !== undefined) w.attr(RTA.prefsrc, octetsOfIp(route.src));
  if (route.mtu !== undefined) w.nest(RTA.metrics, () => w.attrU32(RTAX_MTU, route.mtu ?? 0), "plain");
  return w.finish();
}

export function encodeDeleteRoute(route: RouteRef, resolve: Resolve): Uint8Array {
  const w = new MessageWriter(RTM.delRoute, NLM_F.request);
  const { octets, len, family } = octetsOfCidr(route.dst);
  rtmsg(w, {
    family: afOf(family),
    len,
    table: route.table ?? TABLE_MAIN,
    protocol: route.protocol ?? 0,
    // "nowhere" matches every scope.
    scope: SCOPES[route.scope ?? "nowhere"],
    type: route.type === undefined ? 0 : ROUTE_TYPES[route.type],
    flags: route.onlink ? RTNH_F_ONLINK : 0,
  });
  if (len > 0) w.attr(RTA.dst, octets);
  selectors(w, route, family, resolve);
  return w.finish();
}

function selectors(w: MessageWriter, route: RouteRef, family: 4 | 6, resolve: Resolve): void {
  if ((route.table ?? TABLE_MAIN) > 255) w.attrU32(RTA.table, route.table ?? TABLE_MAIN);
  if (route.metric !== undefined) w.attrU32(RTA.priority, route.metric);
  if (route.via !== undefined) gateway(w, route.via, family);
  if (route.dev !== undefined) w.attrU32(RTA.oif, resolve.index(route.dev));
  const hops = route.multipath;
  if (hops) w.nest(RTA.multipath, () => hops.forEach((hop) => nextHop(w, hop, family, resolve)), "plain");
}

/** struct rtnexthop: length u16, flags u8, weight-1 u8, index i32, then attributes. */
function nextHop(w: MessageWriter, hop: NextHop, family: 4 | 6, resolve: Resolve): void {
  w.record(() => {
    w.u8(hop.onlink ? RTNH_F_ONLINK : 0)
      .u8((hop.weight ?? 1) - 1)
      .u32(resolve.index(hop.dev));
    if (hop.via !== undefined) gateway(w, hop.via, family);
  });
}

/** An IPv4 route with an IPv6 gateway carries it as RTA_VIA: family u16, then the address. */
function gateway(w: MessageWriter, via: string, family: 4 | 6): void {
  const octets = octetsOfIp(via);
  if (octets.length === (family === 4 ? 4 : 16)) w.attr(RTA.gateway, octets);
  else w.nest(RTA.via, () => w.u16(octets.length === 4 ? AF_INET : AF_INET6).bytes(octets), "plain");
}

/** A dump. The kernel applies the filter itself (strict checking is on); what it cannot filter by, the caller does. */
export function encodeGetRoutes(family: 4 | 6, filter: Omit<RouteFilter, "link" | "family"> & { readonly index?: number }): Uint8Array {
  const w = new MessageWriter(RTM.getRoute, NLM_F.request | NLM_F.dump);
  const table = filter.table === "all" ? 0 : (filter.table ?? TABLE_MAIN);
  const type = filter.type === undefined ? 0 : ROUTE_TYPES[filter.type];
  rtmsg(w, { family: afOf(family), table, protocol: filter.protocol ?? 0, type });
  if (table > 255) w.attrU32(RTA.table, table);
  if (filter.index !== undefined) w.attrU32(RTA.oif, filter.index);
  return w.finish();
}

/** The route that the kernel would choose for packets to the address, and not what it makes of it for one packet. */
export function encodeLookUpRoute(ip: string): Uint8Array {
  const w = new MessageWriter(RTM.getRoute, NLM_F.request);
  const octets = octetsOfIp(ip);
  rtmsg(w, { family: octets.length === 4 ? AF_INET : AF_INET6, len: octets.length * 8, flags: RTM_F_FIB_MATCH });
  w.attr(RTA.dst, octets);
  return w.finish();
}

/** The body of an RTM_NEWROUTE or RTM_DELROUTE; undefined for cache entries and for families and types not ours to know. */
export function decodeRoute(body: Uint8Array, nameOf: NameOf): Route | undefined {
  const view = viewOf(body);
  const family = body[0] === AF_INET ? 4 : body[0] === AF_INET6 ? 6 : undefined;
  const type = nameIn(ROUTE_TYPES, body[7] ?? 0);
  const flags = view.getUint32(8, true);
  if (family === undefined || type === undefined || flags & RTM_F_CLONED) return undefined;
  const attrs = decodeAttributes(body, RTMSG_OCTETS);
  const table = readU32(attrs.get(RTA.table)) ?? body[4] ?? 0;
  const dst = attrs.get(RTA.dst) ?? new Uint8Array(family === 4 ? 4 : 16);
  const metrics = attrs.get(RTA.metrics);
  const forwards = hasNextHop(type);
  const hops = attrs.get(RTA.multipath);
  const oif = readU32(attrs.get(RTA.oif));
  const src = attrs.get(RTA.prefsrc);
  return {
    dst: `${ipOfOctets(dst)}/${body[1]}`,
    type,
    via: decodeGateway(attrs.get(RTA.gateway), attrs.get(RTA.via)),
    // IPv6 reports a discarding route as being on lo; that is not a next hop.
    dev: forwards && oif !== undefined ? nameOf(oif) : undefined,
    scope: family === 4 ? (nameIn(SCOPES, body[6] ?? 0) ?? "global") : "global",
    protocol: body[5] ?? 0,
    table: table === TABLE_MAIN ? undefined : table,
    metric: readU32(attrs.get(RTA.priority)),
    onlink: flags & RTNH_F_ONLINK ? true : undefined,
    src: src && ipOfOctets(src),
    mtu: metrics && readU32(decodeAttributes(metrics).get(RTAX_MTU)),
    multipath: hops && decodeNextHops(hops, nameOf),
  };
}

function decodeGateway(gateway: Uint8Array | undefined, via: Uint8Array | undefined): string | undefined {
  if (gateway) return ipOfOctets(gateway);
  return via && ipOfOctets(via.subarray(2));
}

function decodeNextHops(octets: Uint8Array, nameOf: NameOf): NextHop[] {
  const hops: NextHop[] = [];
  const view = viewOf(octets);
  let at = 0;
  while (at + RTNEXTHOP_OCTETS <= octets.length) {
    const length = view.getUint16(at, true);
    if (length < RTNEXTHOP_OCTETS || at + length > octets.length) break;
    const attrs = decodeAttributes(octets.subarray(at + RTNEXTHOP_OCTETS, at + length));
    const index = view.getInt32(at + 4, true);
    hops.push({
      via: decodeGateway(attrs.get(RTA.gateway), attrs.get(RTA.via)),
      dev: nameOf(index) ?? `if${index}`,
      weight: (octets[at + 3] ?? 0) + 1,
      onlink: (octets[at + 2] ?? 0) & RTNH_F_ONLINK ? true : undefined,
    });
    at += align4(length);
  }
  return hops;
}
