/** GC and STATUS. Source: CNI SPEC 1.1.0 "GC", "STATUS". */
import type { IpamError } from "@calico/ipam";
import { isVmHandle } from "@calico/model";
import type { Result } from "@calico/model";
import { CniFault } from "../domain/fault.ts";
import { ipamHandle } from "../domain/workload.ts";
import type { Allocation, Datastore, Ports } from "../ports.ts";
import type { Job } from "./add.ts";
import { forget } from "./del.ts";
import { targetOf } from "./etcd-target.ts";
import { checkReady, nodeOf } from "./identity.ts";
import { ipamFault } from "./ipam-fault.ts";
import { HOST_MAC } from "./link-local.ts";
import { removeLink } from "./unwire.ts";

type Scope = {
  readonly job: Job;
  readonly node: string;
  readonly datastore: Datastore;
  readonly isKept: (container: string, ifName?: string) => boolean;
};

/**
 * Take back what no valid attachment of this network on this node accounts for: endpoints, addresses and devices, also
 * those of an ADD that was killed halfway. Calls that are being worked on are left alone. Goes on over failures, then
 * reports the first.
 */
export async function gc(ports: Ports, job: Job): Promise<readonly string[]> {
  const { conf, settings } = job;
  const valid = conf["cni.dev/valid-attachments"];
  if (valid == null)
    throw new CniFault("invalidConfig", "invalid network configuration: cni.dev/valid-attachments: is missing", "GC needs it");
  const node = nodeOf(conf, { files: ports.files, settings });
  const datastore = ports.datastoreOf(targetOf(conf));
  await checkReady(datastore);
  const isKept: Scope["isKept"] = (container, ifName) =>
    settings.isBusy?.({ containerId: container }) === true ||
    valid.some((v) => v.containerID === container && (ifName === undefined || v.ifname === ifName));
  const scope: Scope = { job, node, datastore, isKept };
  const removed: string[] = [];
  const problems: unknown[] = [];
  for (const collect of [collectEndpoints, collectAddresses, collectDevices]) {
    for await (const outcome of collect(ports, scope)) {
      if ("removed" in outcome) removed.push(outcome.removed);
      else problems.push(outcome.problem);
    }
  }
  if (problems.length > 0) throw problems[0];
  return removed;
}

type Outcome = { readonly removed: string } | { readonly problem: unknown };

async function attempt(name: string, action: () => Promise<void>): Promise<Outcome> {
  try {
    await action();
    return { removed: name };
  } catch (problem) {
    return { problem };
  }
}

/** An endpoint is another network's when its container holds addresses of one and none of this. */
async function* collectEndpoints(ports: Ports, { job, node, datastore, isKept }: Scope): AsyncGenerator<Outcome> {
  const allocations = await datastore.allocationsOf(node);
  for (const { metadata, spec } of (await datastore.resources.list("WorkloadEndpoint")).items) {
    const { containerID = "", endpoint = "" } = spec;
    if (spec.node !== node || containerID === "" || isKept(containerID, endpoint)) continue;
    const held = allocations.filter((a) => a.owner?.container === containerID || a.handle.endsWith(`.${containerID}`));
    const isOurs = ({ handle }: Allocation) =>
      handle === ipamHandle(job.conf.name, containerID) || handle.startsWith(machineHandles(job.conf.name));
    if (held.length > 0 && !held.some(isOurs)) continue;
    const args = spec.pod
      ? new Map([
          ["K8S_POD_NAME", spec.pod],
          ["K8S_POD_NAMESPACE", metadata.namespace ?? ""],
        ])
      : new Map<string, string>();
    const call = { ...job.call, command: "DEL", containerId: containerID, ifName: endpoint, netns: "", args } as const;
    yield await attempt(metadata.name, () => forget(ports, { ...job, call }));
  }
}

async function* collectAddresses(_ports: Ports, { job, node, datastore, isKept }: Scope): AsyncGenerator<Outcome> {
  const prefix = ipamHandle(job.conf.name, "");
  for (const { handle, ip, owner } of await datastore.allocationsOf(node)) {
    if (!handle.startsWith(prefix)) continue;
    if (!isVmHandle(handle)) {
      if (!isKept(handle.slice(prefix.length)))
        yield await attempt(ip, async () => orThrow(handle, await datastore.ipam.releaseByHandle(handle)));
    } else if (owner !== undefined && !isKept(owner.container) && handle.startsWith(machineHandles(job.conf.name))) {
      // A machine's address is its own, also while none of its containers is left.
      yield await attempt(ip, async () => orThrow(handle, await datastore.ipam.disown({ handle, owner, isEnding: false })));
    }
  }
}

function machineHandles(network: string): string {
  return `${network}.vmi.`;
}

function orThrow(handle: string, outcome: Result<unknown, IpamError>): void {
  if (!outcome.ok && outcome.error.kind !== "notFound") throw ipamFault(`failed to release ${handle}`, outcome.error);
}

/** Only the agent knows which devices are being set up, so only it removes those without an endpoint. */
async function* collectDevices(ports: Ports, { job, node, datastore }: Scope): AsyncGenerator<Outcome> {
  const { isBusy } = job.settings;
  if (isBusy === undefined) return;
  const host = ports.kernel.host();
  const links = await host.links();
  const wanted = new Set(
    (await datastore.resources.list("WorkloadEndpoint")).items.flatMap((e) => (e.spec.node === node ? [e.spec.interfaceName] : [])),
  );
  for (const { name, kind, mac } of links) {
    const isPods = kind === "veth" && mac === HOST_MAC && name.startsWith(job.call.vethPrefix);
    if (!isPods || wanted.has(name) || isBusy({ hostVeth: name })) continue;
    yield await attempt(name, () => removeLink(host, name));
  }
}

/** 50: ADD would fail. 51: besides, felix has not run since the node came up, so pods may lack what it does for them. */
export async function status(ports: Ports, { conf, settings }: Job): Promise<void> {
  try {
    nodeOf(conf, { files: ports.files, settings });
    await checkReady(ports.datastoreOf(targetOf(conf)));
  } catch (e) {
    const folder = conf.endpoint_status_dir || `${settings.runDir}/endpoint-status`;
    const isLimited = settings.policyWaitMs > 0 && !ports.files.exists(folder);
    const details = e instanceof Error ? e.message : String(e);
    if (!isLimited) throw new CniFault("notAvailable", "the plugin cannot serve ADD now", details);
    throw new CniFault(
      "limitedConnectivity",
      "the plugin cannot serve ADD now, and pods may have limited connectivity",
      `${details}; ${folder} does not exist`,
    );
  }
}
