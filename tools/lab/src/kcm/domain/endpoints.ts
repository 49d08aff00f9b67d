/** A Service and its pods → EndpointSlices and the older Endpoints. Source: Kubernetes documentation, "EndpointSlices"; pkg/controller/endpointslice. */
import type { KubeObject } from "@calico/kube-client";
import { hasCondition, isFinished, type JsonMap, mapAt, mapsOf, selects, textOf } from "./kube-read.ts";

export const MANAGED_BY = { label: "endpointslice.kubernetes.io/managed-by", value: "endpointslice-controller.k8s.io" } as const;
export const SERVICE_LABEL = "kubernetes.io/service-name";
const MAX_PER_SLICE = 100;

interface ResolvedPort {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
}

interface PodEndpoint {
  readonly endpoint: JsonMap;
  readonly ip: string;
  readonly ready: boolean;
  readonly ports: readonly ResolvedPort[];
}

/** A Service whose endpoints are made here: it has a selector. */
export function isSelecting(service: KubeObject): boolean {
  const spec = mapAt(service, "spec");
  return textOf(spec, "type") !== "ExternalName" && Object.keys(mapAt(spec, "selector")).length > 0;
}

/** The slices of a Service, IPv4 and IPv6 apart, named by number so that the same input gives the same objects. */
export function deriveSlices(service: KubeObject, pods: Iterable<KubeObject>): readonly KubeObject[] {
  const groups = new Map<string, PodEndpoint[]>();
  for (const one of endpointsOf(service, pods)) {
    const key = JSON.stringify([one.ip.includes(":") ? "IPv6" : "IPv4", one.ports]);
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  const slices: KubeObject[] = [];
  for (const [key, members] of [...groups].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    for (let i = 0; i < members.length; i += MAX_PER_SLICE) {
      const [addressType, ports] = JSON.parse(key) as [string, ResolvedPort[]];
      slices.push(
        sliceOf(service, slices.length, { addressType, ports, endpoints: members.slice(i, i + MAX_PER_SLICE).map((m) => m.endpoint) }),
      );
    }
  }
  return slices.length > 0 ? slices : [sliceOf(service, 0, { addressType: "IPv4", ports: [], endpoints: [] })];
}

function sliceOf(
  service: KubeObject,
  index: number,
  body: { addressType: string; ports: readonly ResolvedPort[]; endpoints: readonly JsonMap[] },
): KubeObject {
  const { name, namespace, uid } = service.metadata;
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${name}-${index}`,
      ...(namespace === undefined ? {} : { namespace }),
      labels: { [SERVICE_LABEL]: name, [MANAGED_BY.label]: MANAGED_BY.value },
      ownerReferences: [{ apiVersion: "v1", kind: "Service", name, uid, controller: true, blockOwnerDeletion: true }],
    },
    ...body,
  };
}

/** The Endpoints object of a Service, which older tools (and kubectl describe) still read. */
export function deriveEndpoints(service: KubeObject, pods: Iterable<KubeObject>): KubeObject {
  const groups = new Map<string, PodEndpoint[]>();
  for (const one of endpointsOf(service, pods)) {
    const key = JSON.stringify(one.ports);
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  const addresses = (members: readonly PodEndpoint[]) =>
    members.map(({ ip, endpoint }) => ({ ip, nodeName: endpoint["nodeName"], targetRef: endpoint["targetRef"] }));
  const subsets = [...groups]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, members]) => {
      const [ready, not] = [members.filter((m) => m.ready), members.filter((m) => !m.ready)];
      return {
        ...(ready.length === 0 ? {} : { addresses: addresses(ready) }),
        ...(not.length === 0 ? {} : { notReadyAddresses: addresses(not) }),
        ports: JSON.parse(key) as ResolvedPort[],
      };
    });
  const { name, namespace } = service.metadata;
  return { apiVersion: "v1", kind: "Endpoints", metadata: { name, ...(namespace === undefined ? {} : { namespace }) }, subsets };
}

function endpointsOf(service: KubeObject, pods: Iterable<KubeObject>): readonly PodEndpoint[] {
  const spec = mapAt(service, "spec");
  const early = spec["publishNotReadyAddresses"] === true;
  const mine = [...pods].filter(
    (p) => p.metadata.namespace === service.metadata.namespace && !isFinished(p) && selects(mapAt(spec, "selector"), p.metadata.labels),
  );
  return mine
    .toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
    .flatMap((pod) => {
      const ips = podIps(pod);
      const ports = resolvePorts(mapsOf(spec, "ports"), pod);
      if (mapsOf(spec, "ports").length > 0 && ports.length === 0) return [];
      return ips.map((ip) => endpointOf(pod, { ip, ports, early }));
    });
}

function endpointOf(pod: KubeObject, { ip, ports, early }: { ip: string; ports: readonly ResolvedPort[]; early: boolean }): PodEndpoint {
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const serving = hasCondition(pod, "Ready");
  const ready = early || (serving && !terminating);
  const { name, namespace, uid } = pod.metadata;
  const nodeName = textOf(mapAt(pod, "spec"), "nodeName");
  const endpoint = {
    addresses: [ip],
    conditions: { ready, serving, terminating },
    targetRef: { kind: "Pod", name, namespace, uid },
    ...(nodeName === "" ? {} : { nodeName }),
  };
  return { endpoint, ip, ready, ports };
}

function podIps(pod: KubeObject): readonly string[] {
  const status = mapAt(pod, "status");
  const many = mapsOf(status, "podIPs")
    .map((p) => textOf(p, "ip"))
    .filter((ip) => ip !== "");
  const one = textOf(status, "podIP");
  return many.length > 0 ? many : one === "" ? [] : [one];
}

/** A target port by number, or by the name that a container of the pod gives one; a name that the pod has not leaves the port out. */
function resolvePorts(ports: readonly JsonMap[], pod: KubeObject): readonly ResolvedPort[] {
  const named = mapsOf(mapAt(pod, "spec"), "containers").flatMap((c) => mapsOf(c, "ports"));
  return ports.flatMap((p) => {
    const protocol = textOf(p, "protocol") || "TCP";
    const target = p["targetPort"] ?? p["port"];
    const found =
      typeof target === "number"
        ? target
        : named.find((n) => n["name"] === target && (n["protocol"] ?? "TCP") === protocol)?.["containerPort"];
    return typeof found === "number" ? [{ name: textOf(p, "name"), port: found, protocol }] : [];
  });
}
