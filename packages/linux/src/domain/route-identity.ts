/** When two routes are the same to the kernel, and when one replaces the other; the kernel's defaults are filled in on both sides. */
import type { NextHop, Route, RouteRef, RouteType, Scope } from "../ports.ts";
import { TABLE_MAIN } from "./protocol.ts";

const FORWARDING: ReadonlySet<RouteType> = new Set<RouteType>(["unicast", "local", "broadcast", "multicast"]);

/** Whether a route of that type goes out of a device; the others discard or look on. */
export function hasNextHop(type: RouteType): boolean {
  return FORWARDING.has(type);
}

/** Scope of an IPv4 route when none is given, as `ip route` chooses it. IPv6 has only global. Source: iproute2 ip/iproute.c. */
export function defaultScope(route: RouteRef, family: 4 | 6): Scope {
  if (family === 6) return "global";
  if (route.type === "local") return "host";
  if (route.type === "broadcast" || route.type === "multicast") return "link";
  return route.type === "unicast" && route.via === undefined && route.multipath === undefined ? "link" : "global";
}

/** IP6_RT_PRIO_USER: what the kernel makes of an IPv6 metric of 0. */
const METRIC_V6 = 1024;

function familyOf(route: RouteRef): 4 | 6 {
  return route.dst.includes(":") ? 6 : 4;
}

function metricOf(route: RouteRef): number {
  return route.metric || (familyOf(route) === 6 ? METRIC_V6 : 0);
}

/** The place of a route in the kernel: two routes with one key cannot stand side by side (for IPv6, next hops append). */
export function routeKey(route: RouteRef): string {
  return `${route.dst} table ${route.table ?? TABLE_MAIN} metric ${metricOf(route)}`;
}

/** Whether writing `wanted` over `found` would change nothing. */
export function sameRoute(wanted: Route, found: Route): boolean {
  return fullForm(wanted) === fullForm(found);
}

function fullForm(route: Route): string {
  const family = familyOf(route);
  return JSON.stringify([
    routeKey(route),
    route.type,
    family === 4 ? (route.scope ?? defaultScope(route, family)) : "",
    route.protocol,
    hopForm({ via: route.via, dev: route.dev ?? "", onlink: route.onlink }),
    route.src ?? "",
    route.mtu ?? 0,
    route.multipath?.map(hopForm).toSorted() ?? [],
  ]);
}

function hopForm(hop: NextHop): string {
  return `${hop.via ?? ""} ${hop.dev} ${hop.weight ?? 1} ${hop.onlink === true}`;
}
