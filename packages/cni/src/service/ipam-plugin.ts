/** What `calico-ipam` does. Source: calico cni-plugin/pkg/ipamplugin/ipam_plugin.go. */
import type { ResourceClient } from "@calico/datastore";
import type { AutoAssignment, FamilyAssignment, Ipam, IpamError } from "@calico/ipam";
import { CniFault } from "../domain/fault.ts";
import type { CniCall } from "../domain/env.ts";
import { flagOf } from "../domain/netconf.ts";
import type { Netconf } from "../domain/netconf.ts";
import { hostCidr, isV6 } from "../domain/result.ts";
import type { CniResult } from "../domain/result.ts";
import { ipamHandle } from "../domain/workload.ts";
import { resolvePools } from "./pools.ts";

export type IpamPorts = {
  readonly ipam: Ipam;
  readonly resources: Pick<ResourceClient, "get">;
  readonly clock: { now(): number };
  readonly namespaceLabels: () => Promise<Readonly<Record<string, string>> | undefined>;
};

/**
 * Addresses for a container: the one that CNI_ARGS asks for by IP=, else one of each family that is on. All or none.
 * Asked again for the same container, it gives the same.
 */
export async function ipamAdd(
  ports: IpamPorts,
  o: { readonly conf: Netconf; readonly call: CniCall; readonly node: string },
): Promise<CniResult> {
  const { conf, call, node } = o;
  const handle = ipamHandle(conf.name, call.containerId);
  const attrs = attributesOf(o, ports.clock.now());
  const asked = call.args.get("IP");
  if (asked) {
    const outcome = await ports.ipam.assignIp({ node, ip: asked, handle, attrs });
    if (outcome.ok) return resultOf([outcome.value.address]);
    if (outcome.error.kind === "taken" && (await isOurs(ports.ipam, asked, handle))) return resultOf([hostCidr(asked)]);
    throw ipamFault(`failed to assign ${asked}`, outcome.error);
  }
  const num4 = flagOf("assign_ipv4", conf.ipam?.assign_ipv4, true) ? 1 : 0;
  const num6 = flagOf("assign_ipv6", conf.ipam?.assign_ipv6, false) ? 1 : 0;
  const [pools4, pools6, namespaceLabels] = await Promise.all([
    resolvePools(ports.resources, { pools: conf.ipam?.ipv4_pools ?? undefined, family: 4 }),
    resolvePools(ports.resources, { pools: conf.ipam?.ipv6_pools ?? undefined, family: 6 }),
    ports.namespaceLabels(),
  ]);
  const request = { node, num4, num6, handle, attrs, pools4, pools6, namespaceLabels, use: "Workload", maxPerHandle: 1 } as const;
  const outcome = await ports.ipam.autoAssign(request);
  if (!outcome.ok) throw ipamFault("failed to request IP addresses", outcome.error);
  return await allOrNone(ports.ipam, outcome.value, handle);
}

/** An ADD that was cut off after the address was given: asked for again, it is the container's already. */
async function isOurs(ipam: Ipam, ip: string, handle: string): Promise<boolean> {
  const owner = await ipam.ownerOf(ip);
  return owner.ok && owner.value.handle === handle;
}

async function allOrNone(ipam: Ipam, { v4, v6 }: AutoAssignment, handle: string): Promise<CniResult> {
  const short = [describe("IPv4", v4), describe("IPv6", v6)].filter((s) => s !== undefined);
  if (short.length === 0) return resultOf([...v4.ips, ...v6.ips].map((i) => i.address));
  await ipam.releaseByHandle(handle);
  throw new CniFault("ipam", short.join("; "), "see calicoctl ipam show --show-blocks");
}

function describe(family: string, a: FamilyAssignment): string | undefined {
  if (a.ips.length >= a.requested) return undefined;
  return `failed to request ${family} addresses: Assigned ${a.ips.length} out of ${a.requested} requested ${family} addresses; ${a.messages.join("; ")}`;
}

function resultOf(addresses: readonly string[]): CniResult {
  return { interfaces: [], ips: addresses.map((address) => ({ address })), routes: addresses.map((dst) => ({ dst: hostCidr(dst) })) };
}

/**
 * `ptp` puts a gateway's address on its end of the pair and fails without one; any that is not a pod's will do. It
 * cannot add routes over one outside of the subnet, so it gets none.
 *
 * Deviation: Calico's gives none.
 */
export function withGateways(result: CniResult): CniResult {
  return { ...result, routes: [], ips: result.ips.map((ip) => ({ ...ip, gateway: isV6(ip.address) ? "fe80::1" : "169.254.1.1" })) };
}

function attributesOf({ call, node }: { call: CniCall; node: string }, nowMs: number): Record<string, string> {
  const pod = call.args.get("K8S_POD_NAME");
  const namespace = call.args.get("K8S_POD_NAMESPACE");
  return { node, timestamp: goTime(nowMs), ...(pod && namespace ? { pod, namespace } : {}) };
}

/** A time as Go prints it, in UTC. */
function goTime(ms: number): string {
  return `${new Date(ms).toISOString().replace("T", " ").replace("Z", "")} +0000 UTC`;
}

function ipamFault(what: string, error: IpamError): CniFault {
  return new CniFault(error.kind === "conflict" ? "tryAgain" : "ipam", `${what}: ${error.message}`);
}

/** Give back everything that the container holds; holding nothing is fine. */
export async function ipamDel(
  { ipam }: Pick<IpamPorts, "ipam">,
  o: { readonly conf: Pick<Netconf, "name">; readonly call: CniCall },
): Promise<void> {
  const pod = o.call.args.get("K8S_POD_NAME");
  const namespace = o.call.args.get("K8S_POD_NAMESPACE");
  const legacy = pod && namespace ? [`${namespace}.${pod}`] : [];
  const release = async (handle: string) => {
    const outcome = await ipam.releaseByHandle(handle);
    if (!outcome.ok && outcome.error.kind !== "notFound") throw ipamFault(`failed to release ${handle}`, outcome.error);
  };
  await Promise.all([ipamHandle(o.conf.name, o.call.containerId), ...legacy].map(release));
}

/** True addresses of the container in IPAM; a fault when there are none. */
export async function ipamCheck(
  { ipam }: Pick<IpamPorts, "ipam">,
  o: { readonly conf: Pick<Netconf, "name">; readonly call: CniCall },
): Promise<readonly string[]> {
  const handle = ipamHandle(o.conf.name, o.call.containerId);
  const outcome = await ipam.ipsByHandle(handle);
  if (!outcome.ok) throw new CniFault("checkFailed", `container ${o.call.containerId} has no address in IPAM`, outcome.error.message);
  return outcome.value;
}
