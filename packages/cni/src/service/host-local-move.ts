/**
 * From host-local to this IPAM: host-local is made to refuse the network, then what the node's pods have is written down as theirs.
 *
 * In this order no address is free anywhere in between: until host-local refuses, it keeps all that it gave; from then on nobody on this node gives
 * any. A call that is cut off is finished by the next.
 *
 * Source: calico cni-plugin/pkg/upgrade/migrate.go. Deviations: the cluster's datastore is not locked meanwhile, and no executable of another's is
 * removed. An address that nobody seems to have is given up only when no route leads to it and it was not given just now. Tunnel addresses are
 * the IPAM service's.
 */
import type { Ipam } from "@calico/ipam";
import { cidrContains, formatIp, parseCidr, parseIp } from "@calico/model";
import type { Netlink } from "@calico/linux";
import type { PodOnNode } from "../domain/pod.ts";
import { hostCidr } from "../domain/result.ts";
import { ipamHandle } from "../domain/workload.ts";
import type { Datastore } from "../ports.ts";
import { endpointsOn } from "./gc.ts";
import { checkReady } from "./identity.ts";
import { goTime, isOurs } from "./ipam-plugin.ts";

/** The network whose addresses are moved: the name in Calico's own configuration. */
export const MOVED_NETWORK = "k8s-pod-network";

/** `containerId` is empty where host-local was ended while it wrote the file. */
export type HostLocalAddress = { readonly ip: string; readonly containerId: string; readonly givenMs: number };

/** What host-local keeps of that network on this node. */
export interface HostLocal {
  /** Others that open it wait until this is disposed. */
  open(): Promise<HeldAddresses>;
}

export interface HeldAddresses extends AsyncDisposable {
  list(): readonly HostLocalAddress[];
  /** From here on host-local refuses the network, and its calls under way have ended. `check` runs before, while host-local waits; not if it has refused before. */
  retire(check: () => Promise<void>): Promise<void>;
  /** Only after `retire`. */
  forget(ip: string): void;
}

type MovePorts = {
  /** Asked for only where there is something to move. */
  readonly datastore: () => Pick<Datastore, "resources"> & { readonly ipam: Pick<Ipam, "assignIp" | "ownerOf"> };
  readonly host: Pick<Netlink, "routes">;
  readonly hostLocal: HostLocal;
  readonly podsOn: (node: string) => Promise<readonly PodOnNode[]>;
  readonly nowMs: () => number;
};

type Owner = { readonly namespace: string; readonly name: string };
/** `wait`: somebody may have it whom nobody has told of yet. */
type Fate = { readonly is: "owned"; readonly owner: Owner } | { readonly is: "free" } | { readonly is: "wait"; readonly why: string };
type Found = { readonly address: HostLocalAddress; readonly fate: Fate };

/** So long after host-local gave an address its pod may still be unknown to all. */
const YOUNG_MS = 300_000;

/** Throws with what stands in the way; `say` is told what became of each address. */
export async function moveFromHostLocal(
  ports: MovePorts,
  o: { readonly node: string; readonly say: (what: string) => void },
): Promise<void> {
  await using held = await ports.hostLocal.open();
  await held.retire(async () => {
    const problems = await checked(ports, await look(ports, held, o.node));
    if (problems.length > 0) throw new Error(`${problems.join("; ")} (nothing was changed: run this again)`);
  });
  const problems: string[] = [];
  for (const { address, fate } of await look(ports, held, o.node)) {
    const problem =
      fate.is === "wait" ? `${address.ip} ${fate.why}` : fate.is === "owned" ? await assign(ports, { ...o, address, ...fate }) : undefined;
    if (problem !== undefined) {
      problems.push(problem);
      continue;
    }
    held.forget(address.ip);
    o.say(fate.is === "owned" ? `moved ${address.ip} of ${nameOf(fate.owner)}` : `gave up ${address.ip}: no pod, no endpoint and no route`);
  }
  if (problems.length > 0) throw new Error(`${problems.join("; ")} (host-local refuses the network; run this again)`);
}

const nameOf = ({ namespace, name }: Owner) => `${namespace}/${name}`;

async function look(ports: MovePorts, held: HeldAddresses, node: string): Promise<readonly Found[]> {
  const addresses = held.list();
  if (addresses.length === 0) return [];
  await checkReady(ports.datastore());
  const endpoints = await endpointsOn({ datastore: ports.datastore(), node });
  const pods = (await ports.podsOn(node)).filter(({ isOver }) => !isOver);
  const routed = new Set((await ports.host.routes({})).filter(({ dev }) => dev !== undefined).map(({ dst }) => dst));
  return addresses.map((address) => {
    const endpoint = endpoints.find(({ spec }) => spec.containerID === address.containerId);
    const known = {
      endpoint: endpoint?.spec.pod ? { namespace: endpoint.metadata.namespace ?? "", name: endpoint.spec.pod } : undefined,
      pod: pods.find(({ ips }) => ips.some((text) => isSame(text, address.ip))),
      isRouted: routed.has(hostCidr(address.ip)),
    };
    return { address, fate: fateOf(address, { ...known, ageMs: ports.nowMs() - address.givenMs }) };
  });
}

type Known = { readonly endpoint: Owner | undefined; readonly pod: Owner | undefined; readonly isRouted: boolean; readonly ageMs: number };

/** The endpoint that names the container is the best proof of whose an address is; a pod's status may tell of an address that it had before. */
function fateOf({ containerId }: HostLocalAddress, { endpoint, pod, isRouted, ageMs }: Known): Fate {
  if (containerId !== "" && endpoint !== undefined) return { is: "owned", owner: endpoint };
  const whose = containerId === "" ? "an unnamed container" : `container ${containerId}`;
  const isYoung = Math.abs(ageMs) < YOUNG_MS; // a time to come is of a clock that was wrong
  if (isYoung)
    return { is: "wait", why: `was given to ${whose} only ${Math.round(ageMs / 1000)} s ago, and no endpoint is known with it yet` };
  if (containerId !== "" && pod !== undefined) return { is: "owned", owner: pod };
  if (!isRouted && pod === undefined) return { is: "free" };
  const sign = pod === undefined ? "has a route on this node, and no endpoint or running pod is known with it" : `is pod ${nameOf(pod)}'s`;
  return { is: "wait", why: `of ${whose} ${sign}: end what has it, or remove host-local's file` };
}

function isSame(text: string, ip: string): boolean {
  const parsed = parseIp(text);
  return parsed.ok && formatIp(parsed.value) === ip;
}

/** What would stand in the way of moving these, found without writing anything. */
async function checked({ datastore }: MovePorts, found: readonly Found[]): Promise<readonly string[]> {
  const { resources, ipam } = datastore();
  const pools = (await resources.list("IPPool")).items
    .filter(({ spec }) => spec.disabled !== true && (spec.allowedUses ?? ["Workload"]).includes("Workload"))
    .map(({ spec }) => parseCidr(spec.cidr));
  const problems: string[] = [];
  for (const { address, fate } of found) {
    if (fate.is === "wait") problems.push(`${address.ip} ${fate.why}`);
    if (fate.is !== "owned") continue;
    const ip = parseIp(address.ip);
    const isPooled = ip.ok && pools.some((cidr) => cidr.ok && cidrContains(cidr.value, ip.value));
    const owner = isPooled ? await ipam.ownerOf(address.ip) : undefined;
    if (!isPooled) problems.push(`${address.ip} of ${nameOf(fate.owner)} is in no IPPool for pods: make one that has the nodes' pod CIDRs`);
    else if (owner?.ok && owner.value.handle !== ipamHandle(MOVED_NETWORK, address.containerId))
      problems.push(
        `${address.ip} of ${nameOf(fate.owner)} is already assigned, to ${owner.value.handle ?? "nobody known"}: see calicoctl ipam explain`,
      );
  }
  return problems;
}

/** Undefined, or why not. */
async function assign(
  { datastore, nowMs }: MovePorts,
  { address: { ip, containerId }, owner, node }: { readonly address: HostLocalAddress; readonly owner: Owner; readonly node: string },
): Promise<string | undefined> {
  const { ipam } = datastore();
  const handle = ipamHandle(MOVED_NETWORK, containerId);
  const attrs = { node, timestamp: goTime(nowMs()), pod: owner.name, namespace: owner.namespace };
  const outcome = await ipam.assignIp({ node, ip, handle, attrs });
  if (outcome.ok || (outcome.error.kind === "taken" && (await isOurs(ipam, ip, handle)))) return undefined;
  return `${ip} of ${nameOf(owner)} cannot be moved: ${outcome.error.message}`;
}
