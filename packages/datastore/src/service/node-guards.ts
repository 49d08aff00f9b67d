/** What a node's deletion takes along. */
import type { Node, Result, WorkloadEndpoint } from "@calico/model";
import { type DatastoreError, datastoreErrors } from "../domain/errors.ts";
import type { ResourceRef } from "../domain/resource-input.ts";
import type { ResourceClient } from "./resource-client.ts";

type Outcome = Promise<Result<unknown, { readonly message: string }>>;

/** The part of the IPAM library that deletions need. */
export interface IpamForDeletes {
  releasePoolAffinities(pool: string): Outcome;
  releaseIps(requests: readonly { readonly ip: string }[]): Outcome;
  removeHost(node: string): Outcome;
}

/**
 * A node's endpoints, their addresses, its tunnels' addresses and its claims on blocks go before it does. Whoever deletes a node says that
 * nothing runs there. Undefined: done. Source: facts §4.7.5; calico libcalico-go/lib/clientv3/node.go (Delete).
 */
export async function emptyNode(
  client: ResourceClient,
  ref: ResourceRef<"Node">,
  openIpam: () => Promise<IpamForDeletes>,
): Promise<DatastoreError | undefined> {
  const node = await client.get(ref);
  if (!node.ok) return node.error;
  const endpoints = (await client.list("WorkloadEndpoint")).items.filter(({ spec }) => spec.node === ref.name);
  const ips = [...endpoints.flatMap(addressesOf), ...tunnelsOf(node.value)].map((ip) => ({ ip }));
  const ipam = await openIpam();
  const released = ips.length === 0 ? undefined : await ipam.releaseIps(ips);
  if (released && !released.ok)
    return datastoreErrors.partiallyFailed(ref, `is not deleted, its addresses are not free: ${released.error.message}`);
  for (const { kind, metadata } of endpoints) {
    const gone = await client.delete({ kind, namespace: metadata.namespace, name: metadata.name });
    if (!gone.ok && gone.error.kind !== "doesNotExist")
      return datastoreErrors.partiallyFailed(ref, `is not deleted: ${gone.error.message}`);
  }
  const forgotten = await ipam.removeHost(ref.name);
  return forgotten.ok
    ? undefined
    : datastoreErrors.partiallyFailed(ref, `is not deleted, its blocks are not given back: ${forgotten.error.message}`);
}

function addressesOf({ spec }: WorkloadEndpoint): readonly string[] {
  return (spec.ipNetworks ?? []).map((net) => net.split("/")[0] ?? net);
}

function tunnelsOf({ spec }: Node): readonly string[] {
  const { bgp, ipv4VXLANTunnelAddr, ipv6VXLANTunnelAddr, wireguard } = spec;
  const all = [
    bgp?.ipv4IPIPTunnelAddr,
    ipv4VXLANTunnelAddr,
    ipv6VXLANTunnelAddr,
    wireguard?.interfaceIPv4Address,
    wireguard?.interfaceIPv6Address,
  ];
  return all.filter((ip) => ip !== undefined);
}
