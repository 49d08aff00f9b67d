/**
 * From host-local to this IPAM: what the node's pods have is written down as theirs, then host-local gives none of it any more.
 *
 * Source: calico cni-plugin/pkg/upgrade/migrate.go. Deviations: the cluster's datastore is not locked meanwhile, and no executable of another's is
 * removed: host-local's own lock is held, and afterwards a file in the place of its folder has it refuse this network. An address without a
 * pod is given up only when no route leads to it either. Tunnel addresses are the IPAM service's.
 */
import type { Ipam } from "@calico/ipam";
import type { Netlink } from "@calico/linux";
import type { PodOnNode } from "../domain/pod.ts";
import { hostCidr } from "../domain/result.ts";
import { ipamHandle } from "../domain/workload.ts";
import { goTime, isOurs } from "./ipam-plugin.ts";

/** The network whose addresses are moved: the name in Calico's own configuration. */
export const MOVED_NETWORK = "k8s-pod-network";

export type HostLocalAddress = { readonly ip: string; readonly containerId: string };

/** What host-local keeps of that network on this node. */
export interface HostLocal {
  /**
   * Runs `move` while host-local waits, and retires it for this network when that has succeeded; again for what it gave in between. Undefined
   * where there is nothing of host-local.
   */
  leave<T>(move: (held: { list(): readonly HostLocalAddress[]; forget(ip: string): void }) => Promise<T>): Promise<T | undefined>;
}

type MovePorts = {
  readonly ipam: Pick<Ipam, "assignIp" | "ownerOf">;
  readonly host: Pick<Netlink, "routes">;
  readonly hostLocal: HostLocal;
  readonly podsOn: (node: string) => Promise<readonly PodOnNode[]>;
  readonly nowMs: () => number;
};

/** What became of each address; undefined where there is nothing of host-local. Throws at the first that cannot be moved; those before it are. */
export async function moveFromHostLocal(ports: MovePorts, node: string): Promise<readonly string[] | undefined> {
  const done: string[] = [];
  return await ports.hostLocal.leave(async (held) => {
    const addresses = held.list();
    const pods = addresses.length === 0 ? [] : await ports.podsOn(node);
    const routed = new Set((await ports.host.routes({})).filter(({ dev }) => dev !== undefined).map(({ dst }) => dst));
    for (const address of addresses) {
      const withIt = pods.filter(({ ips }) => ips.includes(address.ip));
      const pod = withIt.find(({ isOver }) => !isOver) ?? withIt[0]; // a pod that is over may still have its devices
      if (pod !== undefined) await assign(ports, { address, pod, node });
      else if (routed.has(hostCidr(address.ip)))
        throw new Error(
          `${address.ip} of container ${address.containerId} has a route on this node, and the API server knows no pod with it yet: run this again`,
        );
      held.forget(address.ip);
      done.push(pod === undefined ? `gave up ${address.ip}: no pod and no route` : `moved ${address.ip} of ${pod.namespace}/${pod.name}`);
    }
    return done;
  });
}

async function assign(
  { ipam, nowMs }: MovePorts,
  { address: { ip, containerId }, pod, node }: { address: HostLocalAddress; pod: PodOnNode; node: string },
): Promise<void> {
  const handle = ipamHandle(MOVED_NETWORK, containerId);
  const attrs = { node, timestamp: goTime(nowMs()), pod: pod.name, namespace: pod.namespace };
  const outcome = await ipam.assignIp({ node, ip, handle, attrs });
  if (outcome.ok || (outcome.error.kind === "taken" && (await isOurs(ipam, ip, handle)))) return;
  const advice = outcome.error.kind === "noPool" ? "; make an IPPool that has the addresses of the nodes' pod CIDRs" : "";
  throw new Error(`${ip} of pod ${pod.namespace}/${pod.name} cannot be moved: ${outcome.error.message}${advice}`);
}
