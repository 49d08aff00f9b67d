/** The endpoint's record: written by ADD, and, outside of Kubernetes, joined by a second network of the same container. */
import { ok } from "@calico/model";
import type { Resource } from "@calico/model";
import { endpointOf, networkProfile, networksOf, withNetworks } from "../domain/endpoint.ts";
import type { EndpointFacts } from "../domain/endpoint.ts";
import { CniFault } from "../domain/fault.ts";
import type { CniResult } from "../domain/result.ts";
import type { Workload } from "../domain/workload.ts";
import type { Datastore, Ports } from "../ports.ts";
import type { Job } from "./add.ts";

type Endpoint = Resource<"WorkloadEndpoint">;

/** How often an endpoint is tried to be changed against others' writes. */
const ATTEMPTS = 6;

export async function writeEndpoint(datastore: Datastore, workload: Workload, facts: EndpointFacts): Promise<void> {
  const endpoint = endpointOf(workload, facts);
  // A pod is new nearly always; then one write does.
  const { resources } = datastore;
  const created = await resources.create(endpoint);
  if (created.ok) return remember(resources, created.value);
  if (created.error.kind !== "alreadyExists") throw cannotWrite(workload, created.error.message);
  const written = await resources.apply(endpoint);
  if (!written.ok) throw cannotWrite(workload, written.error.message);
  remember(resources, written.value);
}

/** More than a node has pods. */
const REMEMBERED = 1024;

/** Endpoints as they were written last, by namespace and name: who removes one need not read it before, the write compares the revision. */
const remembered = new WeakMap<Datastore["resources"], Map<string, Endpoint>>();

function remember(resources: Datastore["resources"], endpoint: Endpoint): void {
  const known = remembered.get(resources) ?? new Map<string, Endpoint>();
  remembered.set(resources, known);
  const key = `${endpoint.metadata.namespace}/${endpoint.metadata.name}`;
  known.delete(key);
  known.set(key, endpoint);
  for (const oldest of known.keys()) {
    if (known.size <= REMEMBERED) break;
    known.delete(oldest);
  }
}

/** Of this container, and once: what it says is tried, not trusted. */
function recall(resources: Datastore["resources"], w: Workload): Endpoint | undefined {
  const key = `${w.namespace}/${w.wepName}`;
  const endpoint = remembered.get(resources)?.get(key);
  if (endpoint?.spec.containerID !== w.containerId) return undefined;
  remembered.get(resources)?.delete(key);
  return endpoint;
}

function cannotWrite(w: Workload, why: string): CniFault {
  return new CniFault("internal", `cannot write the workload endpoint ${w.namespace}/${w.wepName}`, why);
}

/** The network's own profile, for pods without Kubernetes' ones. */
export async function ensureProfile({ resources }: Datastore, workload: Workload, network: string): Promise<void> {
  // Only the first pod of a network finds none.
  const found = await resources.get({ kind: "Profile", name: network });
  if (found.ok) return;
  const made = await resources.create(networkProfile(workload, network));
  if (!made.ok && made.error.kind !== "alreadyExists")
    throw new CniFault("internal", `cannot write the profile ${network}`, made.error.message);
}

/**
 * The result for a container that has this endpoint already: its addresses, and this network's profile added to it.
 * Undefined if there is no such endpoint, or its device is not in the namespace, so that it must be wired.
 *
 * Source: calico cni-plugin/pkg/plugin/plugin.go (cmdAdd, endpointAlreadyExisted); facts §3.3.10.
 */
export async function joinExisting(
  ports: Ports,
  { conf, call }: Job,
  { datastore, workload }: { datastore: Datastore; workload: Workload },
): Promise<CniResult | undefined> {
  const { namespace, wepName: name } = workload;
  for (let i = 0; i < ATTEMPTS; i++) {
    const found = await datastore.resources.get({ kind: "WorkloadEndpoint", namespace, name });
    if (!found.ok || found.value.spec.containerID !== call.containerId) return undefined;
    const mac = await macInPod(ports, call);
    if (mac === undefined) return undefined;
    if ((conf.policy?.type ?? "") === "") await ensureProfile(datastore, workload, conf.name);
    const written = await datastore.resources.update(joined(found.value, conf.name));
    if (written.ok) return joinedResult({ conf, call }, { workload, endpoint: found.value, mac });
    if (written.error.kind !== "updateConflict") throw cannotWrite(workload, written.error.message);
  }
  throw changedTooOften(workload, "join");
}

function joined(endpoint: Endpoint, network: string): Endpoint {
  const { spec } = endpoint;
  const profiles = [...new Set([...(spec.profiles ?? []), network])];
  const networks = networksOf(endpoint);
  // Of whom it was is not known where nothing was written down.
  const recorded = networks === undefined ? endpoint : withNetworks(endpoint, [...new Set([...networks, network])]);
  return { ...recorded, spec: { ...spec, profiles } };
}

function joinedResult(
  { conf, call }: Pick<Job, "conf" | "call">,
  { workload, endpoint, mac }: { readonly workload: Workload; readonly endpoint: Endpoint; readonly mac: string },
): CniResult {
  return {
    interfaces: [{ name: workload.hostVeth }, { name: call.ifName, mac, sandbox: call.netns }],
    ips: (endpoint.spec.ipNetworks ?? []).map((address) => ({ address, interface: 1 })),
    routes: [],
    ...(conf.dns == null ? {} : { dns: conf.dns }),
  };
}

/** Whether the network only joined the endpoint, which the first network of the container made. */
function hasJoined(endpoint: Endpoint, network: string): boolean {
  return (networksOf(endpoint) ?? []).indexOf(network) > 0;
}

/** Whether the container's device stays when this network leaves it. */
export async function isShared({ resources }: Datastore, w: Workload, network: string): Promise<boolean> {
  const found = await resources.get({ kind: "WorkloadEndpoint", namespace: w.namespace, name: w.wepName });
  return found.ok && found.value.spec.containerID === w.containerId && hasJoined(found.value, network);
}

/** Remove the endpoint, unless a newer container of the same pod has it by now. A network that only joined it leaves it. */
export async function removeEndpoint(
  { resources }: Datastore,
  w: Workload,
  network: string,
): Promise<"removed" | "gone" | "another's" | "left"> {
  const ref = { kind: "WorkloadEndpoint", namespace: w.namespace, name: w.wepName } as const;
  let known = recall(resources, w);
  for (let i = 0; i < ATTEMPTS; i++) {
    const current = known === undefined ? await resources.get(ref) : ok(known);
    known = undefined;
    if (!current.ok) {
      if (current.error.kind === "doesNotExist") return "gone";
      throw new CniFault("internal", `cannot read the workload endpoint ${w.namespace}/${w.wepName}`, current.error.message);
    }
    if (current.value.spec.containerID !== w.containerId) return "another's";
    if (hasJoined(current.value, network)) {
      if ((await resources.update(without(current.value, network))).ok) return "left";
      continue;
    }
    const removed = await resources.delete(ref, current.value.metadata.resourceVersion);
    if (removed.ok) return "removed";
    if (removed.error.kind === "doesNotExist") return "gone";
  }
  throw changedTooOften(w, "remove");
}

export function without(endpoint: Endpoint, network: string): Endpoint {
  const { spec } = endpoint;
  const others = (names: readonly string[] | undefined) => (names ?? []).filter((name) => name !== network);
  return { ...withNetworks(endpoint, others(networksOf(endpoint))), spec: { ...spec, profiles: others(spec.profiles) } };
}

function changedTooOften(w: Workload, what: string): CniFault {
  return new CniFault(
    "tryAgain",
    `cannot ${what} the workload endpoint ${w.namespace}/${w.wepName}`,
    `it changed ${ATTEMPTS} times meanwhile`,
  );
}

async function macInPod({ kernel }: Ports, { netns, ifName }: { netns: string; ifName: string }): Promise<string | undefined> {
  const pod = kernel.pod(netns);
  if (pod === undefined) return undefined;
  try {
    return (await pod.link(ifName))?.mac;
  } finally {
    pod.close();
  }
}
