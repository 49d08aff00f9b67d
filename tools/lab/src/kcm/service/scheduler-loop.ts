import { type KubeObject, isNotFound, KubeError, makeKeyQueue, RESOURCES } from "@calico/kube-client";
import { mapAt, textOf } from "../domain/kube-read.ts";
import { chooseNode, isWaiting } from "../domain/schedule.ts";
import type { Informer, LoopPorts } from "./informer.ts";

/** Bind each waiting pod to a node. One at a time, so that each choice sees the one before. */
export function makeScheduler(
  ports: LoopPorts,
  { pods, nodes }: { readonly pods: Informer; readonly nodes: Informer },
): { run(): Promise<void> } {
  const assumed = new Map<string, string>();
  const queue = makeKeyQueue({
    signal: ports.signal,
    workers: 1,
    handle: schedule,
    onFailure: (pod, error, retry) => ports.log.warn("pod not bound, retrying", { pod, ...retry, error }),
  });
  const consider = (key: string, pod: KubeObject) => {
    if (isWaiting(pod) && !assumed.has(key)) queue.add(key);
  };
  const considerAll = () => {
    for (const [key, pod] of pods.objects) consider(key, pod);
  };
  pods.listen((key, pod) => {
    if (pod === undefined || textOf(mapAt(pod, "spec"), "nodeName") !== "") assumed.delete(key);
    if (pod !== undefined && ready()) consider(key, pod);
  });
  nodes.listen(() => {
    if (ready()) considerAll();
  });
  const ready = () => pods.inSync && nodes.inSync;

  async function schedule(key: string): Promise<void> {
    const pod = pods.objects.get(key);
    if (pod === undefined || !isWaiting(pod) || assumed.has(key)) return;
    const node = chooseNode(pod, { nodes: nodes.objects.values(), pods: pods.objects.values(), assumed });
    if (node === undefined) {
      ports.log.info("no node fits the pod, waiting", { pod: key, nodes: nodes.objects.size });
      return;
    }
    const { name, namespace } = pod.metadata;
    try {
      assumed.set(key, node);
      const binding = {
        apiVersion: "v1",
        kind: "Binding",
        metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
        target: { kind: "Node", name: node },
      };
      await ports.kube.create(RESOURCES.pods, binding, { subresource: "binding" });
      ports.log.info("pod bound", { pod: key, node });
    } catch (error) {
      assumed.delete(key);
      if (isNotFound(error)) return;
      if (error instanceof KubeError && error.status === 409) return; // bound by another, or going: the watch will say
      throw error;
    }
  }

  return {
    async run() {
      await Promise.race([Promise.all([pods.ready, nodes.ready]), aborted(ports.signal)]);
      considerAll();
      await queue.run();
    },
  };
}

export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
