/**
 * An EndpointSlice as NAT sees it. Named target ports are already numbers here.
 *
 * Source: Kubernetes API discovery.k8s.io/v1 EndpointSlice (nil ready is true, nil serving is ready, nil terminating is false).
 */
import { err, formatFieldErrors, ok, parseIp, parseResource, SERVICE_NAME_LABEL, type Ip, type Result } from "@calico/model";
import { isPort, protocolOf, type Protocol } from "./service.ts";

export interface SliceEndpoint {
  readonly ip: Ip;
  readonly node: string | undefined;
  readonly ready: boolean;
  /** Serving while terminating: used when no endpoint is ready. */
  readonly draining: boolean;
}

export interface Slice {
  /** The name of the service, in the slice's own namespace. */
  readonly service: string;
  readonly endpoints: readonly SliceEndpoint[];
  readonly ports: readonly { readonly name: string; readonly protocol: Protocol; readonly port: number }[];
}

/** The slice in a bus value; undefined for one that belongs to no service or has host names in place of addresses. */
export function parseSlice(value: unknown): Result<Slice | undefined, string> {
  const parsed = parseResource("KubernetesEndpointSlice", value);
  if (!parsed.ok) return err(formatFieldErrors(parsed.error));
  const slice = parsed.value;
  const service = slice.metadata.labels?.[SERVICE_NAME_LABEL];
  if (service === undefined || slice.addressType === "FQDN") return ok(undefined);
  const endpoints: SliceEndpoint[] = [];
  for (const [i, endpoint] of slice.endpoints.entries()) {
    const ready = endpoint.conditions?.ready ?? true;
    const draining = (endpoint.conditions?.terminating ?? false) && (endpoint.conditions?.serving ?? ready);
    for (const text of endpoint.addresses) {
      const ip = parseIp(text);
      if (!ip.ok) return err(`error with field endpoints[${i}].addresses = '${text}' (${ip.error})`);
      endpoints.push({ ip: ip.value, node: endpoint.nodeName, ready, draining });
    }
  }
  const ports: { name: string; protocol: Protocol; port: number }[] = [];
  for (const [i, p] of slice.ports.entries()) {
    if (p.port === undefined) continue;
    if (!isPort(p.port)) return err(`error with field ports[${i}].port = '${p.port}' (must be from 1 to 65535)`);
    ports.push({ name: p.name ?? "", protocol: protocolOf(p.protocol), port: p.port });
  }
  return ok({ service, endpoints, ports });
}
