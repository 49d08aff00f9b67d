/**
 * ADD: address, the veth pair meanwhile, then endpoint, then wait until its policy is in force. Failing, it takes back what it made.
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
import { workloadOf } from "../domain/workload.ts";
import type { Workload } from "../domain/workload.ts";
import type { Log, Ports, Settings } from "../ports.ts";
import { assignAddresses, expectedFamilies } from "./addresses.ts";
import type { Delegation } from "./delegate.ts";
import { ensureProfile, joinExisting, writeEndpoint } from "./endpoints.ts";
import { targetOf } from "./etcd-target.ts";
import { checkReady, mtuOf, nodeOf } from "./identity.ts";
import { waitForPolicy } from "./policy-wait.ts";
import { passGates } from "./readiness.ts";
import type { RunOptions } from "./run.ts";
import type { Stopwatch } from "./stopwatch.ts";
import { takeBack } from "./take-back.ts";
import { deviceTurn } from "./turns.ts";
import { wire } from "./wiring.ts";
import type { DeviceSpec } from "./wiring.ts";

export type Job = {
  readonly conf: Netconf;
  readonly call: CniCall;
  readonly settings: Settings;
  readonly log: Log;
  readonly watch: Stopwatch;
} & Pick<RunOptions, "signal" | "endsAt" | "onLate"> &
  Required<Pick<RunOptions, "locks">>;
export type Added = { readonly result: CniResult; readonly workload: Workload };

export async function add(ports: Ports, job: Job): Promise<Added> {
  const { conf, call } = job;
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
  const mtu = mtuOf(conf, { files: ports.files, settings: job.settings });
  const delegation: Delegation = { conf, call, node, datastore, namespaceLabels: namespace?.labels, pod };
  const { result, isNew } = await job.locks.run(deviceTurn(workload.hostVeth), async () => {
    // Whoever had the turn before may be a newer container of this pod.
    job.signal?.throwIfAborted();
    const existing = workload.pod === undefined ? await joinExisting(ports, job, { datastore, workload }) : undefined;
    return { result: existing ?? (await make(ports, job, { workload, mtu, wishes, delegation })), isNew: existing === undefined };
  });
  if (isNew) {
    await waitForPolicy(ports, job, workload);
    job.watch.lap("policy");
  }
  return { result, workload };
}

/** All or nothing, also when nobody waits for it any more. */
async function make(ports: Ports, job: Job, facts: Facts): Promise<CniResult> {
  const { workload, mtu, wishes, delegation } = facts;
  const { conf, signal } = job;
  const { datastore, pod } = delegation;
  const assigning = assignAddresses(ports, delegation, wishes);
  try {
    const network = assigning.then(({ ips, routes }) => {
      job.watch.lap("ipam");
      signal?.throwIfAborted();
      const addresses = ips.map((i) => hostCidr(i.address));
      // None of ours for the target of a live migration: the node's packets go to the source until that leaves.
      const hasHostRoutes = conf.ipam?.type !== "calico-ipam" || routes.length > 0;
      return { addresses, routes: podRoutes(conf, addresses), hasHostRoutes };
    });
    // The kernel's part blocks this thread: the request for the address is on its way, or refused, before.
    await Promise.race([network, new Promise(setImmediate)]);
    const { mac } = await wire(ports, deviceOf(job, facts), { network });
    const [assigned, { addresses }] = await Promise.all([assigning, network]);
    job.watch.lap("kernel");
    signal?.throwIfAborted();
    const { controls: qos, problems } = qosOf(pod?.annotations ?? {});
    for (const problem of problems) job.log.warn("traffic limit not as written", { problem, endpoint: workload.wepName });
    const policyType = conf.policy?.type ?? "";
    await writeEndpoint(datastore, workload, { network: conf.name, policyType, pod, wishes, qos, wiring: { mac, addresses } });
    signal?.throwIfAborted();
    job.watch.lap("endpoint");
    return resultOf(job, { assigned, addresses, mac, mtu, workload });
  } catch (e) {
    // An address that is still on its way would be nobody's.
    await Promise.allSettled([assigning]);
    await takeBack(ports, job, facts);
    throw e;
  }
}

type Facts = {
  readonly workload: Workload;
  readonly mtu: number | undefined;
  readonly wishes: Wishes;
  readonly delegation: Delegation;
};

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
export function podRoutes(conf: Netconf, addresses: readonly string[]): readonly string[] {
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
