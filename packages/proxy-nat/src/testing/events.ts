import type { FeedEvent } from "@calico/bus";
import { API_VERSION, keyOf, type Kind, type ObjectRef } from "@calico/model";

type Updated = Extract<FeedEvent, { kind: "updated" }>;

export interface ServiceOptions {
  readonly ip?: string | readonly string[];
  /** `80/TCP`, `dns:53/UDP`, …; default `80/TCP`. */
  readonly ports?: readonly string[];
  readonly spec?: object;
  readonly metadata?: object;
  readonly revision?: number;
}

/** A service as kube-controllers mirrors it. `id` is "namespace/name". */
export function aService(id: string, o: ServiceOptions = {}): Updated {
  const ips = typeof o.ip === "string" || o.ip === undefined ? [o.ip ?? "10.96.0.10"] : o.ip;
  const ports = (o.ports ?? ["80/TCP"]).map(portOf);
  const spec = { type: "ClusterIP", clusterIP: ips[0], clusterIPs: ips, ports, ...o.spec };
  return updated("KubernetesService", id, { metadata: o.metadata, body: { spec }, revision: o.revision });
}

export interface SliceOptions {
  readonly service?: string;
  /** `10.1.0.1`, `10.1.0.1@node`, with `!` for not ready, `~` for serving while terminating. */
  readonly endpoints?: readonly string[];
  readonly ports?: readonly string[];
  readonly revision?: number;
}

/** A slice of the service of the same name, unless `service` says another. */
export function aSlice(id: string, o: SliceOptions = {}): Updated {
  const name = o.service ?? id.split("/")[1]?.replace(/-slice.*$/, "");
  const endpoints = (o.endpoints ?? []).map(endpointOf);
  const addressType = o.endpoints?.[0]?.includes(":") ? "IPv6" : "IPv4";
  const body = { addressType, endpoints, ports: (o.ports ?? ["80/TCP"]).map(portOf) };
  return updated("KubernetesEndpointSlice", id, {
    metadata: { labels: { "kubernetes.io/service-name": name } },
    body,
    revision: o.revision,
  });
}

export function deleted(event: Updated): FeedEvent {
  return { kind: "deleted", key: event.key, ref: event.ref, revision: event.revision + 1 };
}

export function inSync(revision = 1): FeedEvent {
  return { kind: "inSync", revision };
}

function updated(kind: Kind, id: string, o: { metadata: object | undefined; body: object; revision: number | undefined }): Updated {
  const [namespace = "", name = ""] = id.split("/");
  const ref: ObjectRef = { kind, namespace, name };
  const value = { kind, apiVersion: API_VERSION, metadata: { name, namespace, ...o.metadata }, ...o.body };
  return { kind: "updated", key: keyOf(ref), ref: { ref }, value, revision: o.revision ?? 1 };
}

function portOf(text: string): object {
  const m = /^(?:([a-z0-9-]+):)?(\d+)\/(TCP|UDP|SCTP)$/.exec(text);
  if (m === null) throw new Error(`Cannot read port "${text}": expected for example "80/TCP" or "dns:53/UDP"`);
  return { ...(m[1] === undefined ? {} : { name: m[1] }), port: Number(m[2]), protocol: m[3] };
}

function endpointOf(text: string): object {
  const m = /^([0-9a-f.:]+)(?:@([a-z0-9-]+))?([!~]?)$/.exec(text);
  if (m === null) throw new Error(`Cannot read endpoint "${text}": expected for example "10.1.0.1@node1!"`);
  const conditions = m[3] === "!" ? { ready: false } : m[3] === "~" ? { ready: false, serving: true, terminating: true } : { ready: true };
  return { addresses: [m[1]], ...(m[2] === undefined ? {} : { nodeName: m[2] }), conditions };
}
