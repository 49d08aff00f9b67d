/** One change of a batch: to octets, and to words for errors. */
import type { NetlinkOp, RouteRef } from "../ports.ts";
import { encodeDeleteAddress, encodeReplaceAddress } from "./address.ts";
import { encodeAddLink, encodeDeleteLink, encodeSetLink } from "./link.ts";
import { encodeDeleteFdb, encodeDeleteNeighbour, encodeReplaceFdb, encodeReplaceNeighbour } from "./neighbour.ts";
import type { Resolve } from "./resolve.ts";
import { encodeDeleteRoute, encodeWriteRoute } from "./route.ts";
import { encodeAddRule, encodeDeleteRule } from "./rule.ts";

export function encodeOp(op: NetlinkOp, resolve: Resolve): Uint8Array {
  switch (op.do) {
    case "addLink":
      return encodeAddLink(op.spec, resolve);
    case "setLink":
      return encodeSetLink(op.link, op.set, resolve);
    case "deleteLink":
      return encodeDeleteLink(resolve.index(op.link));
    case "replaceAddress":
      return encodeReplaceAddress(op.link, op.cidr, op, resolve);
    case "deleteAddress":
      return encodeDeleteAddress(op.link, op.cidr, resolve);
    case "addRoute":
      return encodeWriteRoute(op.route, "add", resolve);
    case "replaceRoute":
      return encodeWriteRoute(op.route, "replace", resolve);
    case "deleteRoute":
      return encodeDeleteRoute(op.route, resolve);
    case "replaceNeighbour":
      return encodeReplaceNeighbour(op.neighbour, resolve);
    case "deleteNeighbour":
      return encodeDeleteNeighbour(op.neighbour, resolve);
    case "replaceFdb":
      return encodeReplaceFdb(op.entry, resolve);
    case "deleteFdb":
      return encodeDeleteFdb(op.entry, resolve);
    case "addRule":
      return encodeAddRule(op.rule);
    case "deleteRule":
      return encodeDeleteRule(op.rule);
  }
}

/** Whether names and indexes of devices may be different after it. */
export function changesLinkNames(op: NetlinkOp): boolean {
  return op.do === "addLink" || op.do === "deleteLink" || op.do === "setLink";
}

/** The operation in words, as error messages name it. */
export function describeOp(op: NetlinkOp): string {
  switch (op.do) {
    case "addLink":
      return `add ${op.spec.kind} link ${op.spec.name}`;
    case "setLink":
      return `set ${Object.entries(op.set)
        .map(([what, value]) => `${what}=${value}`)
        .join(" ")} on link ${op.link}`;
    case "deleteLink":
      return `delete link ${op.link}`;
    case "replaceAddress":
    case "deleteAddress":
      return `${op.do === "deleteAddress" ? "delete" : "replace"} address ${op.cidr} on link ${op.link}`;
    case "addRoute":
    case "replaceRoute":
    case "deleteRoute":
      return `${op.do.slice(0, -"Route".length)} route ${describeRoute(op.route)}`;
    case "replaceNeighbour":
    case "deleteNeighbour":
      return `${op.do.slice(0, -"Neighbour".length)} neighbour ${op.neighbour.ip} on link ${op.neighbour.link}`;
    case "replaceFdb":
    case "deleteFdb":
      return `${op.do.slice(0, -"Fdb".length)} FDB entry ${op.entry.mac} on link ${op.entry.link}`;
    case "addRule":
    case "deleteRule":
      return `${op.do.slice(0, -"Rule".length)} IPv${op.rule.family} rule ${op.rule.priority} to table ${op.rule.table}`;
  }
}

/** A route as `ip route` prints it. */
export function describeRoute(route: RouteRef): string {
  const words = [route.type === undefined || route.type === "unicast" ? "" : route.type, route.dst];
  if (route.via !== undefined) words.push("via", route.via);
  if (route.dev !== undefined) words.push("dev", route.dev);
  for (const hop of route.multipath ?? []) words.push("nexthop", ...(hop.via === undefined ? [] : ["via", hop.via]), "dev", hop.dev);
  if (route.protocol !== undefined) words.push("proto", String(route.protocol));
  if (route.table !== undefined) words.push("table", String(route.table));
  if (route.metric !== undefined) words.push("metric", String(route.metric));
  if (route.onlink) words.push("onlink");
  return words.filter((word) => word !== "").join(" ");
}

/** What to do about a refusal whose errno alone does not say it. */
export function hintFor(op: NetlinkOp, code: string): string | undefined {
  if (op.do === "addLink" && code === "EOPNOTSUPP")
    return `this kernel has no device of kind ${op.spec.kind}; load its module, or do without`;
  if (code === "EPERM") return "needs CAP_NET_ADMIN in that network namespace";
  return undefined;
}
