/** What `calico-ipam` does. Source: calico cni-plugin/pkg/ipamplugin/ipam_plugin.go. */
import type { ResourceClient } from "@calico/datastore";
import { parsePool, selectPools } from "@calico/ipam";
import type { AutoAssignment, AutoAssignRequest, FamilyAssignment, Ipam } from "@calico/ipam";
import { parseCidrLoose } from "@calico/model";
import { CniFault } from "../domain/fault.ts";
import type { CniCall } from "../domain/env.ts";
import { flagOf } from "../domain/netconf.ts";
import type { Netconf } from "../domain/netconf.ts";
import { hostCidr, isV6 } from "../domain/result.ts";
import type { CniResult } from "../domain/result.ts";
import type { Datastore } from "../ports.ts";
import type { Machine } from "../domain/machine.ts";
import { ipamHandle } from "../domain/workload.ts";
import { ipamFault } from "./ipam-fault.ts";
import { addressesOwnedBy, disownAddresses, ownAddresses } from "./machine-ipam.ts";
import { resolvePools } from "./pools.ts";

export type IpamPorts = {
  readonly ipam: Ipam;
  readonly resources: Pick<ResourceClient, "list">;
  readonly clock: { now(): number };
  readonly namespaceLabels: () => Promise<Readonly<Record<string, string>> | undefined>;
  /** The virtual machine that the pod runs, looked up anew each time; undefined for any other pod. */
  readonly machine: () => Promise<Machine | undefined>;
  /** False: it runs none, without asking anybody. */
  readonly mayBeMachine: boolean;
  /** Whether that machine is being deleted, and not only its pod. */
  readonly isEnding: (place: { readonly namespace: string; readonly name: string }) => Promise<boolean>;
  readonly handlesOf: Datastore["handlesOf"];
};

type AddRequest = { readonly conf: Netconf; readonly call: CniCall; readonly node: string };

/**
 * Addresses for a container: the one that CNI_ARGS asks for by IP=, else one of each family that is on. All or none.
 * Asked again for the same container, it gives the same. A virtual machine's pod gets the machine's, and a migration's target no routes.
 */
export async function ipamAdd(ports: IpamPorts, o: AddRequest): Promise<CniResult> {
  const { conf, call, node } = o;
  const attrs = attributesOf(o, ports.clock.now());
  const machines = ports.mayBeMachine ? await machineAdd(ports, { ...o, attrs }) : undefined;
  if (machines !== undefined) return machines;
  const handle = ipamHandle(conf.name, call.containerId);
  const asked = call.args.get("IP");
  if (asked) {
    const outcome = await ports.ipam.assignIp({ node, ip: asked, handle, attrs });
    if (outcome.ok) return resultOf([outcome.value.address]);
    if (outcome.error.kind === "taken" && (await isOurs(ports.ipam, asked, handle))) return resultOf([hostCidr(asked)]);
    throw ipamFault(`failed to assign ${asked}`, outcome.error);
  }
  const given = await autoAssign(ports, { ...o, handle, attrs, ...familiesOf(conf) });
  const short = shortage(given);
  if (short === undefined) return resultOf([...given.v4.ips, ...given.v6.ips].map((i) => i.address));
  await ports.ipam.releaseByHandle(handle);
  throw short;
}

function familiesOf(conf: Netconf): { readonly v4: boolean; readonly v6: boolean } {
  return { v4: flagOf("assign_ipv4", conf.ipam?.assign_ipv4, true), v6: flagOf("assign_ipv6", conf.ipam?.assign_ipv6, false) };
}

function poolsOf(conf: Netconf) {
  return { v4: conf.ipam?.ipv4_pools ?? undefined, v6: conf.ipam?.ipv6_pools ?? undefined };
}

/** Throws if no address could be given to any pod that asks for nothing special, whatever its node's and namespace's labels, which may be to come. */
export async function ipamStatus(
  { resources }: Pick<IpamPorts, "resources">,
  { conf, node }: Pick<AddRequest, "conf" | "node">,
): Promise<void> {
  const families = familiesOf(conf);
  const named = await resolvePools(resources, poolsOf(conf));
  const pools = (await resources.list("IPPool")).items.flatMap((pool) => {
    const parsed = parsePool(pool);
    return parsed.ok ? [{ ...parsed.value, automatic: true, nodeSelector: "", namespaceSelector: "" }] : [];
  });
  const of = { node, nodeLabels: {}, namespaceLabels: {}, use: "Workload" } as const;
  for (const [family, isOn, names] of [
    [4, families.v4, named.v4],
    [6, families.v6, named.v6],
  ] as const) {
    const requested = (names ?? []).flatMap((name) => {
      const cidr = parseCidrLoose(name);
      return cidr.ok ? [cidr.value] : [];
    });
    const usable = isOn ? selectPools(pools, { ...of, family, requested }) : undefined;
    if (usable?.ok === false) throw new CniFault("ipam", `no IPv${family} address can be given: ${usable.error}`);
  }
}

type AssignRequest = AddRequest &
  Pick<AutoAssignRequest, "attrs"> & { readonly handle: string; readonly v4: boolean; readonly v6: boolean };

async function autoAssign(ports: IpamPorts, { conf, node, handle, attrs, v4, v6 }: AssignRequest): Promise<AutoAssignment> {
  const [pools, namespaceLabels] = await Promise.all([resolvePools(ports.resources, poolsOf(conf)), ports.namespaceLabels()]);
  const counts = { num4: v4 ? 1 : 0, num6: v6 ? 1 : 0 };
  const request = {
    node,
    ...counts,
    handle,
    attrs,
    pools4: pools.v4,
    pools6: pools.v6,
    namespaceLabels,
    use: "Workload",
    maxPerHandle: 1,
  } as const;
  const outcome = await ports.ipam.autoAssign(request);
  if (!outcome.ok) throw ipamFault("failed to request IP addresses", outcome.error);
  return outcome.value;
}

/** Undefined for any other pod, and where machines are as other pods. What the machine got stays its own, also when something else is missing. */
async function machineAdd(
  ports: IpamPorts,
  o: AddRequest & { readonly attrs: Readonly<Record<string, string>> },
): Promise<CniResult | undefined> {
  const asked = o.call.args.get("IP") || undefined;
  const owned = await ownAddresses(ports.ipam, {
    ...{ ...o, families: familiesOf(o.conf), asked, machine: ports.machine },
    async assign({ handle, attrs }, missing) {
      if (asked === undefined) {
        const short = shortage(await autoAssign(ports, { ...o, handle, attrs, ...missing }));
        if (short !== undefined) throw short;
        return;
      }
      const outcome = await ports.ipam.assignIp({ node: o.node, ip: asked, handle, attrs, maxPerHandle: 1 });
      if (!outcome.ok && outcome.error.kind !== "limit") throw ipamFault(`failed to assign ${asked}`, outcome.error);
    },
  });
  if (owned === undefined) return undefined;
  const result = resultOf(owned.addresses);
  return owned.machine.migrationUid === undefined ? result : { ...result, routes: [] };
}

/** An ADD that was cut off after the address was given: asked for again, it is the container's already. */
export async function isOurs(ipam: Pick<Ipam, "ownerOf">, ip: string, handle: string): Promise<boolean> {
  const owner = await ipam.ownerOf(ip);
  return owner.ok && owner.value.handle === handle;
}

/** Undefined if all was given. */
function shortage({ v4, v6 }: AutoAssignment): CniFault | undefined {
  const short = [describe("IPv4", v4), describe("IPv6", v6)].filter((s) => s !== undefined);
  return short.length === 0 ? undefined : new CniFault("ipam", short.join("; "), "see calicoctl ipam show --show-blocks");
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
export function goTime(ms: number): string {
  return `${new Date(ms).toISOString().replace("T", " ").replace("Z", "")} +0000 UTC`;
}

/** Give back everything that the container holds, and leave what is its machine's; holding nothing is fine. */
export async function ipamDel(
  ports: Pick<IpamPorts, "ipam" | "isEnding" | "handlesOf">,
  o: { readonly conf: Pick<Netconf, "name">; readonly call: CniCall },
): Promise<void> {
  const { ipam } = ports;
  const pod = o.call.args.get("K8S_POD_NAME");
  const namespace = o.call.args.get("K8S_POD_NAMESPACE");
  const legacy = pod && namespace ? [`${namespace}.${pod}`] : [];
  const release = async (handle: string) => {
    const outcome = await ipam.releaseByHandle(handle);
    if (!outcome.ok && outcome.error.kind !== "notFound") throw ipamFault(`failed to release ${handle}`, outcome.error);
  };
  // Failing, it ends with the last of them: one that went on would release what the container's next ADD gets.
  const handles = [ipamHandle(o.conf.name, o.call.containerId), ...legacy];
  const outcomes = await Promise.allSettled([disownAddresses(ports, o), ...handles.map(release)]);
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}

/** A fault unless IPAM has these addresses for the container; named by none, it must have one. */
export async function ipamCheck(
  { ipam }: Pick<IpamPorts, "ipam">,
  o: { readonly conf: Pick<Netconf, "name">; readonly call: CniCall; readonly addresses: readonly string[] },
): Promise<void> {
  const { containerId } = o.call;
  const outcome = await ipam.ipsByHandle(ipamHandle(o.conf.name, containerId));
  const held = outcome.ok ? outcome.value : await addressesOwnedBy({ ipam }, o);
  if (held.length === 0 && o.addresses.length === 0)
    throw new CniFault("checkFailed", `container ${containerId} has no address in IPAM`, outcome.ok ? undefined : outcome.error.message);
  for (const address of o.addresses.map(hostCidr)) {
    if (held.some((h) => hostCidr(h) === address)) continue;
    const owner = await ipam.ownerOf(address.split("/")[0] ?? "");
    // Another network of the same container may have asked for it.
    if (owner.ok && owner.value.handle?.endsWith(`.${containerId}`)) continue;
    const whose = owner.ok ? `has the handle ${owner.value.handle ?? "(none)"}` : "is nobody's";
    throw new CniFault(
      "checkFailed",
      `the address ${address} of container ${containerId} ${whose} in IPAM`,
      `held: ${held.join(", ") || "none"}`,
    );
  }
}
