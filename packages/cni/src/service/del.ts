/**
 * DEL: the device goes in any case; the endpoint meanwhile, and the address, which may be another pod's at once, when this pod has it no more.
 * What the datastore cannot do now it does when it is back.
 *
 * Source: calico cni-plugin/pkg/k8s/k8s.go (CmdDelK8s). Deviation: a datastore that is away fails no DEL.
 */
import { workloadOf } from "../domain/workload.ts";
import type { Workload } from "../domain/workload.ts";
import type { Ports } from "../ports.ts";
import type { Job } from "./add.ts";
import { delegateDel } from "./delegate.ts";
import { isShared, removeEndpoint } from "./endpoints.ts";
import { targetOf } from "./etcd-target.ts";
import { checkReady, nodeOf } from "./identity.ts";
import { doOrQueue } from "./settle-deletes.ts";
import { deviceTurn } from "./turns.ts";
import { unwire, unwirePod } from "./unwire.ts";
import type { Unwiring } from "./unwire.ts";

/** Everything that is not there already is no error. Answers which workload it was. */
export async function del(ports: Ports, job: Job): Promise<Workload> {
  const workload = workloadOf(job.call, nodeOf(job.conf, { files: ports.files, settings: job.settings }));
  const unwiring = unwireHere(ports, job, workload);
  const deviceGone = unwiring.then(({ gone }) => gone).finally(() => job.watch.lap("kernel"));
  unwiring.catch(() => {}); // who waits for it, and deviceGone, see the error
  const forgotten = doOrQueue(ports, job, { plugin: "calico", action: () => forget(ports, job, unwiring) });
  for (const outcome of await Promise.allSettled([deviceGone, forgotten])) if (outcome.status === "rejected") throw outcome.reason;
  job.watch.lap("datastore");
  return workload;
}

/** Outside of Kubernetes the device may be another network's of the container, too. */
async function unwireHere(ports: Ports, job: Job, workload: Workload): Promise<Unwiring> {
  const { call, conf } = job;
  if (workload.pod === undefined && (await staysFor(ports, job, workload))) return { found: "nothing", gone: Promise.resolve() };
  const unwiring = await unwirePod(ports.kernel, { netns: call.netns, ifName: call.ifName, hostName: workload.hostVeth });
  if (unwiring.found === "notOurs")
    job.log.warn("interface left: it is not this container's", { netns: call.netns, ifName: call.ifName, network: conf.name });
  return unwiring;
}

/** False if the datastore does not say; why is told by what forgets the endpoint. */
async function staysFor(ports: Ports, { conf }: Job, workload: Workload): Promise<boolean> {
  try {
    return await isShared(ports.datastoreOf(targetOf(conf)), workload, conf.name);
  } catch {
    return false;
  }
}

const NOTHING_DONE = Promise.resolve({ found: "nothing", gone: Promise.resolve() } as const);

/** DEL without the pod's side: the endpoint, the address, and the host's end of the pair if it is still there. */
export async function forget(ports: Ports, job: Job, unwiring: Promise<Unwiring> = NOTHING_DONE): Promise<void> {
  const { conf, call, settings } = job;
  const node = nodeOf(conf, { files: ports.files, settings });
  const workload = workloadOf(call, node);
  const datastore = ports.datastoreOf(targetOf(conf));
  // A newer container's ADD for the same pod has its device before its endpoint.
  await job.locks.run(deviceTurn(workload.hostVeth), async () => {
    await checkReady(datastore);
    const removed = removeEndpoint(datastore, workload, conf.name);
    const unwireHost = async () => {
      if (["removed", "gone"].includes(await removed)) await unwire(ports.kernel, workload.hostVeth);
    };
    // While the endpoint stands, its address is the old pod's in every node's sets.
    const free = Promise.all([unwiring, removed]).then(async ([{ found }]) => {
      if (found !== "device") await unwireHost();
    });
    const givenBack = free.then(() => delegateDel(ports, { conf, call, node, datastore }));
    const [pair, endpoint, address] = await Promise.allSettled([unwiring, removed, givenBack]);
    // A pair that could not be taken from the pod's side goes from the host's.
    if (pair.status === "rejected" && endpoint.status === "fulfilled") await unwireHost();
    for (const outcome of [endpoint, address]) if (outcome.status === "rejected") throw outcome.reason;
  });
}
