/**
 * One Service, made as it is to be. Memory says whether there is something to do; what is done rests on a look at the API server and at
 * the Service's handle, so that nothing is taken away, or given twice, on the strength of what a watch has not told yet.
 *
 * Source: facts §7.8.4, §7.8.5.
 */
import type { AutoAssignRequest, IpamError, IpamLibrary, Pool } from "@calico/ipam";
import { isConflict, isNotFound, type KubeClient, KubeError, keyOfObject, RESOURCES } from "@calico/kube-client";
import { formatCidr } from "@calico/model";
import type { Logger, Metrics } from "@calico/daemon";
import { type LoadBalancerService, loadBalancerService } from "../domain/load-balancer-service.ts";
import { type Assign, type Held, ingressOf, isSameIngress, type LoadBalancerPlan, planOf } from "../domain/load-balancer-plan.ts";
import type { WaitsFor } from "../domain/load-balancer-waiting.ts";
import type { LoadBalancerWorld } from "./load-balancer-world.ts";

export interface SettlePorts {
  /** The list is one of a cluster that is known to be the right one. */
  readonly kube: Pick<KubeClient, "list" | "patch">;
  readonly ipam: Pick<IpamLibrary, "autoAssign" | "assignIp" | "releaseIps" | "ipsByHandle" | "ownerOf">;
  readonly handleOf: (service: { readonly namespace: string; readonly name: string; readonly uid: string }) => string;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, "inc">;
  readonly clock: () => number;
}

export interface Problem {
  readonly reason: "PoolExhausted" | "NoPool" | "AddressTaken" | "BadRequest" | "Refused";
  readonly text: string;
}

export interface Settled {
  readonly problem?: Problem;
  readonly waits?: WaitsFor;
  readonly assigned?: readonly string[];
}

export const LOAD_BALANCER = "loadbalancer";
/** The API object changed between the look and the write so often in a row. */
const ATTEMPTS = 5;
/** Calico's limit of 20 blocks is one for nodes; only a configured one holds for load balancers. */
const MAX_BLOCKS = 1_000_000;

export async function settleService(ports: SettlePorts, world: LoadBalancerWorld, key: string): Promise<Settled> {
  const cached = world.services.get(key);
  const plan = planFor(ports, world, { service: cached, held: world.holdings.of(key) });
  if (plan.isDone) return problemOf(plan);
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const done = await settleOnce(ports, world, key);
    if (done !== "conflict") return done;
  }
  throw new Error(`Cannot write the status of service ${key}: it was changed by others ${ATTEMPTS} times in a row`);
}

async function settleOnce(ports: SettlePorts, world: LoadBalancerWorld, key: string): Promise<Settled | "conflict"> {
  // What was held before the look and is not the Service's own is of one who was gone by then.
  const known = world.holdings.of(key);
  const service = await lookUp(ports, key);
  const handle = service && ports.handleOf(service);
  const own = handle === undefined ? [] : await heldBy(ports, handle);
  const held = [...known.filter((h) => h.handle !== handle), ...own];
  const plan = planFor(ports, world, { service, held });
  await release(ports, key, plan.dead);
  if (service === undefined || handle === undefined) return {};
  const given = await assignAll(ports, world, { service, handle, own, plan });
  const keep = [...plan.keep, ...given.assigned];
  const shown = await show(ports, { key, service, keep, own, pools: plan.isManaged ? world.pools : [] });
  if (shown !== "shown") return shown;
  // What IPAM says is right after all, as of pools that were not heard of yet, stays.
  await release(
    ports,
    key,
    plan.release.filter(({ ip }) => !keep.includes(ip)),
  );
  const isEnough = plan.isOneEnough && keep.length > 0;
  return { ...problemOf(plan), ...(isEnough ? { waits: given.waits } : given), assigned: given.assigned };
}

function planFor(
  ports: SettlePorts,
  { mode, pools }: LoadBalancerWorld,
  o: { readonly service: LoadBalancerService | undefined; readonly held: readonly Held[] },
): LoadBalancerPlan {
  return planOf({ ...o, mode, pools, handle: o.service && ports.handleOf(o.service) });
}

function problemOf({ problem }: LoadBalancerPlan): Settled {
  return problem === undefined ? {} : { problem: { reason: "BadRequest", text: problem } };
}

async function lookUp({ kube }: SettlePorts, key: string): Promise<LoadBalancerService | undefined> {
  const [namespace = "", name = ""] = key.split("/");
  const { items } = await kube.list(RESOURCES.services, { namespace, fieldSelector: `metadata.name=${name}` });
  const found = items.find((item) => keyOfObject(item) === key);
  return found && loadBalancerService(found);
}

async function heldBy({ ipam }: SettlePorts, handle: string): Promise<readonly Held[]> {
  const found = await ipam.ipsByHandle(handle);
  if (!found.ok && found.error.kind === "notFound") return [];
  if (!found.ok) throw new Error(found.error.message);
  return found.value.map((address) => ({ ip: withoutMask(address), handle }));
}

function withoutMask(address: string): string {
  return address.split("/")[0] ?? address;
}

/** With the handle, so that what is another's by now stays his. */
async function release(ports: SettlePorts, key: string, held: readonly Held[]): Promise<void> {
  for (const { ip, handle } of held) {
    const done = await ports.ipam.releaseIps([{ ip, handle }]);
    if (!done.ok && done.error.kind !== "badHandle") throw new Error(done.error.message);
    if (!done.ok || done.value.released.length === 0) continue;
    ports.metrics.inc("kube_controllers_writes_total", { controller: LOAD_BALANCER, op: "release" });
    ports.log.info("load balancer address released", { service: key, ip, handle });
  }
}

type Given = Pick<Settled, "problem" | "waits"> & { readonly assigned: readonly string[] };

async function assignAll(
  ports: SettlePorts,
  world: LoadBalancerWorld,
  o: {
    readonly service: LoadBalancerService;
    readonly handle: string;
    readonly own: readonly Held[];
    readonly plan: LoadBalancerPlan;
  },
): Promise<Given> {
  const assigned: string[] = [];
  const waits = { ips: [] as string[], pools: [] as string[] };
  let problem: Problem | undefined;
  const service = `${o.service.namespace}/${o.service.name}`;
  for (const step of o.plan.assign) {
    const got = await assignOne(ports, world, { ...o, step });
    if (typeof got === "string") {
      assigned.push(got);
      ports.metrics.inc("kube_controllers_writes_total", { controller: LOAD_BALANCER, op: "assign" });
      ports.log.info("load balancer address assigned", { service, ip: got, handle: o.handle });
      continue;
    }
    problem ??= got;
    if (step.kind === "address") waits.ips.push(step.ip);
    else waits.pools.push(...(step.pools ?? world.pools.filter((p) => p.automatic).map((p) => formatCidr(p.cidr))));
  }
  return { assigned, ...(problem === undefined ? {} : { problem, waits }) };
}

async function assignOne(
  ports: SettlePorts,
  world: LoadBalancerWorld,
  {
    service,
    handle,
    own,
    step,
  }: { readonly service: LoadBalancerService; readonly handle: string; readonly own: readonly Held[]; readonly step: Assign },
): Promise<string | Problem> {
  const { namespace, name } = service;
  const timestamp = `${new Date(ports.clock()).toISOString().replace("T", " ").replace("Z", "")} +0000 UTC`;
  const attrs = { service: name, namespace, type: "LoadBalancer", timestamp };
  const owner = { node: "load-balancer", handle, attrs, use: "LoadBalancer" as const };
  if (step.kind === "address") {
    const got = await ports.ipam.assignIp({ ...owner, ip: step.ip });
    return got.ok ? withoutMask(got.value.address) : await refusedAddress(ports, { ip: step.ip, handle, error: got.error });
  }
  const { family, pools } = step;
  const request: AutoAssignRequest = {
    ...owner,
    ...(family === 4 ? { num4: 1, num6: 0 } : { num4: 0, num6: 1 }),
    ...(pools === undefined ? {} : family === 4 ? { pools4: pools } : { pools6: pools }),
    namespaceLabels: world.namespaces.get(namespace) ?? {},
    maxPerHandle: step.most,
    maxBlocks: MAX_BLOCKS,
  };
  const got = await ports.ipam.autoAssign(request);
  if (!got.ok && !world.pools.some((p) => !p.disabled && p.cidr.family === family))
    return { reason: "NoPool", text: `there is no enabled pool of IPv${family} whose allowedUses has LoadBalancer` };
  if (!got.ok) return problemFrom(got.error, `an IPv${family} address`);
  const { ips, messages } = family === 4 ? got.value.v4 : got.value.v6;
  // At its limit a handle is answered with all that it holds.
  const fresh = ips.map((i) => withoutMask(i.address)).find((ip) => !own.some((h) => h.ip === ip));
  if (fresh !== undefined) return fresh;
  if (ips.length > 0) throw new Error(`Cannot give service ${namespace}/${name} an address: its handle is used by somebody else, too`);
  return { reason: "PoolExhausted", text: `no IPv${family} address is left: ${messages.join("; ")}` };
}

async function refusedAddress(
  { ipam }: SettlePorts,
  { ip, handle, error }: { readonly ip: string; readonly handle: string; readonly error: IpamError },
): Promise<string | Problem> {
  if (error.kind !== "taken") return problemFrom(error, ip);
  const owner = await ipam.ownerOf(ip);
  if (!owner.ok) return { reason: "AddressTaken", text: `${ip} cannot be given now: ${owner.error.message}` };
  if (owner.value.handle === handle) return ip;
  const { service, namespace } = owner.value.attrs;
  const who = service === undefined ? `handle ${owner.value.handle ?? "(none)"}` : `service ${namespace ?? ""}/${service}`;
  return { reason: "AddressTaken", text: `${ip} is of ${who}` };
}

/** What passes is thrown, to be tried again. */
function problemFrom({ kind, message }: IpamError, what: string): Problem {
  if (kind === "conflict" || kind === "corrupt") throw new Error(message);
  return { reason: kind === "noPool" ? "NoPool" : "Refused", text: `${what} cannot be given: ${message}` };
}

type Showing = {
  readonly key: string;
  readonly service: LoadBalancerService;
  readonly keep: readonly string[];
  readonly own: readonly Held[];
  readonly pools: readonly Pool[];
};

/** Write the status, if it is not right, and if the Service is still the one that was looked at. */
async function show(ports: SettlePorts, { key, service, ...o }: Showing): Promise<"shown" | "conflict" | Settled> {
  const ingress = ingressOf(service, o);
  if (isSameIngress(ingress, service.ingress)) return "shown";
  const { namespace, name, resourceVersion, uid } = service;
  const body = {
    metadata: { resourceVersion, uid },
    status: { loadBalancer: { ingress: ingress.length === 0 ? null : ingress } },
  };
  try {
    await ports.kube.patch(RESOURCES.services, { namespace, name, subresource: "status" }, { type: "merge", body });
  } catch (error) {
    if (isConflict(error) || isNotFound(error)) return "conflict";
    if (!(error instanceof KubeError) || error.status < 400 || error.status >= 500 || error.status === 429) throw error;
    return { problem: { reason: "Refused", text: `the API server refuses the status of service ${key}: ${error.message}` } };
  }
  ports.metrics.inc("kube_controllers_writes_total", { controller: LOAD_BALANCER, op: "status" });
  return "shown";
}
