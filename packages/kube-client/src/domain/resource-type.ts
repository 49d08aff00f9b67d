/** One resource of the Kubernetes API, as far as a URL needs to know it. */
export interface ResourceType {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

/** Any object of the API. What is inside of spec and status is the caller's to parse. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
  readonly [field: string]: unknown;
}

export interface ObjectPlace {
  readonly namespace?: string;
  readonly name?: string;
  readonly subresource?: string;
}

const of = (group: string, kind: string, plural: string, namespaced = true): ResourceType => ({
  group,
  version: "v1",
  plural,
  kind,
  namespaced,
});

/** The resources that this product reads or writes. A row more is all that another one takes. */
export const RESOURCES = {
  namespaces: of("", "Namespace", "namespaces", false),
  nodes: of("", "Node", "nodes", false),
  pods: of("", "Pod", "pods"),
  services: of("", "Service", "services"),
  serviceAccounts: of("", "ServiceAccount", "serviceaccounts"),
  endpoints: of("", "Endpoints", "endpoints"),
  configMaps: of("", "ConfigMap", "configmaps"),
  secrets: of("", "Secret", "secrets"),
  events: of("", "Event", "events"),
  endpointSlices: of("discovery.k8s.io", "EndpointSlice", "endpointslices"),
  networkPolicies: of("networking.k8s.io", "NetworkPolicy", "networkpolicies"),
  virtualMachines: of("kubevirt.io", "VirtualMachine", "virtualmachines"),
  virtualMachineInstances: of("kubevirt.io", "VirtualMachineInstance", "virtualmachineinstances"),
} as const satisfies Record<string, ResourceType>;

/** The URL path of a collection or an object: `/api/v1/namespaces/x/pods/y/status`. A namespaced collection without namespace is all of them. */
export function resourcePath(type: ResourceType, place: ObjectPlace = {}): string {
  const root = type.group === "" ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`;
  const scope = type.namespaced && place.namespace !== undefined ? `/namespaces/${encodeURIComponent(place.namespace)}` : "";
  const name = place.name === undefined ? "" : `/${encodeURIComponent(place.name)}`;
  const sub = place.subresource === undefined ? "" : `/${place.subresource}`;
  return `${root}${scope}/${type.plural}${name}${sub}`;
}

export function apiVersionOf(type: ResourceType): string {
  return type.group === "" ? type.version : `${type.group}/${type.version}`;
}
