/**
 * The kinds of objects in the datastore and on the bus, one row each. A new kind is a new row.
 *
 * Source: Calico API reference; etcd path segments as calico libcalico-go/lib/backend/model/resource.go.
 */

export type KindInfo = {
  readonly kind: string;
  /** The path segment of the kind's etcd keys, and the token of its bus subjects. Always lower case. */
  readonly plural: string;
  readonly namespaced: boolean;
  readonly listKind: string;
  /** False for kinds that a person cannot write through the v3 API. */
  readonly api: boolean;
};

function row<const K extends string>(kind: K, plural: string, o: { namespaced?: true; api?: false } = {}) {
  return { kind, plural, namespaced: o.namespaced ?? false, listKind: `${kind}List`, api: o.api ?? true } as const;
}

export const KINDS = {
  BGPConfiguration: row("BGPConfiguration", "bgpconfigurations"),
  BGPFilter: row("BGPFilter", "bgpfilters"),
  BGPPeer: row("BGPPeer", "bgppeers"),
  CalicoNodeStatus: row("CalicoNodeStatus", "caliconodestatuses"),
  ClusterInformation: row("ClusterInformation", "clusterinformations"),
  FelixConfiguration: row("FelixConfiguration", "felixconfigurations"),
  GlobalNetworkPolicy: row("GlobalNetworkPolicy", "globalnetworkpolicies"),
  GlobalNetworkSet: row("GlobalNetworkSet", "globalnetworksets"),
  HostEndpoint: row("HostEndpoint", "hostendpoints"),
  IPAMConfiguration: row("IPAMConfiguration", "ipamconfigurations"),
  IPPool: row("IPPool", "ippools"),
  IPReservation: row("IPReservation", "ipreservations"),
  KubeControllersConfiguration: row("KubeControllersConfiguration", "kubecontrollersconfigurations"),
  LiveMigration: row("LiveMigration", "livemigrations", { namespaced: true, api: false }),
  NetworkPolicy: row("NetworkPolicy", "networkpolicies", { namespaced: true }),
  NetworkSet: row("NetworkSet", "networksets", { namespaced: true }),
  Node: row("Node", "nodes"),
  Profile: row("Profile", "profiles"),
  StagedGlobalNetworkPolicy: row("StagedGlobalNetworkPolicy", "stagedglobalnetworkpolicies"),
  StagedKubernetesNetworkPolicy: row("StagedKubernetesNetworkPolicy", "stagedkubernetesnetworkpolicies", { namespaced: true }),
  StagedNetworkPolicy: row("StagedNetworkPolicy", "stagednetworkpolicies", { namespaced: true }),
  Tier: row("Tier", "tiers"),
  WorkloadEndpoint: row("WorkloadEndpoint", "workloadendpoints", { namespaced: true }),
  IPAMBlock: row("IPAMBlock", "ipamblocks", { api: false }),
  BlockAffinity: row("BlockAffinity", "blockaffinities", { api: false }),
  KubernetesService: row("KubernetesService", "kubernetesservice", { namespaced: true, api: false }),
  KubernetesEndpointSlice: row("KubernetesEndpointSlice", "kubernetesendpointslices", { namespaced: true, api: false }),
} as const satisfies Record<string, KindInfo>;

export type Kind = keyof typeof KINDS;

/** What names one object. `namespace` is present exactly on namespaced kinds. */
export type ObjectRef = { readonly kind: Kind; readonly namespace?: string; readonly name: string };

export const API_VERSION = "projectcalico.org/v3";

export const ALL_KINDS = Object.keys(KINDS) as readonly Kind[];

const byPlural: ReadonlyMap<string, Kind> = new Map(ALL_KINDS.map((kind) => [KINDS[kind].plural, kind]));

export function kindInfo(kind: Kind): KindInfo {
  return KINDS[kind];
}

export function isKind(text: string): text is Kind {
  return Object.hasOwn(KINDS, text);
}

/** The kind whose etcd path segment this is. */
export function kindOfPlural(plural: string): Kind | undefined {
  return byPlural.get(plural);
}

/** `Kind(name)` or `Kind(namespace/name)`, the form of Calico's error messages. */
export function formatRef(ref: ObjectRef): string {
  return `${ref.kind}(${ref.namespace === undefined ? "" : `${ref.namespace}/`}${ref.name})`;
}
