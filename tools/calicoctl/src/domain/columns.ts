/** What a cell of `get` shows, by heading. Source: calico calicoctl/calicoctl/resourcemgr (heading templates). */
import type { AnyApiObject, ApiKind, Resource } from "@calico/model";

/** What cells need besides the object. */
export type ColumnContext = { readonly defaultAsNumber: number };
type Cell<K extends ApiKind> = (object: Resource<K>, context: ColumnContext) => unknown;
type Columns<K extends ApiKind> = Readonly<Record<string, Cell<K>>>;

const policyColumns: Columns<"NetworkPolicy" | "GlobalNetworkPolicy" | "StagedNetworkPolicy" | "StagedGlobalNetworkPolicy"> = {
  TIER: ({ spec }) => spec.tier,
  ORDER: ({ spec }) => spec.order,
  SELECTOR: ({ spec }) => spec.selector,
};

const setColumns: Columns<"NetworkSet" | "GlobalNetworkSet"> = { NETS: ({ spec }) => truncate(joined(spec.nets), 80) };

const COLUMNS: { readonly [K in ApiKind]: Columns<K> } = {
  BGPConfiguration: {
    LOGSEVERITY: ({ spec }) => spec.logSeverityScreen,
    MESHENABLED: ({ spec }) => spec.nodeToNodeMeshEnabled ?? "-",
    ASNUMBER: ({ spec }) => spec.asNumber ?? "-",
  },
  BGPFilter: {
    NUMEXPORTV4: ({ spec }) => spec.exportV4?.length ?? 0,
    NUMIMPORTV4: ({ spec }) => spec.importV4?.length ?? 0,
    NUMEXPORTV6: ({ spec }) => spec.exportV6?.length ?? 0,
    NUMIMPORTV6: ({ spec }) => spec.importV6?.length ?? 0,
  },
  BGPPeer: {
    PEERIP: ({ spec }) => spec.peerIP,
    NODE: ({ spec }) => spec.node || spec.nodeSelector || "(global)",
    ASN: ({ spec }) => spec.asNumber ?? 0,
  },
  CalicoNodeStatus: { NODE: ({ spec }) => spec.node, CLASSES: ({ spec }) => joined(spec.classes) },
  ClusterInformation: {
    CLUSTERGUID: ({ spec }) => spec.clusterGUID,
    CLUSTERTYPE: ({ spec }) => spec.clusterType,
    CALICOVERSION: ({ spec }) => spec.calicoVersion,
    DATASTOREREADY: ({ spec }) => spec.datastoreReady,
  },
  FelixConfiguration: {},
  GlobalNetworkPolicy: policyColumns,
  GlobalNetworkSet: setColumns,
  HostEndpoint: {
    NODE: ({ spec }) => spec.node,
    INTERFACE: ({ spec }) => spec.interfaceName,
    IPS: ({ spec }) => joined(spec.expectedIPs),
    PROFILES: ({ spec }) => joined(spec.profiles),
  },
  IPAMConfiguration: {
    STRICTAFFINITY: ({ spec }) => spec.strictAffinity,
    AUTOALLOCATEBLOCKS: ({ spec }) => spec.autoAllocateBlocks,
    MAXBLOCKSPERHOST: ({ spec }) => spec.maxBlocksPerHost,
  },
  IPPool: {
    CIDR: ({ spec }) => spec.cidr,
    NAT: ({ spec }) => spec.natOutgoing,
    IPIPMODE: ({ spec }) => spec.ipipMode,
    VXLANMODE: ({ spec }) => spec.vxlanMode,
    DISABLED: ({ spec }) => spec.disabled,
    DISABLEBGPEXPORT: ({ spec }) => spec.disableBGPExport,
    SELECTOR: ({ spec }) => spec.nodeSelector,
    ASSIGNMENTMODE: ({ spec }) => spec.assignmentMode,
  },
  IPReservation: { CIDRS: ({ spec }) => truncate(joined(spec.reservedCIDRs), 80) },
  KubeControllersConfiguration: {},
  NetworkPolicy: policyColumns,
  NetworkSet: setColumns,
  Node: {
    ASN: ({ spec }, { defaultAsNumber }) => (spec.bgp === undefined ? "" : (spec.bgp.asNumber ?? `(${defaultAsNumber})`)),
    IPV4: ({ spec }) => spec.bgp?.ipv4Address,
    IPV6: ({ spec }) => spec.bgp?.ipv6Address,
  },
  Profile: { LABELS: ({ spec }) => joined(Object.entries(spec.labelsToApply ?? {}).map(([key, value]) => `${key}=${value}`)) },
  StagedGlobalNetworkPolicy: policyColumns,
  StagedKubernetesNetworkPolicy: { PODSELECTOR: ({ spec }) => (spec.podSelector === undefined ? "" : JSON.stringify(spec.podSelector)) },
  StagedNetworkPolicy: policyColumns,
  Tier: { ORDER: ({ spec }) => spec.order },
  WorkloadEndpoint: {
    WORKLOAD: ({ spec }) => `${spec.workload ?? ""}${spec.pod ?? ""}`,
    NODE: ({ spec }) => spec.node,
    NETWORKS: ({ spec }) => joined(spec.ipNetworks),
    INTERFACE: ({ spec }) => spec.interfaceName,
    PROFILES: ({ spec }) => joined(spec.profiles),
    NATS: ({ spec }) => joined(spec.ipNATs?.map((nat) => `${nat.internalIP}:${nat.externalIP}`)),
  },
};

const COMMON: Readonly<Record<string, (object: AnyApiObject) => unknown>> = {
  NAME: ({ metadata }) => metadata.name,
  NAMESPACE: ({ metadata }) => metadata.namespace,
};

/** Every heading that a kind can show. */
export function headingsOf(kind: ApiKind): readonly string[] {
  return [...Object.keys(COMMON), ...Object.keys(COLUMNS[kind])];
}

/** The text of one cell; empty where the object has no such value. */
export function cellOf(object: AnyApiObject, heading: string, context: ColumnContext): string {
  const own = (COLUMNS[object.kind] as Columns<ApiKind>)[heading] as Cell<ApiKind> | undefined;
  const value = own === undefined ? COMMON[heading]?.(object) : own(object as Resource<ApiKind>, context);
  return value === undefined ? "" : String(value);
}

function joined(list: readonly string[] | undefined): string {
  return (list ?? []).join(",");
}

function truncate(text: string, max: number): string {
  return text.length > max ? `${text.slice(0, max)}...` : text;
}
