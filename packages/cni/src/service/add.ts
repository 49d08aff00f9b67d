/**
 * ADD: address, then veth, then endpoint, then wait until its policy is in force. Each thing made registers its undoing.
 *
 * Source: calico cni-plugin/pkg/k8s/k8s.go (CmdAddK8s), pkg/plugin/plugin.go (cmdAdd).
 */
import { endpointOf, networkProfile } from "../domain/endpoint.ts";
import type { Wiring } from "../domain/endpoint.ts";
import { CniFault } from "../domain/fault.ts";
import type { CniCall } from "../domain/env.ts";
import type { Netconf } from "../domain/netconf.ts";
import type { PodFacts } from "../domain/pod.ts";
import { isV6 } from "../domain/result.ts";
import type { CniResult } from "../domain/result.ts";
import { statusFileName, workloadOf } from "../domain/workload.ts";
import type { Workload } from "../domain/workload.ts";
import type { Datastore, Log, Ports, Settings } from "../ports.ts";
import { delegateAdd, delegateDel } from "./delegate.ts";
import type { Delegation } from "./delegate.ts";
import { checkReady, mtuOf, nodeOf, targetOf } from "./identity.ts";
import { hostCidr } from "./ipam-plugin.ts";
import { unwire, wire } from "./wiring.ts";

export type Job = { readonly conf: Netconf; readonly call: CniCall; readonly settings: Settings; readonly log: Log };

export async function add(ports: Ports, job: Job): Promise<{ readonly result: CniResult; readonly workload: Workload }> {
  const { conf, call } = job;
  const node = nodeOf(conf, { files: ports.files, settings: job.settings });
  const datastore = ports.datastoreOf(targetOf(conf));
  const workload = workloadOf(call, node);
  const [, pod] = await Promise.all([checkReady(datastore), podOf(ports, conf, workload)]);
  const delegation: Delegation = { conf, call, node, datastore };

  await using undo = new AsyncDisposableStack();
  undo.defer(() => undoQuietly(job.log, "ipam", () => delegateDel(ports, { ...delegation, call: { ...call, command: "DEL" } })));
  const assigned = await delegateAdd(ports, delegation);
  const addresses = assigned.ips.map((i) => hostCidr(i.address));

  undo.defer(() => undoQuietly(job.log, "veth", () => unwire(ports.kernel, workload.hostVeth)));
  const { mac } = await wire(ports.kernel, {
    netns: call.netns,
    ifName: call.ifName,
    hostName: workload.hostVeth,
    mtu: mtuOf(conf, { files: ports.files, settings: job.settings }),
    queues: conf.num_queues === undefined || conf.num_queues < 1 ? undefined : conf.num_queues,
    addresses,
    routes: podRoutes(conf, addresses),
    ipForward: conf.container_settings?.allow_ip_forwarding ?? false,
  });

  await writeEndpoint(datastore, { conf, workload, pod, wiring: { mac, addresses } });
  undo.move();
  await waitForPolicy(ports, job, workload);
  return { result: resultOf(job, { assigned, addresses, mac, workload }), workload };
}

/** An undo that fails must not hide why ADD failed; the runtime's DEL comes through here again. */
async function undoQuietly(log: Log, what: string, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (e) {
    log.warn("undo failed", { what, reason: e instanceof Error ? e.message : String(e) });
  }
}

async function podOf(ports: Ports, conf: Netconf, w: Workload): Promise<PodFacts | undefined> {
  if (w.pod === undefined || conf.policy?.type !== "k8s") return undefined;
  return await ports.podOf(conf, { namespace: w.namespace, name: w.pod });
}

/** Custom routes of the IPAM section, else everything of the families that have an address. */
function podRoutes(conf: Netconf, addresses: readonly string[]): readonly string[] {
  const defaults = [...(addresses.some((a) => !isV6(a)) ? ["0.0.0.0/0"] : []), ...(addresses.some(isV6) ? ["::/0"] : [])];
  const custom = (conf.ipam?.routes ?? []).map((r) => r.dst);
  if (custom.length === 0) return defaults;
  return conf.include_default_routes ? [...defaults, ...custom.filter((r) => !defaults.includes(r))] : custom;
}

async function writeEndpoint(
  { resources }: Datastore,
  o: { conf: Netconf; workload: Workload; pod: PodFacts | undefined; wiring: Wiring },
): Promise<void> {
  const policyType = o.conf.policy?.type ?? "";
  const network = o.conf.name;
  if (policyType === "") {
    const made = await resources.create(networkProfile(o.workload, network));
    if (!made.ok && made.error.kind !== "alreadyExists")
      throw new CniFault("internal", `cannot write the profile ${network}`, made.error.message);
  }
  const endpoint = endpointOf(o.workload, { network, policyType, pod: o.pod, wiring: o.wiring });
  const written = await resources.apply(endpoint);
  if (!written.ok)
    throw new CniFault(
      "internal",
      `cannot write the workload endpoint ${o.workload.namespace}/${o.workload.wepName}`,
      written.error.message,
    );
}

async function waitForPolicy(ports: Ports, { conf, settings, log }: Job, workload: Workload): Promise<void> {
  const configured = conf.policy_setup_timeout_seconds;
  const timeoutMs = configured === undefined ? settings.policyWaitMs : configured * 1000;
  if (timeoutMs === 0) return;
  const path = `${conf.endpoint_status_dir || `${settings.runDir}/endpoint-status`}/${statusFileName(workload)}`;
  const start = ports.clock.now();
  if (await ports.untilFile(path, timeoutMs)) return;
  const what = { path, waitedMs: ports.clock.now() - start, endpoint: workload.wepName };
  log.warn("timed out waiting for endpoint status file", {
    ...what,
    hint: "felix did not report the endpoint's policy; is it running on this node?",
  });
}

type Made = { assigned: CniResult; addresses: readonly string[]; mac: string; workload: Workload };

/** Our interfaces come after those of plugins that ran before. */
function resultOf({ conf, call }: Job, { assigned, addresses, mac, workload }: Made): CniResult {
  const mtu = conf.mtu ? { mtu: conf.mtu } : {};
  return {
    interfaces: [{ name: workload.hostVeth }, { name: call.ifName, mac, ...mtu, sandbox: call.netns }],
    ips: addresses.map((address) => ({ address, interface: 1 })),
    routes: assigned.routes,
    ...(conf.dns == null ? {} : { dns: conf.dns }),
  };
}
