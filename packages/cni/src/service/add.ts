/**
 * ADD: address, the veth pair meanwhile, then endpoint, then wait until its policy is in force. Each thing made registers its undoing.
 *
 * Source: calico cni-plugin/pkg/k8s/k8s.go (CmdAddK8s), pkg/plugin/plugin.go (cmdAdd).
 */
import { NO_WISHES, wishesOf } from "../domain/annotations.ts";
import type { Wishes } from "../domain/annotations.ts";
import { CniFault } from "../domain/fault.ts";
import type { CniCall } from "../domain/env.ts";
import type { Netconf } from "../domain/netconf.ts";
import type { NamespaceFacts, PodFacts } from "../domain/pod.ts";
import { qosOf } from "../domain/qos.ts";
import { hostCidr, isV6 } from "../domain/result.ts";
import type { CniResult } from "../domain/result.ts";
import { queueName } from "../domain/queued-delete.ts";
import { workloadOf } from "../domain/workload.ts";
import type { Workload } from "../domain/workload.ts";
import type { Log, Ports, Settings } from "../ports.ts";
import { assignAddresses, expectedFamilies } from "./addresses.ts";
import { delegateDel } from "./delegate.ts";
import type { Delegation } from "./delegate.ts";
import { ensureProfile, joinExisting, writeEndpoint } from "./endpoints.ts";
import { targetOf } from "./etcd-target.ts";
import { checkReady, mtuOf, nodeOf } from "./identity.ts";
import { waitForPolicy } from "./policy-wait.ts";
import { passGates } from "./readiness.ts";
import type { Stopwatch } from "./stopwatch.ts";
import { wire } from "./wiring.ts";
import type { DeviceSpec } from "./wiring.ts";

export type Job = {
  readonly conf: Netconf;
  readonly call: CniCall;
  readonly settings: Settings;
  readonly log: Log;
  readonly signal?: AbortSignal | undefined;
  readonly watch: Stopwatch;
};
export type Added = { readonly result: CniResult; readonly workload: Workload };

export async function add(ports: Ports, job: Job): Promise<Added> {
  const { conf, call } = job;
  // What an earlier life of this container left to be taken back must not be taken from this one.
  for (const plugin of ["calico", "calico-ipam"] as const)
    ports.deletes.remove(queueName({ plugin, env: { CNI_CONTAINERID: call.containerId, CNI_IFNAME: call.ifName } }));
  await passGates(ports, conf.readiness_gates ?? []);
  const node = nodeOf(conf, { files: ports.files, settings: job.settings });
  const datastore = ports.datastoreOf(targetOf(conf));
  const workload = workloadOf(call, node);
  const policyType = conf.policy?.type ?? "";
  const [, pod, namespace] = await Promise.all([
    checkReady(datastore),
    ...kubernetesFacts(ports, conf, workload),
    policyType === "" ? ensureProfile(datastore, workload, conf.name) : undefined,
  ]);
  job.watch.lap("facts");
  const wishes = wishesFor(job, { pod, namespace });
  const existing = workload.pod === undefined ? await joinExisting(ports, job, { datastore, workload }) : undefined;
  if (existing !== undefined) return { result: existing, workload };
  const mtu = mtuOf(conf, { files: ports.files, settings: job.settings });
  const delegation: Delegation = { conf, call, node, datastore, namespaceLabels: namespace?.labels, pod };

  await using undo = new AsyncDisposableStack();
  const assigning = assignAddresses(ports, delegation, wishes);
  const network = assigning.then(({ ips, routes }) => {
    job.watch.lap("ipam");
    const addresses = ips.map((i) => hostCidr(i.address));
    // None of ours for the target of a live migration: the node's packets go to the source until that leaves.
    const hasHostRoutes = conf.ipam?.type !== "calico-ipam" || routes.length > 0;
    return { addresses, routes: podRoutes(conf, addresses), hasHostRoutes };
  });
  undo.defer(() => undoQuietly(job.log, "ipam", () => giveBack(ports, delegation, network)));
  // The kernel's part blocks this thread: the request for the address is on its way, or refused, before.
  await Promise.race([network, new Promise(setImmediate)]);
  const onMade = (remove: () => Promise<void>) => undo.defer(() => undoQuietly(job.log, "veth", remove));
  const { mac } = await wire(ports, deviceOf(job, { workload, mtu, wishes }), { network, onMade });
  const [assigned, { addresses }] = await Promise.all([assigning, network]);
  job.watch.lap("kernel");

  const stillWanted = () => {
    if (job.signal?.aborted === true) throw new CniFault("tryAgain", "the call took too long", "what it made is taken back");
  };
  stillWanted();
  const { controls: qos, problems } = qosOf(pod?.annotations ?? {});
  for (const problem of problems) job.log.warn("traffic limit not as written", { problem, endpoint: workload.wepName });
  await writeEndpoint(datastore, workload, { network: conf.name, policyType, pod, wishes, qos, wiring: { mac, addresses } });
  stillWanted();
  undo.move();
  job.watch.lap("endpoint");
  await waitForPolicy(ports, job, workload);
  job.watch.lap("policy");
  return { result: resultOf(job, { assigned, addresses, mac, mtu, workload }), workload };
}

/** An address that is still on its way is waited for: it would be nobody's. */
async function giveBack(ports: Ports, d: Delegation, assigning: Promise<unknown>): Promise<void> {
  await Promise.allSettled([assigning]);
  await delegateDel(ports, { ...d, call: { ...d.call, command: "DEL" } });
}

type Facts = { readonly workload: Workload; readonly mtu: number | undefined; readonly wishes: Wishes };

function deviceOf({ conf, call }: Job, { workload, mtu, wishes }: Facts): DeviceSpec {
  return {
    netns: call.netns,
    ifName: call.ifName,
    hostName: workload.hostVeth,
    mtu,
    queues: conf.num_queues === undefined ? undefined : Math.max(1, conf.num_queues),
    mac: wishes.mac,
    ipForward: conf.container_settings?.allow_ip_forwarding ?? false,
    families: call.args.get("IP") ? undefined : expectedFamilies(conf, wishes),
  };
}

/** An undo that fails must not hide why ADD failed; the runtime's DEL comes through here again. */
async function undoQuietly(log: Log, what: string, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (e) {
    log.warn("undo failed", { what, reason: e instanceof Error ? e.message : String(e) });
  }
}

type KubernetesFacts = readonly [Promise<PodFacts | undefined>, Promise<NamespaceFacts | undefined>];

function kubernetesFacts(ports: Ports, conf: Netconf, { pod: name, namespace }: Workload): KubernetesFacts {
  const nothing = Promise.resolve(undefined);
  if (name === undefined || conf.policy?.type !== "k8s") return [nothing, nothing];
  return [ports.podOf(conf, { namespace, name }), ports.namespaceOf(conf, namespace)];
}

/** Features that only pods of Kubernetes can ask for are refused elsewhere when they are switched on. */
function wishesFor({ conf, call }: Job, o: { pod: PodFacts | undefined; namespace: NamespaceFacts | undefined }): Wishes {
  const features = conf.feature_control ?? {};
  const isPod = call.args.get("K8S_POD_NAME") && call.args.get("K8S_POD_NAMESPACE");
  const asked = (["ip_addrs_no_ipam", "floating_ips"] as const).find((name) => features[name] === true);
  if (!isPod && asked !== undefined)
    throw new CniFault("unsupportedField", `requested feature is not supported for this runtime: ${asked}`, "it is for pods of Kubernetes");
  if (o.pod === undefined) return NO_WISHES;
  return wishesOf({ pod: o.pod.annotations, namespace: o.namespace?.annotations ?? {}, features });
}

/** Custom routes of the IPAM section, else everything of the families that have an address. */
function podRoutes(conf: Netconf, addresses: readonly string[]): readonly string[] {
  const families = [false, true].filter((v6) => addresses.some((a) => isV6(a) === v6));
  const defaults: readonly string[] = families.map((v6) => (v6 ? "::/0" : "0.0.0.0/0"));
  const custom = (conf.ipam?.routes ?? []).map((r) => r.dst).filter((r) => families.includes(isV6(r)));
  if (custom.length === 0) return defaults;
  return conf.include_default_routes ? [...defaults, ...custom.filter((r) => !defaults.includes(r))] : custom;
}

type Made = { assigned: CniResult; addresses: readonly string[]; mac: string; mtu: number | undefined; workload: Workload };

function resultOf({ conf, call }: Job, { assigned, addresses, mac, mtu, workload }: Made): CniResult {
  return {
    interfaces: [{ name: workload.hostVeth }, { name: call.ifName, mac, ...(mtu === undefined ? {} : { mtu }), sandbox: call.netns }],
    ips: addresses.map((address) => ({ address, interface: 1 })),
    routes: assigned.routes,
    ...(conf.dns == null ? {} : { dns: conf.dns }),
  };
}
