/** CHECK's look at the kernel: devices, addresses, routes and settings, as ADD left them. */
import type { Netlink } from "@calico/linux";
import { isV6 } from "../domain/result.ts";
import type { Kernel } from "../ports.ts";
import { GATEWAY4 } from "./wiring.ts";
import type { DeviceSpec, PodNetwork } from "./wiring.ts";

export type Inspected = Pick<DeviceSpec, "netns" | "ifName" | "hostName"> & Pick<PodNetwork, "addresses" | "hasHostRoutes">;

/** What is not as it should be, in words; empty when all is there. */
export async function inspect(kernel: Kernel, spec: Inspected): Promise<readonly string[]> {
  const pod = kernel.pod(spec.netns);
  if (pod === undefined) return [`the namespace ${spec.netns} is gone`];
  try {
    return [...(await inspectHost(kernel.host(), spec)), ...(await inspectPod(pod, spec))];
  } finally {
    pod.close();
  }
}

async function inspectHost(host: Netlink, spec: Pick<Inspected, "hostName" | "addresses" | "hasHostRoutes">): Promise<readonly string[]> {
  const link = await host.link(spec.hostName);
  if (link === undefined) return [`there is no interface ${spec.hostName} on the host`];
  const routes = await host.routes({ link: spec.hostName });
  const missing = spec.addresses.filter((a) => spec.hasHostRoutes && !routes.some((r) => r.dst === a));
  return [
    ...(link.up ? [] : [`interface ${spec.hostName} is down`]),
    ...missing.map((a) => `there is no route to ${a} over ${spec.hostName}`),
  ];
}

async function inspectPod(pod: Netlink, spec: Pick<Inspected, "ifName" | "addresses">): Promise<readonly string[]> {
  const link = await pod.link(spec.ifName);
  if (link === undefined) return [`there is no interface ${spec.ifName} in the pod`];
  const have = await pod.addresses({ link: spec.ifName });
  const routes = await pod.routes({ link: spec.ifName });
  const problems = spec.addresses.filter((a) => !have.some((h) => h.cidr === a)).map((a) => `${spec.ifName} lacks the address ${a}`);
  if (!link.up) problems.push(`interface ${spec.ifName} of the pod is down`);
  const v4 = spec.addresses.some((a) => !isV6(a));
  if (v4 && !routes.some((r) => r.via === GATEWAY4)) problems.push(`the pod has no route via ${GATEWAY4}`);
  const v6 = spec.addresses.some(isV6);
  if (v6 && !routes.some((r) => isV6(r.dst) && r.via?.startsWith("fe80:"))) problems.push("the pod has no IPv6 route via its host");
  return problems;
}
