import { createHash } from "node:crypto";
import { connect } from "node:net";
import process from "node:process";
import { isNotFound, type KubeClient, RESOURCES } from "@calico/kube-client";
import type { Logger } from "@calico/daemon";
import { exec, mustExec } from "../adapter/exec.ts";
import type { Attachment, CniRuntime } from "./cni.ts";
import { commandOf } from "./images.ts";
import { type PodContainer, type PodSpec, renderStatus, renderWaiting } from "./pod-spec.ts";
import { startContainer, startTicks } from "./process.ts";
import type { PodRecord, ProcessRecord, Records } from "./records.ts";

export interface WorkerPorts {
  readonly api: KubeClient;
  readonly cni: CniRuntime;
  readonly records: Records;
  readonly log: Logger;
  readonly node: string;
  readonly nodeIp: string;
  readonly lab: string;
  readonly resolvConf: string;
}

/** Whether all is as the spec says, or a probe is still to succeed. */
export type Settled = "settled" | "waiting";

/** One pod's way: `sync` brings the machine to what `spec` says and may be called as often as one likes; `undefined` is a pod that is gone. */
export function makePodWorker(uid: string, ports: WorkerPorts, recorded?: PodRecord) {
  const { api, cni, records, log } = ports;
  let record = recorded;
  let reported = "";

  const keep = (next: PodRecord) => records.save((record = next));
  const attachment = (r: PodRecord): Attachment => ({
    containerId: r.containerId,
    netns: r.netns,
    namespace: r.namespace,
    pod: r.name,
    uid: r.uid,
    hostPorts: r.hostPorts,
  });

  async function attach(spec: PodSpec): Promise<PodRecord> {
    const containerId = createHash("sha256").update(`${uid}/${Date.now()}`).digest("hex");
    const netns = `${ports.lab}-pod-${containerId.slice(0, 10)}`;
    const base: PodRecord = {
      uid,
      namespace: spec.namespace,
      name: spec.name,
      netns,
      containerId,
      ips: [],
      hostPorts: spec.hostPorts,
      processes: [],
    };
    keep(base);
    await mustExec(["ip", "netns", "add", netns]);
    await mustExec(["ip", "link", "set", "lo", "up"], { netns });
    const { result, ips } = await cni.add(attachment(base));
    const attached = { ...base, result, ips };
    keep(attached);
    log.info("pod attached", { pod: `${spec.namespace}/${spec.name}`, ips, netns });
    return attached;
  }

  /** Undo everything; each step may have been done before. */
  async function detach(r: PodRecord): Promise<void> {
    for (const p of r.processes) if (startTicks(p.pid) === p.startTicks) process.kill(p.pid, "SIGKILL");
    await cni.del(attachment(r), r.result);
    if ((await exec(["test", "-e", `/run/netns/${r.netns}`])).code === 0) await mustExec(["ip", "netns", "delete", r.netns]);
    records.remove(r.uid);
    record = undefined;
    log.info("pod detached", { pod: `${r.namespace}/${r.name}` });
  }

  function runContainer(spec: PodSpec, r: PodRecord, container: PodContainer): ProcessRecord {
    const before = r.processes.find((p) => p.container === container.name);
    const folder = records.folder(uid);
    const argv = commandOf(container, { folder, pod: spec.name, node: ports.node });
    const resolvConf = spec.ownDns ? "" : ports.resolvConf;
    const env = { HOSTNAME: spec.name, POD_IP: r.ips[0] ?? "", NODE_NAME: ports.node, ...container.env };
    const pid = startContainer({ netns: r.netns, pod: spec.name, resolvConf, argv, env, logFile: `${folder}/${container.name}.log` });
    const restarts = before === undefined ? 0 : before.restarts + 1;
    log.info("container started", { pod: `${spec.namespace}/${spec.name}`, container: container.name, pid, restarts });
    return { container: container.name, pid, startTicks: startTicks(pid) ?? "", restarts, startedAt: new Date().toISOString() };
  }

  async function report(spec: PodSpec, status: unknown): Promise<void> {
    const text = JSON.stringify(status);
    if (text === reported) return;
    const place = { namespace: spec.namespace, name: spec.name, subresource: "status" };
    await api.patch(RESOURCES.pods, place, { type: "merge", body: { metadata: { uid }, status } });
    reported = text;
  }

  async function run(spec: PodSpec): Promise<Settled> {
    if (spec.hostNetwork) {
      await report(
        spec,
        renderWaiting(spec, { hostIp: ports.nodeIp, reason: "Unsupported", message: "the lab's kubelet runs no hostNetwork pods" }),
      );
      return "settled";
    }
    if (record !== undefined && record.result === undefined) await detach(record); // killed in the middle of an ADD
    const r = record ?? (await attach(spec));
    const processes = spec.containers.map((c) => {
      const p = r.processes.find((x) => x.container === c.name);
      return p !== undefined && startTicks(p.pid) === p.startTicks ? p : runContainer(spec, r, c);
    });
    if (processes.some((p, i) => p !== r.processes[i])) keep({ ...r, processes });
    const probes = spec.containers.flatMap((c) => (c.readyPort === undefined ? [] : [accepts(r.ips[0] ?? "", c.readyPort)]));
    const ready = (await Promise.all(probes)).every(Boolean);
    const since = r.processes[0]?.startedAt ?? processes[0]?.startedAt ?? "";
    await report(spec, renderStatus(spec, { ...r, processes }, { hostIp: ports.nodeIp, ready, since }));
    return ready ? "settled" : "waiting";
  }

  async function end(spec: PodSpec): Promise<void> {
    if (record !== undefined) await detach(record);
    try {
      await api.delete(RESOURCES.pods, { namespace: spec.namespace, name: spec.name }, { gracePeriodSeconds: 0, preconditions: { uid } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  return {
    get record() {
      return record;
    },
    /** Processes that ended, for the watch that polls. */
    lost: () => record?.processes.some((p) => startTicks(p.pid) !== p.startTicks) ?? false,
    async sync(spec: PodSpec | undefined): Promise<Settled> {
      if (spec === undefined) {
        if (record !== undefined) await detach(record);
      } else if (spec.deleting) await end(spec);
      else
        try {
          return await run(spec);
        } catch (error) {
          if (record?.result === undefined)
            await report(spec, renderWaiting(spec, { hostIp: ports.nodeIp, reason: "CreatePodSandboxError", message: String(error) }));
          throw error;
        }
      return "settled";
    },
  };
}

export type PodWorker = ReturnType<typeof makePodWorker>;

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 500 });
    const done = (yes: boolean) => {
      socket.destroy();
      resolve(yes);
    };
    socket.once("connect", () => done(true));
    socket.once("timeout", () => done(false));
    socket.once("error", () => done(false));
  });
}
