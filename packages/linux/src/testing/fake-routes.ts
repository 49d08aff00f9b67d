/** Routes of the fake kernel. */
import { cidrContains, formatCidr, parseCidr, parseCidrLoose, parseIp } from "@calico/model";
import { ERRNO } from "../domain/errno.ts";
import { defaultScope, hasNextHop, routeKey } from "../domain/route-identity.ts";
import { TABLE_MAIN } from "../domain/protocol.ts";
import type { Route, RouteRef } from "../ports.ts";
import { emit } from "./fake-kernel.ts";
import type { FakeLink, FakeNetns } from "./fake-kernel.ts";
import { Refusal, theLink } from "./refusal.ts";

const METRIC_V6 = 1024;

export function writeRoute(netns: FakeNetns, route: Route, how: "add" | "replace"): void {
  const parsed = parseCidr(route.dst);
  if (!parsed.ok) throw new Refusal(ERRNO.EINVAL, "Invalid prefix for given prefix length");
  const family = parsed.value.family;
  const indexes = hasNextHop(route.type) ? nextHopLinks(netns, route) : [];
  if (route.src !== undefined && !netns.addresses.some((a) => a.cidr.split("/")[0] === route.src)) {
    throw new Refusal(ERRNO.EINVAL, "Invalid prefsrc address");
  }
  const existing = netns.routes.find((r) => routeKey(r.route) === routeKey(route));
  if (existing && how === "add") throw new Refusal(ERRNO.EEXIST);
  const [only] = indexes;
  const shown: Route = {
    ...route,
    dev: route.multipath || only === undefined ? undefined : netns.links.find((l) => l.index === only)?.name,
    scope: family === 4 ? (route.scope ?? defaultScope(route, family)) : "global",
    metric: route.metric || (family === 6 ? METRIC_V6 : undefined),
    table: route.table === TABLE_MAIN ? undefined : route.table,
    multipath: route.multipath?.map((hop) => ({ ...hop, weight: hop.weight ?? 1 })),
  };
  netns.routes = [...netns.routes.filter((r) => r !== existing), { route: shown, indexes }];
  emit(netns, { kind: "routeChanged", route: shown });
}

/** Indexes of the devices it goes out of; refuses next hops that the kernel would not take. */
function nextHopLinks(netns: FakeNetns, route: Route): number[] {
  if (route.multipath) return route.multipath.map((hop) => nextHopLink(netns, hop));
  return [nextHopLink(netns, { via: route.via, dev: route.dev, onlink: route.onlink })];
}

function nextHopLink(netns: FakeNetns, hop: { via?: string; dev?: string; onlink?: boolean }): number {
  const link = hop.dev === undefined ? undefined : theLink(netns, hop.dev);
  if (link && !link.up) throw new Refusal(ERRNO.ENETDOWN, "Device for nexthop is not up");
  if (hop.via === undefined) {
    if (!link) throw new Refusal(ERRNO.ENODEV, "No such device");
    return link.index;
  }
  if (hop.onlink) {
    if (!link) throw new Refusal(ERRNO.ENODEV, "Nexthop device required for onlink");
    return link.index;
  }
  if (hop.via.startsWith("fe80:") && link) return link.index;
  const oif = onSubnet(netns, hop.via, link?.index);
  if (oif === undefined) throw new Refusal(ERRNO.ENETUNREACH, "Nexthop has invalid gateway");
  return oif;
}

export function deleteRoute(netns: FakeNetns, ref: RouteRef): void {
  if (ref.dev !== undefined) theLink(netns, ref.dev);
  const found = netns.routes.find(({ route }) => matches(route, ref));
  if (!found) throw new Refusal(ERRNO.ESRCH);
  netns.routes = netns.routes.filter((r) => r !== found);
  emit(netns, { kind: "routeRemoved", route: found.route });
}

function matches(route: Route, ref: RouteRef): boolean {
  return (
    route.dst === ref.dst &&
    (route.table ?? TABLE_MAIN) === (ref.table ?? TABLE_MAIN) &&
    (ref.type === undefined || route.type === ref.type) &&
    (ref.protocol === undefined || route.protocol === ref.protocol) &&
    (ref.metric === undefined || (route.metric ?? 0) === ref.metric) &&
    (ref.dev === undefined || route.dev === ref.dev) &&
    (ref.via === undefined || route.via === ref.via)
  );
}

/** Index of the device (that one, if given) with a directly connected route to the address. */
function onSubnet(netns: FakeNetns, ip: string, index: number | undefined): number | undefined {
  const address = parseIp(ip);
  if (!address.ok) throw new Refusal(ERRNO.EINVAL, address.error);
  for (const { route, indexes } of netns.routes) {
    const [oif] = indexes;
    if (route.type !== "unicast" || route.via !== undefined || oif === undefined || (index !== undefined && oif !== index)) continue;
    const cidr = parseCidr(route.dst);
    if (cidr.ok && cidr.value.family === address.value.family && cidrContains(cidr.value, address.value)) return oif;
  }
  return undefined;
}

/** The route to the subnet of an address, which the kernel makes itself. */
export function connect(netns: FakeNetns, link: FakeLink, cidr: string): void {
  const parsed = parseCidrLoose(cidr);
  if (!parsed.ok || parsed.value.len === (parsed.value.family === 4 ? 32 : 128)) return;
  const dst = formatCidr(parsed.value);
  const route =
    parsed.value.family === 4
      ? ({ dst, type: "unicast", dev: link.name, protocol: 2, scope: "link", src: cidr.split("/")[0] } as const)
      : ({ dst, type: "unicast", dev: link.name, protocol: 2, scope: "global", metric: 256 } as const);
  if (netns.routes.some((r) => r.route.dst === dst && r.route.dev === link.name && r.route.protocol === 2)) return;
  netns.routes.push({ route, indexes: [link.index] });
  emit(netns, { kind: "routeChanged", route });
}
