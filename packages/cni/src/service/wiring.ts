/**
 * The pod's device and everything that goes with it, on both sides.
 *
 * Deviation: the host route has metric 1024, as felix's has, so that the two write one and the same route.
 * Source: calico cni-plugin/pkg/dataplane/linux/dataplane_linux.go.
 */
import type { Netlink, NetlinkOp } from "@calico/linux";
import { CniFault } from "../domain/fault.ts";
import { isV6 } from "../domain/result.ts";
import type { Clock, Kernel } from "../ports.ts";
import { addHostRoutes, ROUTE_PROTOCOL } from "./host-routes.ts";
import { HOST_MAC, hostLinkLocal } from "./link-local.ts";
import { removeLink } from "./unwire.ts";

export const GATEWAY4 = "169.254.1.1";

export type WiringSpec = {
  readonly netns: string;
  readonly ifName: string;
  readonly hostName: string;
  readonly mtu: number | undefined;
  readonly queues: number | undefined;
  /** The pod's; undefined: the kernel makes one up. */
  readonly mac: string | undefined;
  /** /32 and /128. */
  readonly addresses: readonly string[];
  /** Destinations that the pod reaches through its host. */
  readonly routes: readonly string[];
  readonly ipForward: boolean;
};

/** Make the pair, give addresses and routes; the pod's MAC is the answer. What was made is left behind if it throws: see `unwire`. */
export async function wire(
  { kernel, clock }: { readonly kernel: Kernel; readonly clock: Clock },
  spec: WiringSpec,
): Promise<{ readonly mac: string }> {
  const pod = kernel.pod(spec.netns);
  if (pod === undefined)
    throw new CniFault("unknownContainer", `failed to open netns ${JSON.stringify(spec.netns)}`, "it is no network namespace, or is gone");
  try {
    const host = kernel.host();
    await removeLink(host, spec.hostName);
    await makePair(host, spec);
    configureHostSysctls(kernel, spec);
    await host.setLink(spec.hostName, { up: true });
    await configurePod(kernel, pod, spec);
    if (spec.addresses.some(isV6)) await configurePod6({ kernel, clock, host, pod }, spec);
    setForwarding(kernel, spec);
    await addHostRoutes(host, spec);
    const mac = (await pod.link(spec.ifName))?.mac;
    if (mac === undefined) throw new CniFault("kernel", `interface ${spec.ifName} of the pod vanished while it was set up`);
    return { mac };
  } finally {
    pod.close();
  }
}

async function makePair(host: Netlink, spec: WiringSpec): Promise<void> {
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
  } catch (e) {
    throw new CniFault("kernel", `cannot make the veth pair ${name} / ${ifName}`, said(e));
  }
}

function configureHostSysctls(kernel: Kernel, { hostName: dev, addresses }: WiringSpec): void {
  const set = (name: string, value: number) => kernel.writeSysctl(name, value);
  if (addresses.some((a) => !isV6(a))) {
    readOnlyIsFine(() => set(`net/ipv4/conf/${dev}/route_localnet`, 1));
    set(`net/ipv4/neigh/${dev}/proxy_delay`, 0);
    set(`net/ipv4/conf/${dev}/proxy_arp`, 1);
    set(`net/ipv4/conf/${dev}/forwarding`, 1);
  }
  if (addresses.some(isV6)) {
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

const unicast = { type: "unicast", protocol: ROUTE_PROTOCOL } as const;

async function configurePod(kernel: Kernel, pod: Netlink, spec: WiringSpec): Promise<void> {
  const { ifName: dev, addresses, netns } = spec;
  const v4 = addresses.filter((a) => !isV6(a));
  const ops: NetlinkOp[] = [{ do: "setLink", link: dev, set: { up: true } }];
  if (v4.length > 0) {
    ops.push({ do: "addRoute", route: { ...unicast, dev, dst: `${GATEWAY4}/32`, scope: "link" } });
    for (const dst of spec.routes.filter((r) => !isV6(r))) ops.push({ do: "addRoute", route: { ...unicast, dev, dst, via: GATEWAY4 } });
    for (const cidr of v4) ops.push({ do: "replaceAddress", link: dev, cidr });
  }
  if (addresses.some(isV6)) {
    for (const where of ["all", "default", "lo"]) kernel.writeSysctl(`net/ipv6/conf/${where}/disable_ipv6`, 0, { netnsPath: netns });
    kernel.writeSysctl(`net/ipv6/conf/${dev}/accept_dad`, 0, { netnsPath: netns });
  }
  await applyAll(pod, ops, `the pod's ${dev}`);
}

/** Both ends are up by now: only then has the host's the address that is the pod's gateway. */
async function configurePod6(w: { kernel: Kernel; clock: Clock; host: Netlink; pod: Netlink }, spec: WiringSpec): Promise<void> {
  const { ifName: dev, addresses, routes } = spec;
  const via = await hostLinkLocal(w, spec.hostName);
  const ops: NetlinkOp[] = [
    ...routes.filter(isV6).map((dst) => ({ do: "addRoute", route: { ...unicast, dev, dst, via, onlink: true } }) as const),
    ...addresses.filter(isV6).map((cidr) => ({ do: "replaceAddress", link: dev, cidr, nodad: true }) as const),
  ];
  await applyAll(w.pod, ops, `the pod's ${dev}`);
}

/** Only raising it must work: what was never up needs no lowering. */
function setForwarding(kernel: Kernel, { netns, ipForward, addresses }: WiringSpec): void {
  const names = ["net/ipv4/ip_forward", ...(addresses.some(isV6) ? ["net/ipv6/conf/all/forwarding"] : [])];
  for (const name of names) {
    try {
      kernel.writeSysctl(name, ipForward ? 1 : 0, { netnsPath: netns });
    } catch (e) {
      if (ipForward) throw e;
    }
  }
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
