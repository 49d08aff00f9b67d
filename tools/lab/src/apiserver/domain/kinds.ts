/** The kinds that the server serves. A row more is all that another plain kind takes. */
export interface ApiKind {
  readonly group: string;
  /** Served versions, the stored one first. */
  readonly versions: readonly string[];
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly namespaced: boolean;
  readonly categories: readonly string[];
  readonly subresources: readonly string[];
  /** Dotted paths that a field selector may name, beside metadata.name and metadata.namespace. */
  readonly fields: readonly string[];
}

type Extra = Partial<Pick<ApiKind, "group" | "versions" | "shortNames" | "namespaced" | "categories" | "subresources" | "fields">>;

const row = (kind: string, plural: string, extra: Extra = {}): ApiKind => ({
  group: "",
  versions: ["v1"],
  kind,
  plural,
  singular: kind.toLowerCase(),
  shortNames: [],
  namespaced: true,
  categories: [],
  subresources: [],
  fields: [],
  ...extra,
});

const EVENT_FIELDS = [
  ...["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"].map((f) => `involvedObject.${f}`),
  "reason",
  "source",
  "type",
];

export const KINDS: readonly ApiKind[] = [
  row("Namespace", "namespaces", { shortNames: ["ns"], namespaced: false, subresources: ["status", "finalize"], fields: ["status.phase"] }),
  row("Node", "nodes", { shortNames: ["no"], namespaced: false, subresources: ["status"], fields: ["spec.unschedulable"] }),
  row("Pod", "pods", {
    shortNames: ["po"],
    categories: ["all"],
    subresources: ["status", "binding"],
    fields: ["spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "status.phase", "status.podIP"],
  }),
  row("Service", "services", {
    shortNames: ["svc"],
    categories: ["all"],
    subresources: ["status"],
    fields: ["spec.clusterIP", "spec.type"],
  }),
  row("ServiceAccount", "serviceaccounts", { shortNames: ["sa"] }),
  row("Endpoints", "endpoints", { shortNames: ["ep"] }),
  row("ConfigMap", "configmaps", { shortNames: ["cm"] }),
  row("Secret", "secrets", { fields: ["type"] }),
  row("Event", "events", { shortNames: ["ev"], fields: EVENT_FIELDS }),
  row("EndpointSlice", "endpointslices", { group: "discovery.k8s.io", versions: ["v1", "v1beta1"] }),
  row("NetworkPolicy", "networkpolicies", { group: "networking.k8s.io", shortNames: ["netpol"], subresources: ["status"] }),
  row("VirtualMachine", "virtualmachines", { group: "kubevirt.io", shortNames: ["vm"], subresources: ["status"] }),
  row("VirtualMachineInstance", "virtualmachineinstances", { group: "kubevirt.io", shortNames: ["vmi"], subresources: ["status"] }),
];

/** Subresources that real servers have on pods and that kubectl may ask for; answered with 501 and the reason. */
export const POD_SUBRESOURCES_REFUSED: readonly string[] = [
  "log",
  "exec",
  "attach",
  "portforward",
  "proxy",
  "eviction",
  "ephemeralcontainers",
];

/** Verbs as discovery names them. */
export const VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"] as const;

export function kindFor(group: string, version: string, plural: string): ApiKind | undefined {
  return KINDS.find((k) => k.group === group && k.plural === plural && k.versions.includes(version));
}

export function kindNamed(kind: string): ApiKind {
  const found = KINDS.find((k) => k.kind === kind);
  if (found === undefined) throw new Error(`Cannot find kind "${kind}" in the table of kinds`);
  return found;
}

export function groupVersion(group: string, version: string): string {
  return group === "" ? version : `${group}/${version}`;
}

/** Where an object, a namespace's objects, or all objects of a kind are in etcd. */
export function storageKey(kind: ApiKind, place: { readonly namespace?: string; readonly name?: string }): string {
  const scope = kind.namespaced && place.namespace !== undefined ? `${place.namespace}/` : "";
  return `/registry/${kind.plural}/${scope}${place.name ?? ""}`;
}
