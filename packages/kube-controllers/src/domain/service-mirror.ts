/** Services and EndpointSlices as the bus carries them to the nodes: what NAT needs, nothing else, so that other changes make no noise. */
import { SERVICE_NAME_LABEL } from "@calico/model";
import type { Converted } from "./converted.ts";
import { isMap, mapOf, type RawFacts } from "./facts.ts";

const SPEC_FIELDS = [
  "type",
  "clusterIP",
  "clusterIPs",
  "externalIPs",
  "loadBalancerIP",
  "sessionAffinity",
  "sessionAffinityConfig",
  "externalTrafficPolicy",
  "internalTrafficPolicy",
  "publishNotReadyAddresses",
];
const PORT_FIELDS = ["name", "protocol", "port", "targetPort", "nodePort"];
const ENDPOINT_FIELDS = ["addresses", "conditions", "nodeName", "targetRef"];
const TARGET_FIELDS = ["kind", "namespace", "name"];

// What tells a node that a Service's NAT is somebody else's.
const MARK_LABELS = ["service.kubernetes.io/service-proxy-name"];
const MARK_ANNOTATIONS = ["projectcalico.org/natExcludeService"];

export function mirrorService({ namespace, name, labels, annotations, body }: RawFacts): Converted<"KubernetesService"> {
  const spec = mapOf(body["spec"]);
  if (spec["type"] === "ExternalName") return { kind: "unwanted" };
  const trimmed = { ...pick(spec, SPEC_FIELDS), ports: maps(spec["ports"]).map((p) => pick(p, PORT_FIELDS)) };
  const metadata = {
    namespace,
    name,
    ...marks("labels", pick(labels, MARK_LABELS)),
    ...marks("annotations", pick(annotations, MARK_ANNOTATIONS)),
  };
  return { kind: "wanted", object: { kind: "KubernetesService", metadata, spec: trimmed }, problems: [] };
}

function marks(field: "labels" | "annotations", found: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.keys(found).length === 0 ? {} : { [field]: found };
}

/** A slice of no service is nobody's. */
export function mirrorEndpointSlice({ namespace, name, labels, body }: RawFacts): Converted<"KubernetesEndpointSlice"> {
  const service = labels[SERVICE_NAME_LABEL];
  if (service === undefined) return { kind: "unwanted" };
  const endpoints = maps(body["endpoints"]).map((e) => {
    const target = isMap(e["targetRef"]) ? { targetRef: pick(e["targetRef"], TARGET_FIELDS) } : {};
    return { ...pick(e, ENDPOINT_FIELDS), ...target };
  });
  const object = {
    kind: "KubernetesEndpointSlice" as const,
    metadata: { namespace, name, labels: { [SERVICE_NAME_LABEL]: service } },
    addressType: body["addressType"],
    endpoints,
    ports: maps(body["ports"]).map((p) => pick(p, PORT_FIELDS)),
  };
  return { kind: "wanted", object, problems: [] };
}

function maps(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.filter(isMap) : [];
}

/** The named fields that are there; null is absence in Kubernetes' JSON. */
function pick(from: Readonly<Record<string, unknown>>, fields: readonly string[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(fields.filter((f) => from[f] !== undefined && from[f] !== null).map((f) => [f, from[f]]));
}
