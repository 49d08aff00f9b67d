/** The endpoint's record: written by ADD, and, outside of Kubernetes, joined by a second network of the same container. */
import { endpointOf, networkProfile, networksOf, withNetworks } from "../domain/endpoint.ts";
import type { EndpointFacts } from "../domain/endpoint.ts";
import { CniFault } from "../domain/fault.ts";
import type { CniResult } from "../domain/result.ts";
import type { Workload } from "../domain/workload.ts";
import type { Datastore, Ports } from "../ports.ts";
import type { Job } from "./add.ts";

export async function writeEndpoint(datastore: Datastore, workload: Workload, facts: EndpointFacts): Promise<void> {
  const endpoint = endpointOf(workload, facts);
  // A pod is new nearly always; then one write does.
  const created = await datastore.resources.create(endpoint);
  if (created.ok) return;
  if (created.error.kind !== "alreadyExists") throw cannotWrite(workload, created.error.message);
  const written = await datastore.resources.apply(endpoint);
  if (!written.ok) throw cannotWrite(workload, written.error.message);
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
  const found = await datastore.resources.get({ kind: "WorkloadEndpoint", namespace, name });
  if (!found.ok || found.value.spec.containerID !== call.containerId) return undefined;
  const mac = await macInPod(ports, call);
  if (mac === undefined) return undefined;
  const { spec } = found.value;
  if ((conf.policy?.type ?? "") === "") await ensureProfile(datastore, workload, conf.name);
  const profiles = [...new Set([...(spec.profiles ?? []), conf.name])];
  const networks = networksOf(found.value);
  // Of whom it was is not known where nothing was written down.
  const recorded = networks === undefined ? found.value : withNetworks(found.value, [...new Set([...networks, conf.name])]);
  const written = await datastore.resources.update({ ...recorded, spec: { ...spec, profiles } });
  if (!written.ok) throw cannotWrite(workload, written.error.message);
  return {
    interfaces: [{ name: workload.hostVeth }, { name: call.ifName, mac, sandbox: call.netns }],
    ips: (spec.ipNetworks ?? []).map((address) => ({ address, interface: 1 })),
    routes: [],
    ...(conf.dns == null ? {} : { dns: conf.dns }),
  };
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
