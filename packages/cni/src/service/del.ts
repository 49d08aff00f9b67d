/**
 * DEL: the device goes in any case; the endpoint meanwhile, and the address, which may be another pod's at once, when this pod has it no more.
 * What the datastore cannot do now it does when it is back.
 *
 * Source: calico cni-plugin/pkg/k8s/k8s.go (CmdDelK8s). Deviation: a datastore that is away fails no DEL.
 */
import { CniFault } from "../domain/fault.ts";
import { workloadOf } from "../domain/workload.ts";
import type { Workload } from "../domain/workload.ts";
import type { Datastore, Ports } from "../ports.ts";
import type { Job } from "./add.ts";
import { delegateDel } from "./delegate.ts";
import { targetOf } from "./etcd-target.ts";
import { checkReady, nodeOf } from "./identity.ts";
import { doOrQueue } from "./settle-deletes.ts";
import { unwire, unwirePod } from "./unwire.ts";

/** How often the endpoint's removal is tried against others' writes. */
const REMOVE_ATTEMPTS = 6;

/** Everything that is not there already is no error. Answers which workload it was. */
export async function del(ports: Ports, job: Job): Promise<Workload> {
  const unwiring = unwirePod(ports.kernel, job.call);
  const deviceGone = unwiring.then(({ gone }) => gone).finally(() => job.watch.lap("kernel"));
  const silent = unwiring.then(() => {});
  silent.catch(() => {}); // who waits for it, and deviceGone, see the error
  const forgotten = doOrQueue(ports, job, { plugin: "calico", action: () => forget(ports, job, silent) });
  for (const outcome of await Promise.allSettled([deviceGone, forgotten])) if (outcome.status === "rejected") throw outcome.reason;
  job.watch.lap("datastore");
  return workloadOf(job.call, nodeOf(job.conf, { files: ports.files, settings: job.settings }));
}

/** DEL without the pod's side: the endpoint, the address, and the host's end of the pair if it is still there. */
export async function forget(ports: Ports, { conf, call, settings }: Job, silent: Promise<void> = Promise.resolve()): Promise<void> {
  const node = nodeOf(conf, { files: ports.files, settings });
  const workload = workloadOf(call, node);
  const datastore = ports.datastoreOf(targetOf(conf));
  await checkReady(datastore);
  const removed = removeEndpoint(datastore, workload);
  // While the endpoint stands, its address is the old pod's in every node's sets.
  const free = Promise.all([silent, removed]);
  const [endpoint, address] = await Promise.allSettled([removed, free.then(() => delegateDel(ports, { conf, call, node, datastore }))]);
  if (endpoint.status === "fulfilled" && endpoint.value !== "another's") await unwire(ports.kernel, workload.hostVeth);
  for (const outcome of [endpoint, address]) if (outcome.status === "rejected") throw outcome.reason;
}

/** Remove the endpoint, unless a newer container of the same pod has it by now. */
async function removeEndpoint({ resources }: Datastore, w: Workload): Promise<"removed" | "gone" | "another's"> {
  const ref = { kind: "WorkloadEndpoint", namespace: w.namespace, name: w.wepName } as const;
  for (let i = 0; i < REMOVE_ATTEMPTS; i++) {
    const current = await resources.get(ref);
    if (!current.ok) {
      if (current.error.kind === "doesNotExist") return "gone";
      throw new CniFault("internal", `cannot read the workload endpoint ${w.namespace}/${w.wepName}`, current.error.message);
    }
    if (current.value.spec.containerID !== w.containerId) return "another's";
    const removed = await resources.delete(ref, current.value.metadata.resourceVersion);
    if (removed.ok) return "removed";
    if (removed.error.kind === "doesNotExist") return "gone";
  }
  throw new CniFault(
    "tryAgain",
    `cannot remove the workload endpoint ${w.namespace}/${w.wepName}`,
    `it changed ${REMOVE_ATTEMPTS} times meanwhile`,
  );
}
