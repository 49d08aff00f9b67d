/** Defaults that the real API server fills in, one function per kind that has some. Source: Kubernetes pkg/apis/core/v1/defaults.go and its siblings. */
import { type ApiObject, isMap, type Json, type JsonMap, mapsAt } from "./api-object.ts";

type Fill = (object: ApiObject) => ApiObject;

const FILLS: Readonly<Record<string, Fill>> = {
  Namespace: (o) => ({
    ...o,
    metadata: { ...o.metadata, labels: { ...o.metadata.labels, "kubernetes.io/metadata.name": o.metadata.name } },
    spec: { finalizers: ["kubernetes"], ...section(o, "spec") },
    status: { phase: "Active", ...section(o, "status") },
  }),
  Node: (o) => ({ ...o, spec: section(o, "spec"), status: section(o, "status") }),
  Pod: (o) => ({ ...o, spec: podSpec(section(o, "spec")), status: { phase: "Pending", qosClass: qosClass(o), ...section(o, "status") } }),
  Service: (o) => ({ ...o, spec: serviceSpec(section(o, "spec")), status: { loadBalancer: {}, ...section(o, "status") } }),
  Secret: (o) => {
    const { stringData, ...rest } = o;
    const plain = isMap(stringData) ? Object.entries(stringData).map(([k, v]) => [k, base64(String(v))]) : [];
    return { type: "Opaque", ...rest, data: { ...section(o, "data"), ...Object.fromEntries(plain) } };
  },
  EndpointSlice: (o) => ({
    ...o,
    endpoints: mapsAt(o, "endpoints"),
    ports: mapsAt(o, "ports").map((p) => ({ name: "", protocol: "TCP", ...p })),
  }),
  NetworkPolicy: (o) => ({ ...o, spec: policySpec(section(o, "spec")) }),
};

/** The object with its kind's defaults. Applying it again changes nothing. */
export function fillDefaults(object: ApiObject): ApiObject {
  return FILLS[object.kind]?.(object) ?? object;
}

function section(o: ApiObject, name: string): JsonMap {
  const value = o[name];
  return isMap(value) ? value : {};
}

function podSpec(spec: JsonMap): JsonMap {
  const account = spec["serviceAccountName"] ?? spec["serviceAccount"] ?? "default";
  const host = spec["hostNetwork"] === true;
  const all = (field: string) => {
    const list = mapsAt(spec, field);
    return list.length === 0 ? {} : { [field]: list.map((c) => container(c, host)) };
  };
  return {
    restartPolicy: "Always",
    terminationGracePeriodSeconds: 30,
    dnsPolicy: "ClusterFirst",
    securityContext: {},
    schedulerName: "default-scheduler",
    enableServiceLinks: true,
    ...spec,
    serviceAccountName: account,
    serviceAccount: account,
    ...all("initContainers"),
    ...all("containers"),
  };
}

function container(c: JsonMap, hostNetwork: boolean): JsonMap {
  const image = typeof c["image"] === "string" ? c["image"] : "";
  const moving = !/[:@][^/]*$/.test(image) || image.endsWith(":latest");
  const ports = mapsAt(c, "ports").map((p) => ({
    protocol: "TCP",
    ...p,
    ...(hostNetwork ? { hostPort: p["containerPort"] ?? null } : {}),
  }));
  return {
    resources: {},
    terminationMessagePath: "/dev/termination-log",
    terminationMessagePolicy: "File",
    imagePullPolicy: moving ? "Always" : "IfNotPresent",
    ...c,
    ...(ports.length === 0 ? {} : { ports }),
  };
}

function qosClass(o: ApiObject): string {
  const asks = mapsAt(o, "spec.containers").flatMap((c) => (isMap(c["resources"]) ? Object.keys(c["resources"]) : []));
  return asks.length === 0 ? "BestEffort" : "Burstable";
}

function serviceSpec(spec: JsonMap): JsonMap {
  const ports = mapsAt(spec, "ports").map((p) => ({ protocol: "TCP", targetPort: p["port"] ?? null, ...p }));
  const external = spec["type"] === "ExternalName";
  return {
    type: "ClusterIP",
    sessionAffinity: "None",
    ...(external ? {} : { internalTrafficPolicy: "Cluster", ipFamilies: ["IPv4"], ipFamilyPolicy: "SingleStack" }),
    ...(spec["type"] === "NodePort" || spec["type"] === "LoadBalancer" ? { externalTrafficPolicy: "Cluster" } : {}),
    ...spec,
    ...(ports.length === 0 ? {} : { ports }),
  };
}

function policySpec(spec: JsonMap): JsonMap {
  const rules = (field: string) => {
    const list = spec[field];
    if (!Array.isArray(list)) return {};
    return {
      [field]: (list as readonly Json[]).map((r) =>
        isMap(r) && Array.isArray(r["ports"]) ? { ...r, ports: mapsAt(r, "ports").map(tcp) } : r,
      ),
    };
  };
  const types = Array.isArray(spec["egress"]) && spec["egress"].length > 0 ? ["Ingress", "Egress"] : ["Ingress"];
  return { podSelector: {}, policyTypes: types, ...spec, ...rules("ingress"), ...rules("egress") };
}

const tcp = (port: JsonMap): JsonMap => ({ protocol: "TCP", ...port });

function base64(text: string): string {
  return btoa(Array.from(new TextEncoder().encode(text), (b) => String.fromCharCode(b)).join(""));
}
