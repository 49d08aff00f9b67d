/**
 * Whose an allocated address is, judged from one look at the Kubernetes API and at etcd. Nothing here releases anything:
 * the outcome is an owner, or evidence that there is none, each with where it was seen and at which revision.
 *
 * Source: facts §4.8.1, §4.8.2; calico kube-controllers/pkg/controllers/node/ipam.go.
 */
import { isVmHandle } from "@calico/model";

export interface Allocation {
  /** Different for each time an address is given. */
  readonly id: string;
  readonly ip: string;
  readonly block: string;
  readonly pool: string | undefined;
  readonly handle: string | undefined;
  readonly sequence: bigint | undefined;
  readonly node: string | undefined;
  readonly namespace: string | undefined;
  readonly pod: string | undefined;
  readonly type: string | undefined;
  readonly service: string | undefined;
  /** In a block of another host. */
  readonly borrowed: boolean;
  /** Of a virtual machine, whose it is while its pods come and go; `name` undefined where only its handle is known. */
  readonly machine?: { readonly name: string | undefined; readonly owners: readonly PodRef[] };
}

/** A pod that has a machine's address, or is to have it. */
export interface PodRef {
  readonly namespace: string;
  readonly pod: string;
  readonly node: string;
}

export interface Endpoint {
  readonly key: string;
  readonly modRevision: number;
  readonly node: string;
  readonly namespace: string;
  readonly pod: string | undefined;
  readonly ips: readonly string[];
}

export interface PodLook {
  readonly node: string;
  readonly phase: string;
  readonly ips: readonly string[];
}

/** What was there, each part with the revision of its one list. Pods and nodes are read after the blocks. */
export interface World {
  readonly pods: ReadonlyMap<string, PodLook>;
  readonly podsRevision: string;
  readonly kubeNodes: ReadonlySet<string>;
  readonly nodesRevision: string;
  /** Calico node → the Kubernetes node it stands for; undefined for one that is not Kubernetes'. */
  readonly calicoNodes: ReadonlyMap<string, string | undefined>;
  readonly endpoints: ReadonlyMap<string, readonly Endpoint[]>;
  readonly etcdRevision: number;
  /** `namespace/name` of all virtual machines, running or not; undefined where nobody asked, or the API does not say. */
  readonly machines?: { readonly names: ReadonlySet<string>; readonly revision: string } | undefined;
}

export interface Evidence {
  readonly kind:
    "machineMissing" | "podMissing" | "podElsewhere" | "podFinished" | "podHasOtherIps" | "nodeGone" | "endpointMissing" | "endpointStale";
  readonly text: string;
  readonly source: "kubernetes" | "etcd";
  readonly revision: string;
}

export type Verdict =
  | { readonly kind: "owned"; readonly owner: string }
  /** `atOnce`: its node is gone, so that no grace is owed. */
  | { readonly kind: "unowned"; readonly evidence: readonly Evidence[]; readonly atOnce: boolean }
  /** Not this collector's to judge. */
  | { readonly kind: "exempt"; readonly reason: string };

const WINDOWS_HANDLE = "windows-reserved-ipam-handle";

export function judge(a: Allocation, world: World, sawNode: (node: string) => boolean): Verdict {
  if (a.handle?.startsWith(WINDOWS_HANDLE)) return { kind: "exempt", reason: "reserved for Windows" };
  if (a.service !== undefined || a.type === "LoadBalancer")
    return { kind: "exempt", reason: `service ${a.namespace ?? ""}/${a.service ?? ""}: released by the load balancer controller` };
  if (a.machine !== undefined) return judgeMachine(a, a.machine, world);
  if (a.node === undefined) return { kind: "exempt", reason: "no node is recorded with it" };
  const gone = goneEvidence(a.node, world);
  const atOnce = gone !== undefined && (sawNode(a.node) || !world.calicoNodes.has(a.node));
  if (a.type !== undefined)
    return gone === undefined ? { kind: "owned", owner: `${a.type} of node ${a.node}` } : { kind: "unowned", evidence: [gone], atOnce };
  if (a.pod !== undefined) return judgePod(a, world, { gone, atOnce });
  const endpoint = world.endpoints.get(a.ip)?.[0];
  if (endpoint !== undefined && gone === undefined) return { kind: "owned", owner: `endpoint ${endpoint.key}` };
  if (gone === undefined) return { kind: "owned", owner: `container of handle ${a.handle ?? "(none)"} on node ${a.node}` };
  return { kind: "unowned", evidence: [gone, endpointEvidence(a, world)], atOnce: false };
}

/** The machine's for as long as there is a machine of the name, also while it does not run; and its pods', should they outlive it. */
function judgeMachine(a: Allocation, { name, owners }: NonNullable<Allocation["machine"]>, world: World): Verdict {
  const { machines } = world;
  const text = name === undefined ? `of handle ${a.handle ?? "(none)"}` : name;
  if (machines === undefined)
    return { kind: "exempt", reason: `virtual machine ${text}: the Kubernetes API lists no virtual machines to look it up in` };
  const isThere = name === undefined ? [...machines.names].some((n) => isMachineOf(a.handle ?? "", n)) : machines.names.has(name);
  if (isThere) return { kind: "owned", owner: `virtual machine ${text}` };
  const lost = owners.map((o) => ({ o, evidence: podEvidence({ ...a, ...o }, world) }));
  const alive = lost.find(({ evidence }) => evidence === undefined);
  if (alive !== undefined) return { kind: "owned", owner: `pod ${alive.o.namespace}/${alive.o.pod} of virtual machine ${text}` };
  const missing: Evidence = {
    ...{ kind: "machineMissing", source: "kubernetes", revision: machines.revision },
    text: `no VirtualMachine or VirtualMachineInstance ${text}`,
  };
  return {
    kind: "unowned",
    evidence: [missing, ...lost.flatMap(({ evidence }) => evidence ?? []), endpointEvidence(a, world)],
    atOnce: false,
  };
}

function isMachineOf(handle: string, name: string): boolean {
  const at = name.indexOf("/");
  return isVmHandle(handle, { namespace: name.slice(0, at), name: name.slice(at + 1) });
}

/** The pods that an address was given to. */
export function ownersOf(
  a: Pick<Allocation, "machine" | "namespace" | "pod" | "node">,
): readonly { readonly [K in keyof PodRef]: string | undefined }[] {
  return a.machine?.owners ?? [{ namespace: a.namespace, pod: a.pod, node: a.node }];
}

/**
 * Endpoints that a machine left behind on a node that could not say so: of pods that are gone, and that are not its owners any more. The
 * machine's address stays allocated, so that nothing else would ever take them away.
 */
export function straysOf(a: Allocation, world: World): readonly { readonly endpoint: Endpoint; readonly evidence: Evidence }[] {
  if (a.machine === undefined) return [];
  const isOwners = (e: Endpoint) => ownersOf(a).some((o) => o.namespace === e.namespace && o.pod === e.pod && o.node === e.node);
  return (world.endpoints.get(a.ip) ?? []).flatMap((endpoint) => {
    const { namespace, pod, node } = endpoint;
    const evidence = pod === undefined || isOwners(endpoint) ? undefined : podEvidence({ ip: a.ip, namespace, pod, node }, world);
    return evidence === undefined ? [] : [{ endpoint, evidence }];
  });
}

/** The nodes that an address still needs. A machine that does not run is on none, whatever node it was on. */
export function hostsOf(a: Allocation, world: World): readonly string[] {
  if (a.machine === undefined) return a.node === undefined ? [] : [a.node];
  return a.machine.owners.flatMap((o) => (podEvidence({ ...a, ...o }, world) === undefined ? [o.node] : []));
}

function judgePod(a: Allocation, world: World, o: { readonly gone: Evidence | undefined; readonly atOnce: boolean }): Verdict {
  const lost = podEvidence(a, world);
  if (lost === undefined) return { kind: "owned", owner: `pod ${nameOf(a)}` };
  const evidence = [lost, ...(o.gone === undefined ? [] : [o.gone]), endpointEvidence(a, world)];
  return { kind: "unowned", evidence, atOnce: o.atOnce };
}

/** Why the pod that it was given to does not have it; undefined if it may. */
function podEvidence(a: Pick<Allocation, "ip" | "namespace" | "pod" | "node">, world: World): Evidence | undefined {
  const say = (kind: Evidence["kind"], text: string): Evidence => ({ kind, text, source: "kubernetes", revision: world.podsRevision });
  const pod = world.pods.get(nameOf(a));
  if (pod === undefined) return say("podMissing", `no pod ${nameOf(a)}`);
  const node = kubeNameOf(a.node ?? "", world);
  if (pod.node !== "" && pod.node !== node) return say("podElsewhere", `pod ${nameOf(a)} is on node ${pod.node}, not ${node}`);
  if (pod.phase === "Failed" || pod.phase === "Succeeded") return say("podFinished", `pod ${nameOf(a)} is ${pod.phase}`);
  // A pod that is being started again has its endpoint before its status says so.
  const wired = world.endpoints.get(a.ip)?.some((e) => e.namespace === a.namespace && e.pod === a.pod) ?? false;
  if (pod.ips.length > 0 && !pod.ips.includes(a.ip) && !wired)
    return say("podHasOtherIps", `pod ${nameOf(a)} has ${pod.ips.join(", ")}, not ${a.ip}`);
  return undefined;
}

function endpointEvidence(a: Pick<Allocation, "ip">, world: World): Evidence {
  const found = world.endpoints.get(a.ip)?.[0];
  const revision = String(world.etcdRevision);
  return found === undefined
    ? { kind: "endpointMissing", text: `no workload endpoint has ${a.ip}`, source: "etcd", revision }
    : { kind: "endpointStale", text: `${found.key} of revision ${found.modRevision} is left over`, source: "etcd", revision };
}

function goneEvidence(node: string, world: World): Evidence | undefined {
  if (!isNodeGone(node, world)) return undefined;
  const known = world.calicoNodes.has(node) ? "" : ", nor a Calico node";
  return {
    kind: "nodeGone",
    text: `no Kubernetes node ${kubeNameOf(node, world)}${known}`,
    source: "kubernetes",
    revision: world.nodesRevision,
  };
}

/** A Calico node that is not Kubernetes' is there for as long as it is in etcd. */
export function isNodeGone(node: string, world: World): boolean {
  if (world.calicoNodes.has(node) && world.calicoNodes.get(node) === undefined) return false;
  return !world.kubeNodes.has(kubeNameOf(node, world));
}

function kubeNameOf(node: string, world: World): string {
  return world.calicoNodes.get(node) ?? node;
}

function nameOf(a: Pick<Allocation, "namespace" | "pod">): string {
  return `${a.namespace ?? ""}/${a.pod ?? ""}`;
}
