/** What happened to a Service, where its owner looks: in `kubectl describe service`. Nothing depends on it, so that a failure is only logged. */
import { type KubeClient, RESOURCES } from "@calico/kube-client";
import type { Logger } from "@calico/daemon";
import type { LoadBalancerService } from "../domain/load-balancer-service.ts";

export interface EventPorts {
  readonly kube: Pick<KubeClient, "create">;
  readonly log: Logger;
  readonly clock: () => number;
}

export interface ServiceEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

/** Source: Kubernetes core/v1 Event; client-go tools/record (names are the object's, and the time in hexadecimal). */
export async function sayEvent({ kube, log, clock }: EventPorts, service: LoadBalancerService, event: ServiceEvent): Promise<void> {
  const { namespace, name, uid, resourceVersion } = service;
  const nowMs = clock();
  const at = new Date(nowMs).toISOString().replace(/\.\d+Z$/, "Z");
  const object = {
    metadata: { namespace, name: `${name}.${(BigInt(nowMs) * 1_000_000n).toString(16)}` },
    involvedObject: { apiVersion: "v1", kind: "Service", namespace, name, uid, resourceVersion },
    ...event,
    source: { component: "calico-kube-controllers" },
    firstTimestamp: at,
    lastTimestamp: at,
    count: 1,
  };
  try {
    await kube.create(RESOURCES.events, object);
  } catch (error) {
    log.debug("event not written", { service: `${namespace}/${name}`, reason: event.reason, error });
  }
}
