/** Numbers of rtnetlink. Source: Linux uapi/linux/netlink.h, rtnetlink.h, neighbour.h, fib_rules.h. */
import type { NeighbourState, RouteType, Scope } from "../ports.ts";

export const NLMSG = { error: 2, done: 3, overrun: 4 } as const;

export const NLM_F = {
  request: 0x1,
  multi: 0x2,
  ack: 0x4,
  dumpInterrupted: 0x10,
  dump: 0x300,
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
  append: 0x800,
  ackTlvs: 0x200,
} as const;

export const RTM = {
  newLink: 16,
  delLink: 17,
  getLink: 18,
  newAddr: 20,
  delAddr: 21,
  getAddr: 22,
  newRoute: 24,
  delRoute: 25,
  getRoute: 26,
  newNeigh: 28,
  delNeigh: 29,
  getNeigh: 30,
  newRule: 32,
  delRule: 33,
  getRule: 34,
} as const;

/** Multicast groups as the bit mask of sockaddr_nl. */
export const RTMGRP = { link: 0x1, addr4: 0x10, route4: 0x40, addr6: 0x100, route6: 0x400 } as const;

export const TABLE_MAIN = 254;

export const SCOPES: Readonly<Record<Scope, number>> = { global: 0, site: 200, link: 253, host: 254, nowhere: 255 };

export const ROUTE_TYPES: Readonly<Record<RouteType, number>> = {
  unicast: 1,
  local: 2,
  broadcast: 3,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
};

export const NEIGHBOUR_STATES: Readonly<Record<NeighbourState, number>> = {
  none: 0,
  incomplete: 0x01,
  reachable: 0x02,
  stale: 0x04,
  delay: 0x08,
  probe: 0x10,
  failed: 0x20,
  noarp: 0x40,
  permanent: 0x80,
};

/** The name of a number in one of the tables above. */
export function nameIn<N extends string>(table: Readonly<Record<N, number>>, number: number): N | undefined {
  for (const name in table) if (table[name] === number) return name;
  return undefined;
}
