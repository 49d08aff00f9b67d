/** What each of our programs may do in an etcd with users and roles: the least that it needs. */
import { IPAM_PREFIX, type Kind, prefixOf, ROOT_PREFIX } from "@calico/model";
import { ELECTION_PREFIX } from "./election-prefix.ts";

export type EtcdPermission = { readonly may: "read" | "readwrite"; readonly prefix: string };

const read = (...kinds: readonly Kind[]) => kinds.map((kind): EtcdPermission => ({ may: "read", prefix: prefixOf(kind) }));
const write = (...kinds: readonly Kind[]) => kinds.map((kind): EtcdPermission => ({ may: "readwrite", prefix: prefixOf(kind) }));
const readAll: EtcdPermission = { may: "read", prefix: ROOT_PREFIX };
const writeIpam: EtcdPermission = { may: "readwrite", prefix: IPAM_PREFIX };

/** `agent`: felix, bgp and proxy-nat, which read etcd only when the event log is away. `node`: for a node whose daemons share one credential. */
export const ETCD_ROLES = {
  syncer: [readAll, { may: "readwrite", prefix: ELECTION_PREFIX }],
  agent: [readAll],
  ipam: [...read("FelixConfiguration", "IPPool", "IPReservation"), ...write("Node"), writeIpam],
  cni: [
    ...read("ClusterInformation", "FelixConfiguration", "IPPool", "IPReservation", "Node"),
    ...write("Profile", "WorkloadEndpoint"),
    writeIpam,
  ],
  node: [readAll, ...write("Node", "Profile", "WorkloadEndpoint"), writeIpam],
  "kube-controllers": [
    readAll,
    ...write("ClusterInformation", "KubernetesEndpointSlice", "KubernetesService", "NetworkPolicy", "Node", "Profile", "Tier"),
    ...write("WorkloadEndpoint"),
    writeIpam,
  ],
  calicoctl: [{ may: "readwrite", prefix: ROOT_PREFIX }],
} as const satisfies Readonly<Record<string, readonly EtcdPermission[]>>;

export type EtcdRole = keyof typeof ETCD_ROLES;

/** The arguments of each etcdctl call (API version 3) that makes the roles. */
export function renderEtcdRoles(roles: Readonly<Record<string, readonly EtcdPermission[]>> = ETCD_ROLES): readonly (readonly string[])[] {
  return Object.entries(roles).flatMap(([role, permissions]) => [
    ["role", "add", role],
    ...permissions.map(({ may, prefix }) => ["role", "grant-permission", role, "--prefix=true", may, prefix]),
  ]);
}
