import type { Kind } from "@calico/model";

/** The kinds that the graph wants from the bus. */
export const FELIX_KINDS: readonly Kind[] = [
  "WorkloadEndpoint",
  "NetworkPolicy",
  "GlobalNetworkPolicy",
  "Profile",
  "Tier",
  "NetworkSet",
  "GlobalNetworkSet",
  "IPPool",
  "Node",
  "IPAMBlock",
  "BGPConfiguration",
  "KubernetesEndpointSlice",
];
