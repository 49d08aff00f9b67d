/** ClusterIPs and node ports of Services: which one a Service gets, and which reservations it holds. Pure. */
import { type Cidr, cidrContains, cidrSize, formatIp, nthIp, parseIp } from "@calico/model";
import { type ApiObject, isMap, type JsonMap, mapsAt, textAt } from "./api-object.ts";

const NODE_PORTS = { from: 30000, to: 32767 };

/** What a Service occupies. Each is a key of its own in the store, so that two Services cannot both have it. */
export interface Reservations {
  readonly ips: readonly string[];
  readonly nodePorts: readonly number[];
}

export function reservationsOf(service: ApiObject | undefined): Reservations {
  if (service === undefined) return { ips: [], nodePorts: [] };
  const ip = textAt(service, "spec.clusterIP");
  const nodePorts = mapsAt(service, "spec.ports").flatMap((p) => (typeof p["nodePort"] === "number" ? [p["nodePort"]] : []));
  return { ips: ip === "" || ip === "None" ? [] : [ip], nodePorts: [...new Set(nodePorts)] };
}

/**
 * A free address: from above the part of the range that is left to fixed choices, then from that part. The network's own and last addresses are not given.
 *
 * Source: Kubernetes documentation, "Service ClusterIP allocation" (lower band min(max(16, size/16), 256)).
 */
export function pickClusterIp(range: Cidr, taken: ReadonlySet<string>): string | undefined {
  const size = Number(cidrSize(range) > 65536n ? 65536n : cidrSize(range));
  const band = Math.min(Math.max(16, Math.floor(size / 16)), 256, size - 2);
  for (let i = 0; i < size - 2; i++) {
    const offset = 1 + ((band + i) % (size - 2));
    const ip = formatIp(nthIp(range, offset));
    if (!taken.has(ip)) return ip;
  }
  return undefined;
}

/** The text of the reason why a Service may not ask for this address, or undefined. */
export function clusterIpProblem(range: Cidr, asked: string): string | undefined {
  if (asked === "" || asked === "None") return undefined;
  const ip = parseIp(asked);
  if (!ip.ok) return "must be a valid IP address";
  return cidrContains(range, ip.value) ? undefined : "the provided IP is not in the valid range";
}

/** Give a Service the address that it needs; one that it had, it keeps. */
export function withClusterIp(service: ApiObject, pick: () => string): ApiObject {
  const spec: JsonMap = isMap(service["spec"]) ? service["spec"] : {};
  if (spec["type"] === "ExternalName") {
    const { clusterIP: _ip, clusterIPs: _ips, ...rest } = spec;
    return { ...service, spec: rest };
  }
  const ip = textAt(service, "spec.clusterIP") || pick();
  return { ...service, spec: { ...spec, clusterIP: ip, clusterIPs: [ip] } };
}

/** Give each port of a NodePort or LoadBalancer Service its node port. */
export function withNodePorts(service: ApiObject, taken: ReadonlySet<number>): ApiObject {
  const spec: JsonMap = isMap(service["spec"]) ? service["spec"] : {};
  const ports = mapsAt(service, "spec.ports");
  if (ports.length === 0) return service;
  if (spec["type"] !== "NodePort" && spec["type"] !== "LoadBalancer")
    return { ...service, spec: { ...spec, ports: ports.map(({ nodePort: _p, ...rest }) => rest) } };
  const used = new Set(taken);
  for (const p of ports) if (typeof p["nodePort"] === "number") used.add(p["nodePort"]);
  const next = () => {
    for (let port = NODE_PORTS.from; port <= NODE_PORTS.to; port++) if (!used.has(port) && used.add(port)) return port;
    throw new Error(`Cannot give Service ${service.metadata.name} a node port: ${NODE_PORTS.from}-${NODE_PORTS.to} are all in use`);
  };
  return { ...service, spec: { ...spec, ports: ports.map((p) => (typeof p["nodePort"] === "number" ? p : { ...p, nodePort: next() })) } };
}

/** An update that does not say the address keeps it; the type alone decides whether there is one. */
export function carryClusterIp(old: ApiObject, next: ApiObject): ApiObject {
  const had = textAt(old, "spec.clusterIP");
  const spec: JsonMap = isMap(next["spec"]) ? next["spec"] : {};
  if (had === "" || textAt(next, "spec.clusterIP") !== "" || spec["type"] === "ExternalName") return next;
  return { ...next, spec: { ...spec, clusterIP: had, clusterIPs: [had] } };
}
