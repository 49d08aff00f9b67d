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
import type { Kernel } from "../ports.ts";

/** The same on every veth: pods never see it but as their gateway's. */
export const HOST_MAC = "ee:ee:ee:ee:ee:ee";
const HOST_LINK_LOCAL = "fe80::ecee:eeff:feee:eeee";
const GATEWAY4 = "169.254.1.1";
const ROUTE_PROTOCOL = 3;
const ROUTE_METRIC = 1024;

export type WiringSpec = {
  readonly netns: string;
  readonly ifName: string;
  readonly hostName: string;
  readonly mtu: number | undefined;
  readonly queues: number | undefined;
  /** /32 and /128. */
  readonly addresses: readonly string[];
  /** Destinations that the pod reaches through its host. */
  readonly routes: readonly string[];
  readonly ipForward: boolean;
};

/** Make the pair, give addresses and routes; the pod's MAC is the answer. What was made is left behind if it throws: see `unwire`. */
export async function wire(kernel: Kernel, spec: WiringSpec): Promise<{ readonly mac: string }> {
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
    await host.addLink({ kind: "veth", name, mac: HOST_MAC, ...common, peer: { name: ifName, netns, ...common } });
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

async function configurePod(kernel: Kernel, pod: Netlink, spec: WiringSpec): Promise<void> {
  const { ifName: dev, addresses, netns } = spec;
  const v4 = addresses.filter((a) => !isV6(a));
  const v6 = addresses.filter(isV6);
  const ops: NetlinkOp[] = [{ do: "setLink", link: dev, set: { up: true } }];
  const unicast = { type: "unicast", dev, protocol: ROUTE_PROTOCOL } as const;
  if (v4.length > 0) {
    ops.push({ do: "addRoute", route: { ...unicast, dst: `${GATEWAY4}/32`, scope: "link" } });
    for (const dst of spec.routes.filter((r) => !isV6(r))) ops.push({ do: "addRoute", route: { ...unicast, dst, via: GATEWAY4 } });
    for (const cidr of v4) ops.push({ do: "replaceAddress", link: dev, cidr });
  }
  if (v6.length > 0) {
    for (const where of ["all", "default", "lo"]) kernel.writeSysctl(`net/ipv6/conf/${where}/disable_ipv6`, 0, { netnsPath: netns });
    kernel.writeSysctl(`net/ipv6/conf/${dev}/accept_dad`, 0, { netnsPath: netns });
    for (const dst of spec.routes.filter(isV6))
      ops.push({ do: "addRoute", route: { ...unicast, dst, via: HOST_LINK_LOCAL, onlink: true } });
    for (const cidr of v6) ops.push({ do: "replaceAddress", link: dev, cidr });
  }
  await applyAll(pod, ops, `the pod's ${dev}`);
  setForwarding(kernel, spec, v6.length > 0);
}

/** Only raising it must work: what was never up needs no lowering. */
function setForwarding(kernel: Kernel, { netns, ipForward }: WiringSpec, v6: boolean): void {
  const names = ["net/ipv4/ip_forward", ...(v6 ? ["net/ipv6/conf/all/forwarding"] : [])];
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

/** One route per address. A route that is there for another device is somebody else's pod. */
async function addHostRoutes(host: Netlink, { addresses, hostName: dev }: WiringSpec): Promise<void> {
  const routes = addresses.map(
    (dst) => ({ dst, type: "unicast", dev, scope: "link", protocol: ROUTE_PROTOCOL, metric: ROUTE_METRIC }) as const,
  );
  const outcomes = await host.apply(routes.map((route) => ({ do: "addRoute", route }) as const));
  for (const [i, outcome] of outcomes.entries()) {
    const route = routes[i];
    if (outcome.ok || route === undefined) continue;
    if (outcome.error.code !== "EEXIST") throw new CniFault("kernel", `cannot add the host route to ${route.dst}`, outcome.error.message);
    const other = (await host.routes({})).find((r) => r.dst === route.dst && r.dev !== dev);
    if (other === undefined) continue;
    const why = `route (Dst: ${other.dst}, Dev: ${other.dev}, Scope: ${other.scope}) already exists for an interface other than '${dev}'`;
    throw new CniFault("kernel", `cannot add the host route to ${route.dst}`, why);
  }
}

/** Take the pair away from the host's side; the routes go with it. */
export async function unwire(kernel: Kernel, hostName: string): Promise<void> {
  await removeLink(kernel.host(), hostName);
}

/** Take the device out of the pod, if the pod's namespace is still there. */
export async function unwirePod(kernel: Kernel, o: { readonly netns: string; readonly ifName: string }): Promise<void> {
  const pod = o.netns === "" ? undefined : kernel.pod(o.netns);
  if (pod === undefined) return;
  try {
    await removeLink(pod, o.ifName);
  } finally {
    pod.close();
  }
}

async function removeLink(netlink: Netlink, name: string): Promise<void> {
  try {
    await netlink.deleteLink(name);
  } catch (e) {
    if (!(e instanceof NetlinkError && (e.code === "ENODEV" || e.code === "ENOENT"))) {
      throw new CniFault("kernel", `cannot remove interface ${name}`, said(e));
    }
  }
}

/** What is not as it should be, in words; empty when all is there. */
export async function inspect(
  kernel: Kernel,
  spec: Pick<WiringSpec, "netns" | "ifName" | "hostName" | "addresses">,
): Promise<readonly string[]> {
  const pod = kernel.pod(spec.netns);
  if (pod === undefined) return [`the namespace ${spec.netns} is gone`];
  try {
    return [...(await inspectHost(kernel.host(), spec)), ...(await inspectPod(pod, spec))];
  } finally {
    pod.close();
  }
}

async function inspectHost(host: Netlink, spec: Pick<WiringSpec, "hostName" | "addresses">): Promise<readonly string[]> {
  const link = await host.link(spec.hostName);
  if (link === undefined) return [`there is no interface ${spec.hostName} on the host`];
  const routes = await host.routes({ link: spec.hostName });
  const missing = spec.addresses.filter((a) => !routes.some((r) => r.dst === a));
  return [
    ...(link.up ? [] : [`interface ${spec.hostName} is down`]),
    ...missing.map((a) => `there is no route to ${a} over ${spec.hostName}`),
  ];
}

async function inspectPod(pod: Netlink, spec: Pick<WiringSpec, "ifName" | "addresses">): Promise<readonly string[]> {
  const link = await pod.link(spec.ifName);
  if (link === undefined) return [`there is no interface ${spec.ifName} in the pod`];
  const have = await pod.addresses({ link: spec.ifName });
  const routes = await pod.routes({ link: spec.ifName });
  const problems = spec.addresses.filter((a) => !have.some((h) => h.cidr === a)).map((a) => `${spec.ifName} lacks the address ${a}`);
  if (!link.up) problems.push(`interface ${spec.ifName} of the pod is down`);
  const v4 = spec.addresses.some((a) => !isV6(a));
  if (v4 && !routes.some((r) => r.via === GATEWAY4)) problems.push(`the pod has no route via ${GATEWAY4}`);
  return problems;
}

function said(e: unknown): string {
  return e instanceof Error ? e.message : String(e);
}
