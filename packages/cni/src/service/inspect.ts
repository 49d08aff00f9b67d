/** CHECK's look at the kernel: devices, addresses, routes and settings, as ADD left them. */
import type { Netlink, Route } from "@calico/linux";
import { isV6 } from "../domain/result.ts";
import type { Kernel } from "../ports.ts";
import { GATEWAY4 } from "./wiring.ts";

export type Inspected = {
  readonly netns: string;
  readonly ifName: string;
  readonly hostName: string;
  /** /32 and /128. */
  readonly addresses: readonly string[];
  /** The pod's, as others know it. */
  readonly macs: readonly string[];
  /** Destinations that the pod reaches through its host. */
  readonly routes: readonly string[];
  /** False for the target of a live migration: the node's packets go to the source. */
  readonly hasHostRoutes: boolean;
};

/** What is not as it should be, in words; empty when all is there. */
export async function inspect(kernel: Kernel, spec: Inspected): Promise<readonly string[]> {
  const pod = kernel.pod(spec.netns);
  if (pod === undefined) return [`the namespace ${spec.netns} is gone`];
  try {
    return [...(await inspectHost(kernel, spec)), ...(await inspectPod(pod, spec))];
  } finally {
    pod.close();
  }
}

async function inspectHost(kernel: Kernel, spec: Inspected): Promise<readonly string[]> {
  const { hostName, addresses } = spec;
  const host = kernel.host();
  const link = await host.link(hostName);
  if (link === undefined) return [`there is no interface ${hostName} on the host`];
  const problems = link.up ? [] : [`interface ${hostName} is down`];
  if (spec.hasHostRoutes) for (const address of addresses) problems.push(...(await inspectHostRoute(host, address, hostName)));
  return [...problems, ...inspectSysctls(kernel, spec)];
}

async function inspectHostRoute(host: Netlink, address: string, hostName: string): Promise<readonly string[]> {
  const route = await host.routeTo(address.split("/")[0] ?? "");
  if (route?.dev === hostName) return [];
  if (route?.dst !== address) return [`there is no route to ${address} over ${hostName}`];
  return [`the node's route to ${address} is over ${route.dev} (metric ${route.metric ?? 0}), not over ${hostName}`];
}

/** Without these the host does not answer for the pod's gateway, or drops what the pod sends. */
function inspectSysctls(kernel: Kernel, { hostName, addresses }: Inspected): readonly string[] {
  const problems: string[] = [];
  const expectValue = (value: string, ...names: readonly [string, ...string[]]) => {
    const found = names.map((name) => kernel.readSysctl(name));
    if (!found.includes(value)) problems.push(`sysctl ${names[0]} is ${found[0] ?? "not there"}, expected ${value}`);
  };
  if (addresses.some((a) => !isV6(a))) {
    expectValue("1", `net/ipv4/conf/${hostName}/proxy_arp`, "net/ipv4/conf/all/proxy_arp");
    expectValue("1", `net/ipv4/conf/${hostName}/forwarding`);
  }
  if (addresses.some(isV6)) {
    expectValue("0", `net/ipv6/conf/${hostName}/disable_ipv6`);
    expectValue("1", `net/ipv6/conf/${hostName}/forwarding`);
  }
  return problems;
}

async function inspectPod(pod: Netlink, spec: Inspected): Promise<readonly string[]> {
  const { ifName, addresses } = spec;
  const link = await pod.link(ifName);
  if (link === undefined) return [`there is no interface ${ifName} in the pod`];
  const have = await pod.addresses({ link: ifName });
  const problems = addresses.filter((a) => !have.some((h) => h.cidr === a)).map((a) => `${ifName} lacks the address ${a}`);
  if (!link.up) problems.push(`interface ${ifName} of the pod is down`);
  const otherMac = spec.macs.find((mac) => mac.toLowerCase() !== link.mac?.toLowerCase());
  if (otherMac !== undefined) problems.push(`interface ${ifName} of the pod has the MAC address ${link.mac}, expected ${otherMac}`);
  // A plugin after this one may have put them into a table of its own.
  const routes = await pod.routes({ table: "all" });
  const wanted = [...(addresses.some((a) => !isV6(a)) ? [`${GATEWAY4}/32`] : []), ...spec.routes];
  const missing = wanted.filter((dst) => !routes.some((route) => isThere(route, { dst, ifName })));
  return [...problems, ...missing.map((dst) => `the pod has no route to ${dst} over ${ifName}`)];
}

/** What another interface of the pod was given on purpose is there, too. */
function isThere(route: Route, { dst, ifName }: { readonly dst: string; readonly ifName: string }): boolean {
  if (route.dst !== dst || route.type !== "unicast") return false;
  if (route.dev !== ifName || dst === `${GATEWAY4}/32`) return true;
  return isV6(dst) ? route.via?.startsWith("fe80:") === true : route.via === GATEWAY4;
}
