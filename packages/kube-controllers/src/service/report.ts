import { type HealthReport, type Logger, pause } from "@calico/daemon";
import type { NatsAccess } from "@calico/bus";
import type { Controller } from "../ports.ts";

/** Ready when every controller has compared everything once. */
export function healthOf(controllers: readonly Controller[]): HealthReport {
  const status = controllers.map((c) => [c.name, c.status()] as const);
  return { live: true, ready: status.every(([, s]) => s.inSync), detail: Object.fromEntries(status) };
}

const PERIOD_MS = 10_000;

/** Say on the bus how it is, while the signal lasts. No servers: nothing is said, and the bus is not loaded. */
export async function reportStatus(
  controllers: readonly Controller[],
  o: { readonly servers: readonly string[]; readonly access: NatsAccess; readonly log: Logger; readonly signal: AbortSignal },
): Promise<void> {
  if (o.servers.length === 0) return;
  const { natsConnection, openReporter } = await import("@calico/bus");
  const reporter = openReporter({
    servers: o.servers,
    component: "kube-controllers",
    node: o.access.node,
    log: o.log,
    connection: natsConnection(o.access),
  });
  while (!o.signal.aborted) {
    const { ready, detail } = healthOf(controllers);
    reporter.status({ healthy: ready, inSync: ready, revision: 0, version: "0.1.0", detail });
    await pause(PERIOD_MS, o.signal);
  }
  await reporter.close();
}
