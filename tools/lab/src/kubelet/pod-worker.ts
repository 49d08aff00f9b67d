import { createHash } from "node:crypto";
import { connect } from "node:net";
import process from "node:process";
import { isNotFound, type KubeClient, RESOURCES } from "@calico/kube-client";
import type { Logger } from "@calico/daemon";
import { exec, mustExec } from "../adapter/exec.ts";
import type { Attachment, CniRuntime } from "./cni.ts";
import { commandOf } from "./images.ts";
import { type PodContainer, type PodSpec, renderStatus, renderWaiting } from "./pod-spec.ts";
import { lastLineOf, startContainer, startTicks } from "./process.ts";
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
export class PodWorker {
  readonly #uid: string;
  readonly #ports: WorkerPorts;
  #record: PodRecord | undefined;
  #reported = "";

  constructor(uid: string, ports: WorkerPorts, recorded?: PodRecord) {
    this.#uid = uid;
    this.#ports = ports;
    this.#record = recorded;
  }

  get record(): PodRecord | undefined {
    return this.#record;
  }

  /** Processes that ended, for the watch that polls. */
  lost(): boolean {
    return this.#record?.processes.some((p) => !isRunning(p)) ?? false;
  }

  async sync(spec: PodSpec | undefined): Promise<Settled> {
    if (spec === undefined) {
      if (this.#record !== undefined) await this.#detach(this.#record);
      return "settled";
    }
    if (spec.deleting) return await this.#end(spec);
    try {
      return await this.#run(spec);
    } catch (error) {
      if (this.#record?.result === undefined) await this.#reportWaiting(spec, "CreatePodSandboxError", String(error));
      throw error;
    }
  }

  async #run(spec: PodSpec): Promise<Settled> {
    if (spec.hostNetwork) {
      await this.#reportWaiting(spec, "Unsupported", "the lab's kubelet runs no hostNetwork pods");
      return "settled";
    }
    if (this.#record !== undefined && this.#record.result === undefined) await this.#detach(this.#record); // killed in the middle of an ADD
    const r = this.#record ?? (await this.#attach(spec));
    const processes = spec.containers.map((c) => {
      const p = r.processes.find((x) => x.container === c.name);
      return p !== undefined && (isRunning(p) || mustWait(p, Date.now())) ? p : this.#start(spec, r, c);
    });
    if (processes.some((p, i) => p !== r.processes[i])) this.#keep({ ...r, processes });
    const probes = spec.containers.flatMap((c) => (c.readyPort === undefined ? [] : [accepts(r.ips[0] ?? "", c.readyPort)]));
    const running = new Set(processes.filter(isRunning).map((p) => p.container));
    const ready = (await Promise.all(probes)).every(Boolean) && running.size === processes.length;
    await this.#report(spec, renderStatus(spec, { ...r, processes }, { hostIp: this.#ports.nodeIp, ready, running }));
    return ready ? "settled" : "waiting";
  }

  async #attach(spec: PodSpec): Promise<PodRecord> {
    const { lab, cni, log } = this.#ports;
    const containerId = createHash("sha256").update(`${this.#uid}/${Date.now()}`).digest("hex");
    const netns = `${lab}-pod-${containerId.slice(0, 10)}`;
    const { namespace, name, hostPorts } = spec;
    const base: PodRecord = {
      uid: this.#uid,
      namespace,
      name,
      netns,
      containerId,
      ips: [],
      hostPorts,
      processes: [],
      startedAt: new Date().toISOString(),
    };
    this.#keep(base);
    await mustExec(["ip", "netns", "add", netns]);
    await mustExec(["ip", "link", "set", "lo", "up"], { netns });
    const { result, ips } = await cni.add(attachmentOf(base));
    const attached = { ...base, result, ips };
    this.#keep(attached);
    log.info("pod attached", { pod: `${namespace}/${name}`, ips, netns });
    return attached;
  }

  /** Undo everything; each step may have been done before. */
  async #detach(r: PodRecord): Promise<void> {
    for (const p of r.processes) if (isRunning(p)) process.kill(p.pid, "SIGKILL");
    await this.#ports.cni.del(attachmentOf(r), r.result);
    if ((await exec(["test", "-e", `/run/netns/${r.netns}`])).code === 0) await mustExec(["ip", "netns", "delete", r.netns]);
    this.#ports.records.remove(r.uid);
    this.#record = undefined;
    this.#ports.log.info("pod detached", { pod: `${r.namespace}/${r.name}` });
  }

  #start(spec: PodSpec, r: PodRecord, container: PodContainer): ProcessRecord {
    const { node, records, log, resolvConf } = this.#ports;
    const before = r.processes.find((p) => p.container === container.name);
    const folder = records.folder(this.#uid);
    const argv = commandOf(container, { folder, pod: spec.name, node });
    const env = { HOSTNAME: spec.name, POD_IP: r.ips[0] ?? "", NODE_NAME: node, ...container.env };
    const logFile = `${folder}/${container.name}.log`;
    const lastSaid = before === undefined ? undefined : lastLineOf(logFile);
    const pid = startContainer({ netns: r.netns, pod: spec.name, resolvConf: spec.ownDns ? "" : resolvConf, argv, env, logFile });
    const restarts = before === undefined ? 0 : before.restarts + 1;
    log.info("container started", { pod: `${spec.namespace}/${spec.name}`, container: container.name, pid, restarts, lastSaid });
    return { container: container.name, pid, startTicks: startTicks(pid) ?? "", restarts, startedAt: new Date().toISOString() };
  }

  async #end(spec: PodSpec): Promise<Settled> {
    if (this.#record !== undefined) await this.#detach(this.#record);
    const place = { namespace: spec.namespace, name: spec.name };
    try {
      await this.#ports.api.delete(RESOURCES.pods, place, { gracePeriodSeconds: 0, preconditions: { uid: this.#uid } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    return "settled";
  }

  async #report(spec: PodSpec, status: unknown): Promise<void> {
    const text = JSON.stringify(status);
    if (text === this.#reported) return;
    const place = { namespace: spec.namespace, name: spec.name, subresource: "status" };
    await this.#ports.api.patch(RESOURCES.pods, place, { type: "merge", body: { metadata: { uid: this.#uid }, status } });
    this.#reported = text;
  }

  #reportWaiting(spec: PodSpec, reason: string, message: string): Promise<void> {
    return this.#report(spec, renderWaiting(spec, { hostIp: this.#ports.nodeIp, reason, message }));
  }

  #keep(next: PodRecord): void {
    this.#record = next;
    this.#ports.records.save(next);
  }
}

function isRunning(p: ProcessRecord): boolean {
  return startTicks(p.pid) === p.startTicks;
}

const FIRST_BACK_OFF_MS = 500;
const LAST_BACK_OFF_MS = 10_000;

/** A container that ended is started again at once the first time, then after a delay that doubles; one that ran for long has none left. */
function mustWait(p: ProcessRecord, now: number): boolean {
  const delay = p.restarts === 0 ? 0 : Math.min(LAST_BACK_OFF_MS, FIRST_BACK_OFF_MS * 2 ** Math.min(p.restarts, 10));
  return now < Date.parse(p.startedAt) + delay;
}

function attachmentOf({ containerId, netns, namespace, name, uid, hostPorts }: PodRecord): Attachment {
  return { containerId, netns, namespace, pod: name, uid, hostPorts };
}

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
