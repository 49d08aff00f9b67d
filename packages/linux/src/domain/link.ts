/** rtnetlink links: RTM_NEWLINK and friends. Source: Linux uapi/linux/if_link.h, rtnetlink(7). */
import type { Link, LinkChange, LinkSpec, VethPeer, VxlanOptions } from "../ports.ts";
import { ipOfOctets, macOfOctets, octetsOfIp, octetsOfMac } from "./octets.ts";
import { NLM_F, RTM } from "./protocol.ts";
import type { Resolve } from "./resolve.ts";
import { decodeAttributes, MessageWriter, readString, readU16Be, readU32, viewOf } from "./wire.ts";

const IFLA = {
  address: 1,
  ifname: 3,
  mtu: 4,
  link: 5,
  master: 10,
  txqlen: 13,
  linkinfo: 18,
  netNsFd: 28,
  extMask: 29,
  numTxQueues: 31,
  numRxQueues: 32,
} as const;
const INFO = { kind: 1, data: 2 } as const;
const VETH_PEER = 1;
const VXLAN = { id: 1, link: 3, local: 4, learning: 7, port: 15, local6: 17 } as const;
const IPTUN = { local: 2, remote: 3, ttl: 4 } as const;
const IFF_UP = 0x1;
const IFF_LOWER_UP = 0x10000;
/** RTEXT_FILTER_SKIP_STATS: leave out the counters, which are most of the octets. */
const SKIP_STATS = 8;
const IFINFOMSG_OCTETS = 16;

type Flags = { readonly index?: number; readonly up?: boolean };

/** struct ifinfomsg: family u8, pad u8, type u16, index i32, flags u32, change mask u32. */
function ifinfomsg(w: MessageWriter, { index = 0, up }: Flags): void {
  w.u8(0)
    .u8(0)
    .u16(0)
    .u32(index)
    .u32(up ? IFF_UP : 0)
    .u32(up === undefined ? 0 : IFF_UP);
}

/** Every link, or the one with that name. */
export function encodeGetLinks(name?: string): Uint8Array {
  const w = new MessageWriter(RTM.getLink, NLM_F.request | (name === undefined ? NLM_F.dump : 0));
  ifinfomsg(w, {});
  if (name !== undefined) w.attrString(IFLA.ifname, name);
  return w.attrU32(IFLA.extMask, SKIP_STATS).finish();
}

export function encodeAddLink(spec: LinkSpec, resolve: Resolve): Uint8Array {
  const w = new MessageWriter(RTM.newLink, NLM_F.request | NLM_F.create | NLM_F.exclusive);
  ifinfomsg(w, { up: spec.up });
  basics(w, spec);
  return w
    .nest(IFLA.linkinfo, () => {
      w.attrString(INFO.kind, spec.kind);
      if (spec.kind !== "bridge") w.nest(INFO.data, () => kindData(w, spec, resolve));
    })
    .finish();
}

function basics(w: MessageWriter, spec: LinkSpec | VethPeer): void {
  w.attrString(IFLA.ifname, spec.name);
  if (spec.mac !== undefined) w.attr(IFLA.address, octetsOfMac(spec.mac));
  if (spec.mtu !== undefined) w.attrU32(IFLA.mtu, spec.mtu);
  if (spec.txqlen !== undefined) w.attrU32(IFLA.txqlen, spec.txqlen);
  if (spec.numTxQueues !== undefined) w.attrU32(IFLA.numTxQueues, spec.numTxQueues);
  if (spec.numRxQueues !== undefined) w.attrU32(IFLA.numRxQueues, spec.numRxQueues);
}

function kindData(w: MessageWriter, spec: Exclude<LinkSpec, { kind: "bridge" }>, resolve: Resolve): void {
  switch (spec.kind) {
    case "veth":
      w.nest(
        VETH_PEER,
        () => {
          ifinfomsg(w, {});
          basics(w, spec.peer);
          if (spec.peer.netns !== undefined) w.attrU32(IFLA.netNsFd, resolve.netnsFd(spec.peer.netns));
        },
        "plain",
      );
      return;
    case "vxlan": {
      w.attrU32(VXLAN.id, spec.vni)
        .attrU16Be(VXLAN.port, spec.port)
        .attrU8(VXLAN.learning, spec.learning ? 1 : 0);
      if (spec.local !== undefined) {
        const local = octetsOfIp(spec.local);
        w.attr(local.length === 4 ? VXLAN.local : VXLAN.local6, local);
      }
      if (spec.dev !== undefined) w.attrU32(VXLAN.link, resolve.index(spec.dev));
      return;
    }
    case "ipip":
      if (spec.local !== undefined) w.attr(IPTUN.local, octetsOfIp(spec.local));
      if (spec.remote !== undefined) w.attr(IPTUN.remote, octetsOfIp(spec.remote));
      if (spec.ttl !== undefined) w.attrU8(IPTUN.ttl, spec.ttl);
      return;
  }
}

export function encodeSetLink(link: string, set: LinkChange, resolve: Resolve): Uint8Array {
  const w = new MessageWriter(RTM.newLink, NLM_F.request);
  ifinfomsg(w, { index: resolve.index(link), up: set.up });
  if (set.name !== undefined) w.attrString(IFLA.ifname, set.name);
  if (set.mac !== undefined) w.attr(IFLA.address, octetsOfMac(set.mac));
  if (set.mtu !== undefined) w.attrU32(IFLA.mtu, set.mtu);
  if (set.txqlen !== undefined) w.attrU32(IFLA.txqlen, set.txqlen);
  if (set.master !== undefined) w.attrU32(IFLA.master, set.master === "" ? 0 : resolve.index(set.master));
  if (set.netns !== undefined) w.attrU32(IFLA.netNsFd, resolve.netnsFd(set.netns));
  return w.finish();
}

export function encodeDeleteLink(index: number): Uint8Array {
  const w = new MessageWriter(RTM.delLink, NLM_F.request);
  ifinfomsg(w, { index });
  return w.finish();
}

/** The body of an RTM_NEWLINK or RTM_DELLINK. */
export function decodeLink(body: Uint8Array): Link {
  const view = viewOf(body);
  const flags = view.getUint32(8, true);
  const attrs = decodeAttributes(body, IFINFOMSG_OCTETS);
  const info = decodeAttributes(attrs.get(IFLA.linkinfo) ?? new Uint8Array());
  const kind = readString(info.get(INFO.kind));
  const data = info.get(INFO.data);
  return {
    index: view.getInt32(4, true),
    name: readString(attrs.get(IFLA.ifname)) ?? "",
    kind,
    up: (flags & IFF_UP) !== 0,
    carrier: (flags & IFF_LOWER_UP) !== 0,
    mtu: readU32(attrs.get(IFLA.mtu)) ?? 0,
    mac: macOfOctets(attrs.get(IFLA.address)),
    txqlen: readU32(attrs.get(IFLA.txqlen)) ?? 0,
    master: readU32(attrs.get(IFLA.master)),
    peerIndex: readU32(attrs.get(IFLA.link)),
    vxlan: kind === "vxlan" && data ? decodeVxlan(data) : undefined,
  };
}

function decodeVxlan(data: Uint8Array): VxlanOptions {
  const attrs = decodeAttributes(data);
  const local = attrs.get(VXLAN.local) ?? attrs.get(VXLAN.local6);
  return {
    vni: readU32(attrs.get(VXLAN.id)) ?? 0,
    port: readU16Be(attrs.get(VXLAN.port)) ?? 0,
    local: local && local.some((octet) => octet !== 0) ? ipOfOctets(local) : undefined,
    learning: attrs.get(VXLAN.learning)?.[0] === 1,
    underIndex: readU32(attrs.get(VXLAN.link)) || undefined,
  };
}
