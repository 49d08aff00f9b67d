/** GC and STATUS. Source: CNI SPEC 1.1.0 "GC", "STATUS". */
import { CniFault } from "../domain/fault.ts";
import { ipamHandle } from "../domain/workload.ts";
import type { Ports } from "../ports.ts";
import type { Job } from "./add.ts";
import { del } from "./del.ts";
import { targetOf } from "./etcd-target.ts";
import { checkReady, nodeOf } from "./identity.ts";

/** Take back this network's endpoints on this node that no valid attachment names. Goes on over failures, then reports the first. */
export async function gc(ports: Ports, job: Job): Promise<readonly string[]> {
  const { conf, settings } = job;
  const valid = conf["cni.dev/valid-attachments"];
  if (valid == null)
    throw new CniFault("invalidConfig", "invalid network configuration: cni.dev/valid-attachments: is missing", "GC needs it");
  const node = nodeOf(conf, { files: ports.files, settings });
  const { resources, ipam } = ports.datastoreOf(targetOf(conf));
  const removed: string[] = [];
  let problem: unknown;
  for (const { metadata, spec } of (await resources.list("WorkloadEndpoint")).items) {
    const { containerID = "", endpoint = "" } = spec;
    if (spec.node !== node || valid.some((v) => v.containerID === containerID && v.ifname === endpoint)) continue;
    if (!(await ipam.ipsByHandle(ipamHandle(conf.name, containerID))).ok) continue;
    const args = spec.pod
      ? new Map([
          ["K8S_POD_NAME", spec.pod],
          ["K8S_POD_NAMESPACE", metadata.namespace ?? ""],
        ])
      : new Map<string, string>();
    const call = { ...job.call, command: "DEL", containerId: containerID, ifName: endpoint, netns: "", args } as const;
    try {
      await del(ports, { ...job, call });
      removed.push(metadata.name);
    } catch (e) {
      problem ??= e;
    }
  }
  if (problem !== undefined) throw problem;
  return removed;
}

export async function status(ports: Ports, { conf }: Job): Promise<void> {
  try {
    await checkReady(ports.datastoreOf(targetOf(conf)));
  } catch (e) {
    throw new CniFault("notAvailable", "the plugin cannot serve ADD now", e instanceof Error ? e.message : String(e));
  }
}
