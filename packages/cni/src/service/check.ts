/** CHECK: the endpoint, its address, its devices and routes are as ADD left them. Deviation: Calico's CHECK looks at nothing. */
import type { WorkloadEndpoint } from "@calico/model";
import { asksPastIpam } from "../domain/annotations.ts";
import { networksOf } from "../domain/endpoint.ts";
import { CniFault } from "../domain/fault.ts";
import { hostCidr, parseResult } from "../domain/result.ts";
import type { CniResult } from "../domain/result.ts";
import { workloadOf } from "../domain/workload.ts";
import type { Workload } from "../domain/workload.ts";
import type { Datastore, Ports } from "../ports.ts";
import { podRoutes } from "./add.ts";
import type { Job } from "./add.ts";
import { delegateCheck } from "./delegate.ts";
import { targetOf } from "./etcd-target.ts";
import { checkReady, nodeOf } from "./identity.ts";
import { inspect } from "./inspect.ts";

export async function check(ports: Ports, job: Job): Promise<Workload> {
  const { conf, call } = job;
  const node = nodeOf(conf, { files: ports.files, settings: job.settings });
  const workload = workloadOf(call, node);
  const datastore = ports.datastoreOf(targetOf(conf));
  await checkReady(datastore);
  const before = conf.prevResult == null ? undefined : parseResult(conf.prevResult);
  const endpoint = await endpointOf(datastore, workload, before);
  const { ipNetworks: addresses = [], mac } = endpoint.spec;
  // The first network of a container gave the addresses and the routes.
  const isJoined = ![undefined, conf.name].includes(networksOf(endpoint)?.[0]);
  if (!isJoined && !(await isPastIpam(ports, job, workload))) await delegateCheck(ports, { conf, call, node, datastore, addresses });
  const told = before?.interfaces.filter((i) => i.name === call.ifName && i.sandbox !== undefined).map((i) => i.mac) ?? [];
  const problems = await inspect(ports.kernel, {
    netns: call.netns,
    ifName: call.ifName,
    hostName: workload.hostVeth,
    addresses,
    macs: [mac, ...told].flatMap((m) => m || []),
    routes: isJoined ? [] : podRoutes(conf, addresses),
    // ADD of a live migration's target told of no routes; felix makes them when the machine has arrived.
    hasHostRoutes: isJoined || conf.ipam?.type !== "calico-ipam" || before?.routes.length !== 0,
  });
  if (problems.length > 0) {
    const what = `the network of ${workload.namespace}/${workload.wepName} is not as it was set up`;
    throw new CniFault("checkFailed", `${what}: ${problems[0]}`, problems.join("; "));
  }
  return workload;
}

/** The container's endpoint, with the addresses that the runtime knows. */
async function endpointOf(datastore: Datastore, w: Workload, before: CniResult | undefined): Promise<WorkloadEndpoint> {
  const name = `${w.namespace}/${w.wepName}`;
  const found = await datastore.resources.get({ kind: "WorkloadEndpoint", namespace: w.namespace, name: w.wepName });
  if (!found.ok) throw new CniFault("unknownContainer", `there is no workload endpoint ${name}`, found.error.message);
  const { containerID, ipNetworks = [] } = found.value.spec;
  if (containerID !== w.containerId) throw new CniFault("unknownContainer", `the workload endpoint ${name} is of container ${containerID}`);
  const unknown = before?.ips.map((i) => hostCidr(i.address)).find((address) => !ipNetworks.includes(address));
  if (unknown !== undefined) throw new CniFault("checkFailed", `the workload endpoint ${name} lacks the address ${unknown} of the result`);
  return found.value;
}

/** Whether the pod's annotation named its addresses, so that no IPAM knows them. */
async function isPastIpam(ports: Ports, { conf }: Job, { namespace, pod: name }: Workload): Promise<boolean> {
  if (conf.feature_control?.ip_addrs_no_ipam !== true || name === undefined || conf.policy?.type !== "k8s") return false;
  return asksPastIpam((await ports.podOf(conf, { namespace, name })).annotations);
}
