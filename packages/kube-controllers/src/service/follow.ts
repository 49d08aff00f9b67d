import { isWorthSaying, type KubeObject, reflect, type ReflectorEvent, type ResourceType } from "@calico/kube-client";
import type { ControllerPorts } from "../ports.ts";

/** The reflector of one controller; what breaks is logged and counted, and goes on by itself. */
export function follow<F>(
  ports: ControllerPorts,
  name: string,
  o: { readonly resource: ResourceType; readonly project: (k: KubeObject) => F },
): AsyncIterable<ReflectorEvent<F>> {
  return reflect(ports.kube, o.resource, {
    signal: ports.signal,
    project: o.project,
    onError: (error, failures, delayMs) => {
      ports.metrics.inc("kube_controllers_reflector_errors_total", { controller: name });
      if (!isWorthSaying(failures)) return;
      const reason = error instanceof Error ? error.message : String(error);
      ports.log.warn("kubernetes api not followed, retrying", { controller: name, failures, delayMs: Math.round(delayMs), reason });
    },
  });
}
