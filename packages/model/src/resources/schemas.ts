/** The schema of each kind, one row each; built when first asked for. */
import { bgpConfigurationSchema, bgpFilterSchema, bgpPeerSchema } from "./bgp.ts";
import { clusterInformationSchema, felixConfigurationSchema, kubeControllersConfigurationSchema } from "./config.ts";
import { globalNetworkSetSchema, hostEndpointSchema, networkSetSchema, nodeSchema, workloadEndpointSchema } from "./endpoints.ts";
import { blockAffinitySchema, ipPoolSchema, ipReservationSchema, ipamBlockSchema, ipamConfigurationSchema } from "./ipam.ts";
import { kubernetesEndpointSliceSchema, kubernetesServiceSchema } from "./kubernetes.ts";
import { calicoNodeStatusSchema, liveMigrationSchema } from "./node-status.ts";
import {
  globalNetworkPolicySchema,
  networkPolicySchema,
  profileSchema,
  stagedGlobalNetworkPolicySchema,
  stagedKubernetesNetworkPolicySchema,
  stagedNetworkPolicySchema,
  tierSchema,
} from "./policies.ts";
import type { z } from "zod";
import type { Kind } from "../kinds.ts";
import type { DeepReadonly } from "./base.ts";

export const SCHEMAS = {
  BGPConfiguration: bgpConfigurationSchema,
  BGPFilter: bgpFilterSchema,
  BGPPeer: bgpPeerSchema,
  CalicoNodeStatus: calicoNodeStatusSchema,
  ClusterInformation: clusterInformationSchema,
  FelixConfiguration: felixConfigurationSchema,
  GlobalNetworkPolicy: globalNetworkPolicySchema,
  GlobalNetworkSet: globalNetworkSetSchema,
  HostEndpoint: hostEndpointSchema,
  IPAMConfiguration: ipamConfigurationSchema,
  IPPool: ipPoolSchema,
  IPReservation: ipReservationSchema,
  KubeControllersConfiguration: kubeControllersConfigurationSchema,
  LiveMigration: liveMigrationSchema,
  NetworkPolicy: networkPolicySchema,
  NetworkSet: networkSetSchema,
  Node: nodeSchema,
  Profile: profileSchema,
  StagedGlobalNetworkPolicy: stagedGlobalNetworkPolicySchema,
  StagedKubernetesNetworkPolicy: stagedKubernetesNetworkPolicySchema,
  StagedNetworkPolicy: stagedNetworkPolicySchema,
  Tier: tierSchema,
  WorkloadEndpoint: workloadEndpointSchema,
  IPAMBlock: ipamBlockSchema,
  BlockAffinity: blockAffinitySchema,
  KubernetesService: kubernetesServiceSchema,
  KubernetesEndpointSlice: kubernetesEndpointSliceSchema,
} as const satisfies Record<Kind, () => z.ZodType>;

/** An object of a kind, after parsing: defaults filled in. IPAMBlock and BlockAffinity have no metadata; their names are in their keys. */
export type Resource<K extends Kind> = DeepReadonly<z.output<ReturnType<(typeof SCHEMAS)[K]>>>;

export type Node = Resource<"Node">;
export type IPPool = Resource<"IPPool">;
export type IPReservation = Resource<"IPReservation">;
export type IPAMConfiguration = Resource<"IPAMConfiguration">;
export type WorkloadEndpoint = Resource<"WorkloadEndpoint">;
export type HostEndpoint = Resource<"HostEndpoint">;
export type NetworkPolicy = Resource<"NetworkPolicy">;
export type GlobalNetworkPolicy = Resource<"GlobalNetworkPolicy">;
export type Tier = Resource<"Tier">;
export type Profile = Resource<"Profile">;
export type NetworkSet = Resource<"NetworkSet">;
export type GlobalNetworkSet = Resource<"GlobalNetworkSet">;
export type BGPPeer = Resource<"BGPPeer">;
export type BGPConfiguration = Resource<"BGPConfiguration">;
export type BGPFilter = Resource<"BGPFilter">;
export type CalicoNodeStatus = Resource<"CalicoNodeStatus">;
export type ClusterInformation = Resource<"ClusterInformation">;
export type FelixConfiguration = Resource<"FelixConfiguration">;
export type KubeControllersConfiguration = Resource<"KubeControllersConfiguration">;
export type KubernetesService = Resource<"KubernetesService">;
export type KubernetesEndpointSlice = Resource<"KubernetesEndpointSlice">;

/** Kinds with kind, apiVersion and metadata in their value. */
export type ObjectKind = Exclude<Kind, "IPAMBlock" | "BlockAffinity">;
/** Kinds of the v3 API. */
export type ApiKind = Exclude<ObjectKind, "KubernetesService" | "KubernetesEndpointSlice" | "LiveMigration">;
export type AnyObject = { readonly [K in ObjectKind]: Resource<K> }[ObjectKind];
export type AnyApiObject = { readonly [K in ApiKind]: Resource<K> }[ApiKind];
export type Metadata = Node["metadata"];
