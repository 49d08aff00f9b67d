/** Kinds as a person names them, and the columns that `get` shows of each. Source: facts of the Calico calicoctl resource manager. */
import type { ApiKind } from "@calico/model";

type KindRow = { readonly names: readonly string[]; readonly ps: readonly string[]; readonly wide: readonly string[] };

function row(names: string, ps: string, wide: string = ps): KindRow {
  return { names: names.split(" "), ps: ps.split(" "), wide: wide.split(" ") };
}

const POLICY_WIDE = "NAME TIER ORDER SELECTOR";

export const KIND_TABLE: { readonly [K in ApiKind]: KindRow } = {
  BGPConfiguration: row("bgpconfiguration bgpconfigurations bgpconfig bgpconfigs", "NAME LOGSEVERITY MESHENABLED ASNUMBER"),
  BGPFilter: row("bgpfilter bgpfilters bgpf bgpfs bf bfs", "NAME NUMEXPORTV4 NUMIMPORTV4 NUMEXPORTV6 NUMIMPORTV6"),
  BGPPeer: row("bgppeer bgppeers bgpp bgpps bp bps", "NAME PEERIP NODE ASN"),
  CalicoNodeStatus: row("caliconodestatus caliconodestatuses nodestatus nodestatuses", "NAME NODE", "NAME NODE CLASSES"),
  ClusterInformation: row(
    "clusterinformation clusterinformations clusterinfo clusterinfos",
    "NAME CLUSTERGUID CLUSTERTYPE CALICOVERSION DATASTOREREADY",
  ),
  FelixConfiguration: row("felixconfiguration felixconfigurations felixconfig felixconfigs", "NAME"),
  GlobalNetworkPolicy: row("globalnetworkpolicy globalnetworkpolicies gnp gnps", "NAME TIER", POLICY_WIDE),
  GlobalNetworkSet: row("globalnetworkset globalnetworksets gnetsets", "NAME", "NAME NETS"),
  HostEndpoint: row("hostendpoint hostendpoints hep heps", "NAME NODE", "NAME NODE INTERFACE IPS PROFILES"),
  IPAMConfiguration: row(
    "ipamconfiguration ipamconfigurations ipamconfig ipamconfigs",
    "NAME STRICTAFFINITY AUTOALLOCATEBLOCKS",
    "NAME STRICTAFFINITY AUTOALLOCATEBLOCKS MAXBLOCKSPERHOST",
  ),
  IPPool: row(
    "ippool ippools ipp ipps pool pools",
    "NAME CIDR SELECTOR",
    "NAME CIDR NAT IPIPMODE VXLANMODE DISABLED DISABLEBGPEXPORT SELECTOR ASSIGNMENTMODE",
  ),
  IPReservation: row("ipreservation ipreservations reservation reservations", "NAME", "NAME CIDRS"),
  KubeControllersConfiguration: row(
    "kubecontrollersconfiguration kubecontrollersconfigurations kubecontrollersconfig kubecontrollersconfigs",
    "NAME",
  ),
  NetworkPolicy: row("networkpolicy networkpolicies policy np policies pol pols", "NAME TIER", POLICY_WIDE),
  NetworkSet: row("networkset networksets netsets", "NAME", "NAME NETS"),
  Node: row("node nodes no nos", "NAME", "NAME ASN IPV4 IPV6"),
  Profile: row("profile profiles pro pros", "NAME", "NAME LABELS"),
  StagedGlobalNetworkPolicy: row("stagedglobalnetworkpolicy stagedglobalnetworkpolicies sgnp sgnps", "NAME TIER", POLICY_WIDE),
  StagedKubernetesNetworkPolicy: row(
    "stagedkubernetesnetworkpolicy stagedkubernetesnetworkpolicies stagedkubernetespolicy sknp stagedkubernetespolicies skpol skpols",
    "NAME",
    "NAME PODSELECTOR",
  ),
  StagedNetworkPolicy: row(
    "stagednetworkpolicy stagednetworkpolicies stagedpolicy snp stagedpolicies spol spols",
    "NAME TIER",
    POLICY_WIDE,
  ),
  Tier: row("tier tiers", "NAME ORDER"),
  WorkloadEndpoint: row(
    "workloadendpoint workloadendpoints wep weps",
    "WORKLOAD NODE NETWORKS INTERFACE",
    "NAME WORKLOAD NODE NETWORKS INTERFACE PROFILES NATS",
  ),
};

export const API_KINDS = Object.keys(KIND_TABLE) as readonly ApiKind[];

const byName = new Map(API_KINDS.flatMap((kind) => KIND_TABLE[kind].names.map((name) => [name, kind] as const)));

/** The kind that a person means: any of its names, in any case. */
export function kindOfName(name: string): ApiKind | undefined {
  return byName.get(name.toLowerCase());
}

export function isApiKind(kind: unknown): kind is ApiKind {
  return typeof kind === "string" && Object.hasOwn(KIND_TABLE, kind);
}

export type WriteVerb = "create" | "apply" | "replace" | "delete" | "patch";

/** What the operation is called in the refusal of kinds that others write. */
const REFUSED_AS: Readonly<Record<WriteVerb, string>> = {
  create: "create or apply",
  apply: "create or apply",
  replace: "apply or replace",
  patch: "apply or replace",
  delete: "delete",
};

/** Why calicoctl must not write this object, or undefined. */
export function writeRefusal(verb: WriteVerb, kind: ApiKind, name: string): string | undefined {
  const mirrored = kind === "NetworkPolicy" && name.startsWith("knp.default.");
  return mirrored || kind === "ClusterInformation" ? `operation ${REFUSED_AS[verb]} is not supported on ${name}` : undefined;
}
