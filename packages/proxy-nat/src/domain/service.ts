/**
 * A Service as NAT sees it, from what kube-controllers mirrors.
 *
 * Source: Kubernetes API core/v1 ServiceSpec; which services are passed over: kube-proxy (headless, ExternalName, service-proxy-name),
 * calico felix/bpf/proxy (natExcludeService).
 */
import { err, formatFieldErrors, ok, parseIp, parseResource, type Ip, type KubernetesService, type Result } from "@calico/model";

export type Protocol = "tcp" | "udp" | "sctp";

export interface ServicePort {
  /** "" when the service has one unnamed port. */
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
}

export interface Service {
  readonly clusterIps: readonly Ip[];
  readonly ports: readonly ServicePort[];
  /** Seconds for which a client keeps its endpoint; undefined without session affinity. */
  readonly affinitySec: number | undefined;
  /** internalTrafficPolicy Local: only endpoints of the client's node. */
  readonly localOnly: boolean;
}

/** Why a service has no NAT rules although nothing is wrong with it. */
export type Excluded = "headless" | "externalName" | "otherProxy" | "natExcludeService";

/** Kubernetes' default when `clientIP.timeoutSeconds` is absent: three hours. */
const DEFAULT_AFFINITY_SEC = 10_800;
const MAX_AFFINITY_SEC = 86_400;

/** The service in a bus value. The error names the field. */
export function parseService(value: unknown): Result<Service | Excluded, string> {
  const parsed = parseResource("KubernetesService", value);
  if (!parsed.ok) return err(formatFieldErrors(parsed.error));
  const excluded = exclusionOf(parsed.value);
  if (excluded !== undefined) return ok(excluded);
  const { spec } = parsed.value;
  const clusterIps: Ip[] = [];
  for (const text of addressesOf(spec)) {
    const ip = parseIp(text);
    if (!ip.ok) return err(`error with field spec.clusterIPs = '${text}' (${ip.error})`);
    clusterIps.push(ip.value);
  }
  const ports: ServicePort[] = [];
  for (const [i, p] of spec.ports.entries()) {
    if (!isPort(p.port)) return err(`error with field spec.ports[${i}].port = '${p.port}' (must be from 1 to 65535)`);
    ports.push({ name: p.name ?? "", protocol: protocolOf(p.protocol), port: p.port });
  }
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_AFFINITY_SEC;
  if (seconds < 1 || seconds > MAX_AFFINITY_SEC)
    return err(
      `error with field spec.sessionAffinityConfig.clientIP.timeoutSeconds = '${seconds}' (must be from 1 to ${MAX_AFFINITY_SEC})`,
    );
  const affinitySec = spec.sessionAffinity === "ClientIP" ? seconds : undefined;
  return ok({ clusterIps, ports, affinitySec, localOnly: spec.internalTrafficPolicy === "Local" });
}

function exclusionOf({ metadata, spec }: KubernetesService): Excluded | undefined {
  if (spec.type === "ExternalName") return "externalName";
  if (metadata.labels?.["service.kubernetes.io/service-proxy-name"] !== undefined) return "otherProxy";
  if (metadata.annotations?.["projectcalico.org/natExcludeService"] === "true") return "natExcludeService";
  const first = addressesOf(spec)[0];
  return first === undefined || first === "None" ? "headless" : undefined;
}

function addressesOf(spec: KubernetesService["spec"]): readonly string[] {
  if (spec.clusterIPs !== undefined && spec.clusterIPs.length > 0) return spec.clusterIPs;
  return spec.clusterIP === undefined || spec.clusterIP === "" ? [] : [spec.clusterIP];
}

export function isPort(port: number): boolean {
  return port >= 1 && port <= 65535;
}

export function protocolOf(protocol: "TCP" | "UDP" | "SCTP"): Protocol {
  return protocol.toLowerCase() as Protocol;
}
