/** CHECK: the endpoint, its address, its devices and routes are as ADD left them. Deviation: Calico's CHECK looks at nothing. */
import { CniFault } from "../domain/fault.ts";
import { hostCidr, parseResult } from "../domain/result.ts";
import { workloadOf } from "../domain/workload.ts";
import type { Workload } from "../domain/workload.ts";
import type { Ports } from "../ports.ts";
import type { Job } from "./add.ts";
import { delegateCheck } from "./delegate.ts";
import { targetOf } from "./etcd-target.ts";
import { checkReady, nodeOf } from "./identity.ts";
import { inspect } from "./inspect.ts";

export async function check(ports: Ports, { conf, call, settings }: Job): Promise<Workload> {
  const node = nodeOf(conf, { files: ports.files, settings });
  const { prevResult } = conf;
  const workload = workloadOf(call, node);
  const datastore = ports.datastoreOf(targetOf(conf));
  await checkReady(datastore);
  const { namespace, wepName: name } = workload;
  const endpoint = await datastore.resources.get({ kind: "WorkloadEndpoint", namespace, name });
  if (!endpoint.ok) throw new CniFault("unknownContainer", `there is no workload endpoint ${namespace}/${name}`, endpoint.error.message);
  const { containerID, ipNetworks = [] } = endpoint.value.spec;
  const before = prevResult == null ? [] : parseResult(prevResult).ips.map((i) => hostCidr(i.address));
  const unknown = before.find((address) => !ipNetworks.includes(address));
  if (unknown !== undefined && before.length > 0 && containerID === call.containerId)
    throw new CniFault("checkFailed", `the workload endpoint ${namespace}/${name} lacks the address ${unknown} of the result`);
  if (containerID !== call.containerId)
    throw new CniFault("unknownContainer", `the workload endpoint ${namespace}/${name} is of container ${containerID}`);
  await delegateCheck(ports, { conf, call, node, datastore });
  const problems = await inspect(ports.kernel, {
    netns: call.netns,
    ifName: call.ifName,
    hostName: workload.hostVeth,
    addresses: ipNetworks,
    // ADD of a live migration's target told of no routes; felix makes them when the machine has arrived.
    hasHostRoutes: conf.ipam?.type !== "calico-ipam" || prevResult == null || parseResult(prevResult).routes.length > 0,
  });
  if (problems.length > 0)
    throw new CniFault("checkFailed", `the network of ${namespace}/${name} is not as it was set up: ${problems[0]}`, problems.join("; "));
  return workload;
}
