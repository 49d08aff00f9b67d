import { pause } from "@calico/daemon";
import type { ControllerPorts } from "../ports.ts";

const RETRY_MS = 500;

/** Do it until it ends well; the datastore being away is logged, counted and waited for. */
export async function untilDone(ports: ControllerPorts, controller: string, action: () => Promise<void>): Promise<void> {
  while (!ports.signal.aborted) {
    try {
      return await action();
    } catch (error) {
      if (ports.signal.aborted) return;
      ports.metrics.inc("kube_controllers_failures_total", { controller });
      ports.log.warn("datastore not read, retrying", { controller, error });
      await pause(RETRY_MS, ports.signal);
    }
  }
}

/** Do it each `reconcileMs` until the signal fires. */
export async function everyPeriod(ports: ControllerPorts, action: () => Promise<void> | void): Promise<void> {
  for (;;) {
    await pause(ports.reconcileMs, ports.signal);
    if (ports.signal.aborted) return;
    await action();
  }
}
