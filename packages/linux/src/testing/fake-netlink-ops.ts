/** What the fake kernel does for each change, and when it refuses. */
import { formatCidr, parseCidrLoose, parseIp } from "@calico/model";
import { ERRNO } from "../domain/errno.ts";
import type { FdbEntry, Neighbour, NetlinkOp, Rule } from "../ports.ts";
import { emit } from "./fake-kernel.ts";
import type { FakeKernel, FakeLink, FakeNetns } from "./fake-kernel.ts";
import { addLink, deleteLink, setLink } from "./fake-links.ts";
import { connect, deleteRoute, writeRoute } from "./fake-routes.ts";
import { Refusal, theLink } from "./refusal.ts";

export { Refusal } from "./refusal.ts";

export function applyFakeOp(kernel: FakeKernel, netns: FakeNetns, op: NetlinkOp): void {
  switch (op.do) {
    case "addLink":
      return addLink(kernel, netns, op.spec);
    case "setLink":
      return setLink(kernel, netns, op.link, op.set);
    case "deleteLink":
      return deleteLink(netns, op.link);
    case "replaceAddress":
      return replaceAddress(netns, op.link, op.cidr, op);
    case "deleteAddress":
      return deleteAddress(netns, op.link, op.cidr);
    case "addRoute":
      return writeRoute(netns, op.route, "add");
    case "replaceRoute":
      return writeRoute(netns, op.route, "replace");
    case "deleteRoute":
      return deleteRoute(netns, op.route);
    case "replaceNeighbour":
      return replaceNeighbour(netns, op.neighbour);
    case "deleteNeighbour":
      return deleteNeighbour(netns, op.neighbour);
    case "replaceFdb":
      return replaceFdb(netns, op.entry);
    case "deleteFdb":
      return deleteFdb(netns, op.entry);
    case "addRule":
      return addRule(netns, op.rule);
    case "deleteRule":
      return deleteRule(netns, op.rule);
  }
}

function replaceAddress(netns: FakeNetns, name: string, cidr: string, options: { scope?: FakeNetns["addresses"][number]["scope"] }): void {
  const link = theLink(netns, name);
  const parsed = parseCidrLoose(cidr);
  if (!parsed.ok) throw new Refusal(ERRNO.EINVAL, parsed.error);
  const text = cidr.includes("/") ? cidr : `${cidr}/${parsed.value.len}`;
  const scope = options.scope ?? "global";
  netns.addresses = [...netns.addresses.filter((a) => a.index !== link.index || a.cidr !== text), { index: link.index, cidr: text, scope }];
  emit(netns, { kind: "addressChanged", address: { link: name, cidr: text, scope } });
  if (link.up) connect(netns, link, text);
}

function deleteAddress(netns: FakeNetns, name: string, cidr: string): void {
  const link = theLink(netns, name);
  const text = cidr.includes("/") ? cidr : `${cidr}/${cidr.includes(":") ? 128 : 32}`;
  const found = netns.addresses.find((a) => a.index === link.index && a.cidr === text);
  if (!found) throw new Refusal(ERRNO.EADDRNOTAVAIL, "Address not found");
  netns.addresses = netns.addresses.filter((a) => a !== found);
  emit(netns, { kind: "addressRemoved", address: { link: name, cidr: text, scope: found.scope } });
  const ip = text.split("/")[0] ?? "";
  const connected = parseCidrLoose(text);
  for (const gone of netns.routes.filter(
    ({ route, indexes }) =>
      indexes.includes(link.index) &&
      (route.src === ip || (route.protocol === 2 && connected.ok && route.dst === formatCidr(connected.value))),
  )) {
    netns.routes = netns.routes.filter((r) => r !== gone);
    emit(netns, { kind: "routeRemoved", route: gone.route });
  }
}

function replaceNeighbour(netns: FakeNetns, entry: Neighbour): void {
  const link = theLink(netns, entry.link);
  if (!parseIp(entry.ip).ok) throw new Refusal(ERRNO.EINVAL, `no address: ${entry.ip}`);
  const state = entry.proxy ? "none" : (entry.state ?? "permanent");
  if (!entry.proxy && entry.mac === undefined && (state === "permanent" || state === "reachable" || state === "stale")) {
    throw new Refusal(ERRNO.EINVAL, "No link layer address given");
  }
  netns.neighbours = [...netns.neighbours.filter((n) => !sameNeighbour(n, link, entry)), { ...entry, state, index: link.index }];
}

function deleteNeighbour(netns: FakeNetns, entry: Pick<Neighbour, "link" | "ip" | "proxy">): void {
  const link = theLink(netns, entry.link);
  const rest = netns.neighbours.filter((n) => !sameNeighbour(n, link, entry));
  if (rest.length === netns.neighbours.length) throw new Refusal(ERRNO.ENOENT);
  netns.neighbours = rest;
}

function sameNeighbour(n: FakeNetns["neighbours"][number], link: FakeLink, entry: Pick<Neighbour, "ip" | "proxy">): boolean {
  return n.index === link.index && n.ip === entry.ip && (n.proxy === true) === (entry.proxy === true);
}

function replaceFdb(netns: FakeNetns, entry: FdbEntry): void {
  const link = theLink(netns, entry.link);
  if (link.kind !== "vxlan" && link.kind !== "bridge")
    throw new Refusal(ERRNO.EOPNOTSUPP, "the fake keeps FDB entries of vxlan and bridge only");
  const mac = entry.mac.toLowerCase();
  const rest = netns.fdb.filter((e) => e.index !== link.index || e.mac !== mac);
  netns.fdb = [...rest, { ...entry, mac, state: entry.state ?? "permanent", index: link.index }];
}

function deleteFdb(netns: FakeNetns, entry: Pick<FdbEntry, "link" | "mac" | "dst">): void {
  const link = theLink(netns, entry.link);
  const mac = entry.mac.toLowerCase();
  const found = netns.fdb.find((e) => e.index === link.index && e.mac === mac && (entry.dst === undefined || e.dst === entry.dst));
  if (!found) throw new Refusal(ERRNO.ENOENT);
  netns.fdb = netns.fdb.filter((e) => e !== found);
}

function addRule(netns: FakeNetns, rule: Rule): void {
  if (netns.rules.some((r) => ruleKey(r) === ruleKey(rule))) throw new Refusal(ERRNO.EEXIST);
  netns.rules = [...netns.rules, rule].sort((a, b) => a.priority - b.priority);
}

function deleteRule(netns: FakeNetns, rule: Rule): void {
  const rest = netns.rules.filter((r) => ruleKey(r) !== ruleKey(rule));
  if (rest.length === netns.rules.length) throw new Refusal(ERRNO.ENOENT);
  netns.rules = rest;
}

function ruleKey(r: Rule): string {
  return JSON.stringify([
    r.family,
    r.priority,
    r.table,
    r.src,
    r.dst,
    r.iif,
    r.mark,
    r.mark === undefined ? undefined : (r.mask ?? 0xffffffff),
  ]);
}
