import { type KubeClient, type KubeObject, isAlreadyExists, isNotFound, reflect, RESOURCES } from "@calico/kube-client";
import { pause, retry } from "@calico/daemon";
import { PodWorker, type WorkerPorts } from "./pod-worker.ts";
import { type PodSpec, podSpecOf } from "./pod-spec.ts";

const LIVENESS_MS = 500;
const PROBE_MS = 100;
const HEARTBEAT_MS = 10_000;

interface Entry {
  readonly worker: PodWorker;
  spec: PodSpec | undefined;
  dirty: boolean;
  busy: boolean;
}

/** The node's pods from the API to the machine, each pod on its own, until the signal fires. Pods outlive the kubelet. */
export async function runKubelet(ports: WorkerPorts, signal: AbortSignal): Promise<void> {
  const entries = new Map<string, Entry>();
  for (const r of ports.records.load())
    entries.set(r.uid, { worker: new PodWorker(r.uid, ports, r), spec: undefined, dirty: false, busy: false });

  const entryOf = (uid: string): Entry => {
    const entry = entries.get(uid) ?? { worker: new PodWorker(uid, ports), spec: undefined, dirty: false, busy: false };
    entries.set(uid, entry);
    return entry;
  };

  async function work(uid: string, entry: Entry): Promise<void> {
    entry.dirty = true;
    if (entry.busy) return;
    entry.busy = true;
    let failures = 0;
    while (entry.dirty && !signal.aborted) {
      entry.dirty = false;
      try {
        const settled = await entry.worker.sync(entry.spec);
        failures = 0;
        if (settled === "waiting") {
          entry.dirty = true;
          await pause(PROBE_MS, signal);
        }
        if (entry.spec === undefined && entry.worker.record === undefined) entries.delete(uid);
      } catch (error) {
        const delayMs = Math.min(2000, 50 * 2 ** failures++);
        if (failures > 3) ports.log.warn("pod not as wanted yet", { uid, pod: entry.spec?.name, error: String(error), delayMs });
        entry.dirty = true;
        await pause(delayMs, signal);
      }
    }
    entry.busy = false;
  }

  const liveness = setInterval(() => {
    for (const [uid, entry] of entries) if (entry.spec !== undefined && !entry.spec.deleting && entry.worker.lost()) void work(uid, entry);
  }, LIVENESS_MS);
  signal.addEventListener("abort", () => clearInterval(liveness));
  void keepNodeReady(ports, signal);

  const pods = reflect<PodSpec>(ports.api, RESOURCES.pods, {
    signal,
    fieldSelector: `spec.nodeName=${ports.node}`,
    project: podSpecOf,
    onError: (error) => ports.log.warn("pods watch failed, trying again", { error: String(error) }),
  });
  for await (const event of pods) {
    if (event.kind === "inSync") {
      for (const [uid, entry] of entries) if (entry.spec === undefined) void work(uid, entry);
      continue;
    }
    const entry = entryOf(event.object.uid);
    entry.spec = event.kind === "deleted" ? undefined : event.object;
    void work(event.object.uid, entry);
  }
}

/** Register the Node and say every ten seconds that it is ready. */
async function keepNodeReady({ api, node, nodeIp, log }: WorkerPorts, signal: AbortSignal): Promise<void> {
  const labels = { "kubernetes.io/hostname": node, "kubernetes.io/os": "linux" };
  while (!signal.aborted) {
    await retry(() => registerNode(api, { apiVersion: "v1", kind: "Node", metadata: { name: node, labels }, spec: {} }), {
      signal,
      onError: (error) => log.warn("node not registered, trying again", { error: String(error) }),
    });
    const now = new Date().toISOString();
    const status = {
      addresses: [
        { type: "InternalIP", address: nodeIp },
        { type: "Hostname", address: node },
      ],
      conditions: [
        {
          type: "Ready",
          status: "True",
          reason: "KubeletReady",
          message: "the lab's kubelet",
          lastHeartbeatTime: now,
          lastTransitionTime: now,
        },
      ],
      nodeInfo: { kubeletVersion: "v1.20.0-lab", operatingSystem: "linux", architecture: "amd64" },
      capacity: { pods: "250" },
      allocatable: { pods: "250" },
    };
    await api
      .patch(RESOURCES.nodes, { name: node, subresource: "status" }, { type: "merge", body: { status } })
      .catch((error: unknown) => log.warn("node status not written", { error: String(error) }));
    await pause(HEARTBEAT_MS, signal);
  }
}

async function registerNode(api: KubeClient, object: KubeObject): Promise<void> {
  try {
    await api.get(RESOURCES.nodes, { name: object.metadata.name });
  } catch (error) {
    if (!isNotFound(error)) throw error;
    await api.create(RESOURCES.nodes, object).catch((e: unknown) => {
      if (!isAlreadyExists(e)) throw e;
    });
  }
}
