/**
 * GC: what no valid attachment of this network on this node accounts for is taken back.
 *
 * Several networks may share the node, the prefix of the devices and even a container, and their pods may be somebody else's make. So each
 * thing needs evidence that it is this network's; what has none is left, and the log says why.
 * Source: CNI SPEC 1.1.0 "GC".
 */
import type { IpamError } from "@calico/ipam";
import { isVmHandle } from "@calico/model";
import type { Resource, Result } from "@calico/model";
import { networksOf } from "../domain/endpoint.ts";
import { CniFault } from "../domain/fault.ts";
import { attachmentsOf } from "../domain/netconf.ts";
import { ipamHandle } from "../domain/workload.ts";
import type { Allocation, Datastore, Ports } from "../ports.ts";
import type { Job } from "./add.ts";
import { forget } from "./del.ts";
import { delegateGc } from "./delegate.ts";
import { without } from "./endpoints.ts";
import { targetOf } from "./etcd-target.ts";
import { checkReady, nodeOf } from "./identity.ts";
import { ipamFault } from "./ipam-fault.ts";
import { HOST_MAC } from "./link-local.ts";
import { containerTurn } from "./turns.ts";
import { removeLink } from "./unwire.ts";

type Endpoint = Resource<"WorkloadEndpoint">;

type Scope = {
  readonly job: Job;
  readonly node: string;
  readonly datastore: Datastore;
  /** What the node's containers held when GC began. */
  readonly allocations: readonly Allocation[];
  readonly isKept: (container: string, ifName?: string) => boolean;
};

type Outcome = { readonly removed: string } | { readonly left: string; readonly reason: string } | { readonly problem: unknown };

/**
 * Endpoints, devices and addresses, also those of an ADD that was killed halfway. Calls that are being worked on are left alone. Goes on
 * over failures, then reports the first.
 */
export async function gc(ports: Ports, job: Job): Promise<readonly string[]> {
  const scope = await scopeOf(ports, job);
  const { node, datastore } = scope;
  const delegated = async function* () {
    const outcome = await attempt("", () => delegateGc(ports, { conf: job.conf, call: job.call, node, datastore }));
    if ("problem" in outcome) yield outcome;
  };
  // A device goes before its address: an address that is free while a device has it could be another pod's, too.
  return await collect(job, [collectEndpoints(ports, scope), collectDevices(ports, scope), collectAddresses(ports, scope), delegated()]);
}

/** The addresses alone: for `calico-ipam` under another main plugin. */
export async function gcAddresses(ports: Ports, job: Job): Promise<readonly string[]> {
  return await collect(job, [collectAddresses(ports, await scopeOf(ports, job))]);
}

async function scopeOf(ports: Ports, job: Job): Promise<Scope> {
  const { conf, settings } = job;
  const valid = attachmentsOf(conf);
  if (valid === undefined)
    throw new CniFault("invalidConfig", "invalid network configuration: cni.dev/valid-attachments: is missing", "GC needs it");
  const node = nodeOf(conf, { files: ports.files, settings });
  const datastore = ports.datastoreOf(targetOf(conf));
  await checkReady(datastore);
  const isKept: Scope["isKept"] = (container, ifName) =>
    settings.isBusy?.({ containerId: container }) === true ||
    valid.some((v) => v.containerID === container && (ifName === undefined || v.ifname === ifName));
  return { job, node, datastore, allocations: await datastore.allocationsOf(node), isKept };
}

async function collect({ log }: Job, collectors: readonly AsyncGenerator<Outcome>[]): Promise<readonly string[]> {
  const removed: string[] = [];
  const problems: unknown[] = [];
  for (const collector of collectors) {
    for await (const outcome of collector) {
      if ("removed" in outcome) removed.push(outcome.removed);
      else if ("left" in outcome) log.warn("left by garbage collection", outcome);
      else problems.push(outcome.problem);
    }
  }
  log.info("garbage collected", { removed });
  if (problems.length > 0) throw problems[0];
  return removed;
}

async function attempt(name: string, action: () => Promise<void>): Promise<Outcome> {
  try {
    await action();
    return { removed: name };
  } catch (problem) {
    return { problem };
  }
}

/** Under the container's turn, so that it is not made again meanwhile. Who has the turn sees to the container, or the next GC does. */
async function attemptOn(
  { job }: Scope,
  container: string,
  o: { readonly name: string; readonly action: () => Promise<void> },
): Promise<Outcome> {
  const { locks, signal } = job;
  const [main, ipam] = (["calico", "calico-ipam"] as const).map((plugin) => containerTurn(plugin, container)) as [string, string];
  if (locks.isHeld(main) || locks.isHeld(ipam)) return { left: o.name, reason: `another call works on container ${container}` };
  return await locks.run(main, () =>
    locks.run(ipam, () =>
      attempt(o.name, async () => {
        signal?.throwIfAborted();
        await o.action();
      }),
    ),
  );
}

async function* collectEndpoints(ports: Ports, scope: Scope): AsyncGenerator<Outcome> {
  for (const endpoint of await endpointsOn(scope)) {
    const { containerID = "", endpoint: ifName = "" } = endpoint.spec;
    if (containerID === "" || scope.isKept(containerID, ifName)) continue;
    const whose = ownerOf(scope, endpoint);
    const name = `${endpoint.metadata.namespace}/${endpoint.metadata.name}`;
    if (whose === "unknown")
      yield {
        left: name,
        reason: `nothing tells which network made it; if container ${containerID} is gone, delete the workload endpoint`,
      };
    else if (whose === "ours") yield await attemptOn(scope, containerID, { name, action: () => forgetEndpoint(ports, scope, endpoint) });
    else if (whose === "shared") yield await leaveToOthers(scope, endpoint);
  }
}

export async function endpointsOn({
  datastore,
  node,
}: Pick<Scope, "node"> & { readonly datastore: Pick<Datastore, "resources"> }): Promise<readonly Endpoint[]> {
  return (await datastore.resources.list("WorkloadEndpoint")).items.filter((e) => e.spec.node === node);
}

/** By what ADD wrote down, else, as older versions and others write nothing, by who holds the endpoint's addresses. */
function ownerOf(scope: Scope, endpoint: Endpoint): "ours" | "shared" | "another's" | "unknown" {
  const { name } = scope.job.conf;
  const networks = networksOf(endpoint);
  if (networks !== undefined) return !networks.includes(name) ? "another's" : networks.length > 1 ? "shared" : "ours";
  const has = new Set(endpoint.spec.ipNetworks?.map((cidr) => cidr.split("/")[0]));
  const held = scope.allocations.filter((a) => has.has(a.ip));
  if (held.length === 0) return "unknown";
  return held.some((a) => containerOf(name, a) === endpoint.spec.containerID) ? "ours" : "another's";
}

/** The container that has an allocation of that network; undefined for other networks' and others' handles. */
function containerOf(network: string, { handle, owner }: Allocation): string | undefined {
  const prefix = ipamHandle(network, "");
  if (!handle.startsWith(prefix)) return undefined;
  return isVmHandle(handle) ? (handle.startsWith(`${prefix}vmi.`) ? owner?.container : undefined) : handle.slice(prefix.length);
}

async function forgetEndpoint(ports: Ports, { job }: Scope, { metadata, spec }: Endpoint): Promise<void> {
  const args = spec.pod
    ? new Map([
        ["K8S_POD_NAME", spec.pod],
        ["K8S_POD_NAMESPACE", metadata.namespace ?? ""],
      ])
    : new Map<string, string>();
  const about = { containerId: spec.containerID ?? "", ifName: spec.endpoint ?? "", netns: "", args };
  await forget(ports, { ...job, call: { ...job.call, command: "DEL", ...about } });
}

/** The last network of the endpoint takes it away. */
async function leaveToOthers({ job, datastore }: Scope, endpoint: Endpoint): Promise<Outcome> {
  const name = `${endpoint.metadata.namespace}/${endpoint.metadata.name}`;
  const others = networksOf(endpoint)?.filter((network) => network !== job.conf.name) ?? [];
  const written = await datastore.resources.update(without(endpoint, job.conf.name));
  if (!written.ok) return { problem: new CniFault("tryAgain", `cannot write the workload endpoint ${name}`, written.error.message) };
  return { left: name, reason: `it is network ${others.join(", ")}'s too` };
}

/** Only the agent knows which devices are being set up, so only it removes those without an endpoint. */
async function* collectDevices(ports: Ports, scope: Scope): AsyncGenerator<Outcome> {
  const { job, allocations, isKept } = scope;
  const { isBusy } = job.settings;
  if (isBusy === undefined) return;
  const host = ports.kernel.host();
  const links = await host.links();
  const wanted = new Set((await endpointsOn(scope)).map((e) => e.spec.interfaceName));
  const routed = await routedAddresses(ports);
  const isOurs = (ip: string) =>
    allocations.some((a) => {
      const container = a.ip === ip ? containerOf(job.conf.name, a) : undefined;
      return container !== undefined && !isKept(container);
    });
  for (const { name, kind, mac } of links) {
    const isPods = kind === "veth" && mac === HOST_MAC && name.startsWith(job.call.vethPrefix);
    if (!isPods || wanted.has(name) || isBusy({ hostVeth: name })) continue;
    // A pod whose endpoint is in another datastore lives, and has its routes.
    const foreign = routed.find((r) => r.dev === name && !isOurs(r.ip));
    if (foreign === undefined) yield await attempt(name, () => removeLink(host, name));
    else yield { left: name, reason: `it has no endpoint, but the route to ${foreign.ip}, which is not this network's` };
  }
}

/** Addresses that the node sends to a device. */
async function routedAddresses({ kernel }: Ports): Promise<readonly { readonly ip: string; readonly dev: string | undefined }[]> {
  const routes = await kernel.host().routes();
  return routes.flatMap(({ dst, dev }) => {
    const [ip = "", len] = dst.split("/");
    return len === "32" || len === "128" ? [{ ip, dev }] : [];
  });
}

async function* collectAddresses(ports: Ports, scope: Scope): AsyncGenerator<Outcome> {
  const { job, datastore, allocations, isKept } = scope;
  const unkept = allocations.flatMap((a) => {
    const container = containerOf(job.conf.name, a);
    return container === undefined || isKept(container) ? [] : [{ ...a, container }];
  });
  if (unkept.length === 0) return;
  const used = await usedAddresses(ports, scope);
  for (const { handle, ip, owner, container } of unkept) {
    const on = (action: () => Promise<void>) => attemptOn(scope, container, { name: ip, action });
    if (isKept(container)) continue; // by now
    if (isVmHandle(handle)) {
      // A machine's address is its own, also while none of its containers is left.
      if (owner !== undefined) yield await on(async () => orThrow(handle, await datastore.ipam.disown({ handle, owner, isEnding: false })));
    } else if (container.includes(".")) {
      yield { left: ip, reason: `its handle ${handle} may be of another network, whose name begins with ${job.conf.name}` };
    } else if (used.has(ip)) {
      yield { left: ip, reason: `container ${container} is gone, but a workload endpoint or a device of this node still has it` };
    } else {
      yield await on(async () => orThrow(handle, await datastore.ipam.releaseByHandle(handle)));
    }
  }
}

/** By what is left now: an address that a pod has is not free, whatever else is known of it. */
async function usedAddresses(ports: Ports, scope: Scope): Promise<ReadonlySet<string>> {
  const standing = (await endpointsOn(scope)).flatMap((e) => e.spec.ipNetworks ?? []);
  const routed = (await routedAddresses(ports)).filter((r) => r.dev?.startsWith(scope.job.call.vethPrefix));
  return new Set([...standing.map((cidr) => cidr.split("/")[0] ?? ""), ...routed.map((r) => r.ip)]);
}

function orThrow(handle: string, outcome: Result<unknown, IpamError>): void {
  if (!outcome.ok && outcome.error.kind !== "notFound") throw ipamFault(`failed to release ${handle}`, outcome.error);
}
