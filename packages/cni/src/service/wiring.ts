/**
 * The pod's device and everything that goes with it, on both sides.
 *
 * Deviation: the host route has metric 1024, as felix's has, so that the two write one and the same route.
 * Source: calico cni-plugin/pkg/dataplane/linux/dataplane_linux.go.
 */
import { NetlinkError } from "@calico/linux";
import type { Netlink, NetlinkOp } from "@calico/linux";
import { CniFault } from "../domain/fault.ts";
import { isV6 } from "../domain/result.ts";
import type { Clock, Kernel } from "../ports.ts";
import { addHostRoutes, ROUTE_PROTOCOL } from "./host-routes.ts";
import { HOST_MAC, hostLinkLocal } from "./link-local.ts";
import { removeLink } from "./unwire.ts";

export const GATEWAY4 = "169.254.1.1";

export type DeviceSpec = {
  readonly netns: string;
  readonly ifName: string;
  readonly hostName: string;
  readonly mtu: number | undefined;
  readonly queues: number | undefined;
  /** The pod's; undefined: the kernel makes one up. */
  readonly mac: string | undefined;
  readonly ipForward: boolean;
  /** Of the addresses to come; undefined: not known before. */
  readonly families: Families | undefined;
};

export type Families = { readonly v4: boolean; readonly v6: boolean };

export type PodNetwork = {
  /** /32 and /128. */
  readonly addresses: readonly string[];
  /** Destinations that the pod reaches through its host. */
  readonly routes: readonly string[];
  /** Whether the node reaches the addresses through this pod; false for the target of a live migration. */
  readonly hasHostRoutes: boolean;
};

export type WireOptions = {
  /** On its way: the device is made meanwhile. */
  readonly network: Promise<PodNetwork>;
};

type Where = { readonly kernel: Kernel; readonly clock: Clock; readonly host: Netlink; readonly pod: Netlink };

/**
 * Make the pair, bring it up, give addresses and routes; the pod's MAC is the answer. What was made is left if
 * something fails: the caller takes it back.
 *
 * A device of the host's name that is there already may be a living pod's: it goes only when the addresses have come.
 */
export async function wire(
  { kernel, clock }: { readonly kernel: Kernel; readonly clock: Clock },
  device: DeviceSpec,
  { network }: WireOptions,
): Promise<{ readonly mac: string }> {
  const { netns } = device;
  const pod = kernel.pod(netns);
  if (pod === undefined) throw cannotOpen(kernel, netns);
  try {
    const where = { kernel, clock, host: kernel.host(), pod };
    const made = async () => {
      const mac = (await pod.link(device.ifName))?.mac;
      if (mac === undefined) throw new CniFault("kernel", `interface ${device.ifName} of the pod vanished while it was set up`);
      return mac;
    };
    const early = (await makePair(where.host, device)) === "made" ? await made() : undefined;
    const up = early === undefined ? undefined : device.families;
    if (up !== undefined) await bringUp(where, device, up);
    const { addresses, routes, hasHostRoutes } = await network;
    if (early === undefined) await replacePair(where.host, device);
    const mac = early ?? (await made());
    const families = familiesOf(addresses);
    if (up?.v4 !== families.v4 || up.v6 !== families.v6) await bringUp(where, device, families);
    await configurePod(where, device, { addresses, routes });
    if (hasHostRoutes) await addHostRoutes(where, { addresses, hostName: device.hostName });
    return { mac };
  } finally {
    pod.close();
  }
}

function cannotOpen(kernel: Kernel, netns: string): CniFault {
  if (kernel.isOwn(netns))
    return new CniFault(
      "invalidNetns",
      "plugin's netns and netns from CNI_NETNS should not be the same",
      `CNI_NETNS=${netns} is the node's own`,
    );
  return new CniFault("unknownContainer", `failed to open netns ${JSON.stringify(netns)}`, "it is no network namespace, or is gone");
}

function familiesOf(addresses: readonly string[]): Families {
  return { v4: addresses.some((a) => !isV6(a)), v6: addresses.some(isV6) };
}

/** `exists`: one of the two names is taken, and nothing was made. */
async function makePair(host: Netlink, spec: DeviceSpec): Promise<"made" | "exists"> {
  const { hostName: name, ifName, netns, mtu, queues } = spec;
  const common = { ...(mtu === undefined ? {} : { mtu }), ...(queues === undefined ? {} : { numTxQueues: queues, numRxQueues: queues }) };
  try {
    await host.addLink({
      kind: "veth",
      name,
      mac: HOST_MAC,
      ...common,
      peer: { name: ifName, netns, ...common, ...(spec.mac === undefined ? {} : { mac: spec.mac }) },
    });
    return "made";
  } catch (e) {
    if (e instanceof NetlinkError && e.code === "EEXIST") return "exists";
    throw new CniFault("kernel", `cannot make the veth pair ${name} / ${ifName}`, said(e));
  }
}

async function replacePair(host: Netlink, spec: DeviceSpec): Promise<void> {
  const { hostName, ifName } = spec;
  await removeLink(host, hostName);
  if ((await makePair(host, spec)) === "exists")
    throw new CniFault("kernel", `cannot make the veth pair ${hostName} / ${ifName}`, `the pod has an interface ${ifName} already`);
}

/** Both ends, and what has to be set before or once they are up. */
async function bringUp({ kernel, host, pod }: Where, spec: DeviceSpec, families: Families): Promise<void> {
  const { hostName, ifName: dev, netns } = spec;
  configureHostSysctls(kernel, hostName, families);
  await host.setLink(hostName, { up: true });
  if (families.v6) {
    for (const where of ["all", "default", "lo"]) kernel.writeSysctl(`net/ipv6/conf/${where}/disable_ipv6`, 0, { netnsPath: netns });
    kernel.writeSysctl(`net/ipv6/conf/${dev}/accept_dad`, 0, { netnsPath: netns });
  }
  await pod.setLink(dev, { up: true });
  setForwarding(kernel, spec, families);
}

function configureHostSysctls(kernel: Kernel, dev: string, families: Families): void {
  const set = (name: string, value: number) => kernel.writeSysctl(name, value);
  if (families.v4) {
    readOnlyIsFine(() => set(`net/ipv4/conf/${dev}/route_localnet`, 1));
    set(`net/ipv4/neigh/${dev}/proxy_delay`, 0);
    set(`net/ipv4/conf/${dev}/proxy_arp`, 1);
    set(`net/ipv4/conf/${dev}/forwarding`, 1);
  }
  if (families.v6) {
    for (const [key, value] of [
      ["disable_ipv6", 0],
      ["addr_gen_mode", 0],
      ["accept_dad", 0],
      ["proxy_ndp", 1],
      ["accept_ra", 0],
      ["forwarding", 1],
    ] as const) {
      set(`net/ipv6/conf/${dev}/${key}`, value);
    }
  }
}

function readOnlyIsFine(action: () => void): void {
  try {
    action();
  } catch (e) {
    if (!/EROFS|read-only/i.test(said(e))) throw e;
  }
}

/** Only raising it must work: what was never up needs no lowering. */
function setForwarding(kernel: Kernel, { netns, ipForward }: DeviceSpec, families: Families): void {
  const names = ["net/ipv4/ip_forward", ...(families.v6 ? ["net/ipv6/conf/all/forwarding"] : [])];
  for (const name of names) {
    try {
      kernel.writeSysctl(name, ipForward ? 1 : 0, { netnsPath: netns });
    } catch (e) {
      if (ipForward) throw e;
    }
  }
}

const unicast = { type: "unicast", protocol: ROUTE_PROTOCOL } as const;

/** Both ends are up: only then has the host's the address that is an IPv6 pod's gateway. */
async function configurePod(where: Where, spec: DeviceSpec, network: Pick<PodNetwork, "addresses" | "routes">): Promise<void> {
  const { ifName: dev } = spec;
  const { v4, v6 } = familiesOf(network.addresses);
  const of = (wantsV6: boolean) => ({
    routes: network.routes.filter((r) => isV6(r) === wantsV6),
    addresses: network.addresses.filter((a) => isV6(a) === wantsV6),
  });
  const ops: NetlinkOp[] = [];
  if (v4) {
    const { routes, addresses } = of(false);
    ops.push({ do: "addRoute", route: { ...unicast, dev, dst: `${GATEWAY4}/32`, scope: "link" } });
    for (const dst of routes) ops.push({ do: "addRoute", route: { ...unicast, dev, dst, via: GATEWAY4 } });
    for (const cidr of addresses) ops.push({ do: "replaceAddress", link: dev, cidr });
  }
  if (v6) {
    const { routes, addresses } = of(true);
    const via = await hostLinkLocal(where, spec.hostName);
    for (const dst of routes) ops.push({ do: "addRoute", route: { ...unicast, dev, dst, via, onlink: true } });
    for (const cidr of addresses) ops.push({ do: "replaceAddress", link: dev, cidr, nodad: true });
  }
  await applyAll(where.pod, ops, `the pod's ${dev}`);
}

async function applyAll(netlink: Netlink, ops: readonly NetlinkOp[], what: string): Promise<void> {
  const outcomes = await netlink.apply(ops);
  for (const [i, outcome] of outcomes.entries()) {
    if (!outcome.ok)
      throw new CniFault("kernel", `cannot configure ${what}: ${ops[i]?.do} failed`, `${outcome.error.message}; ${JSON.stringify(ops[i])}`);
  }
}

export function said(e: unknown): string {
  return e instanceof Error ? e.message : String(e);
}
