import { type Logger, pause } from "@calico/daemon";
import { ApiError } from "../domain/api-error.ts";
import { textAt } from "../domain/api-object.ts";
import { kindNamed } from "../domain/kinds.ts";
import type { ServerPorts } from "../ports.ts";
import { listPage } from "./lists.ts";
import type { Registry } from "./registry.ts";

const EVENT_AGE_MS = 3_600_000;

/** Remove events that nobody updated for an hour, as the real server's --event-ttl does. Gives the number removed. */
export async function expireEvents(ports: ServerPorts, registry: Registry): Promise<number> {
  const kind = kindNamed("Event");
  const oldest = ports.clock().getTime() - EVENT_AGE_MS;
  const { items } = await listPage(ports.store, { kind, namespace: undefined, matches: () => true, limit: undefined, token: undefined });
  let removed = 0;
  for (const event of items) {
    const { name, namespace, creationTimestamp = "" } = event.metadata;
    const seen = Date.parse(textAt(event, "lastTimestamp") || textAt(event, "eventTime") || creationTimestamp);
    if (seen >= oldest) continue;
    try {
      await registry.remove({ kind, namespace, name }, { graceSec: undefined, uid: undefined, resourceVersion: undefined });
      removed++;
    } catch (e) {
      if (!(e instanceof ApiError && e.status.code === 404)) throw e;
    }
  }
  return removed;
}

const SWEEP_MS = 300_000;

/** Sweep until the signal fires. A sweep that fails is logged; the next one does its work. */
export async function keepExpiring(
  ports: ServerPorts,
  registry: Registry,
  o: { readonly signal: AbortSignal; readonly log: Logger },
): Promise<void> {
  for (;;) {
    await pause(SWEEP_MS, o.signal);
    if (o.signal.aborted) return;
    await expireEvents(ports, registry).catch((error: unknown) => o.log.warn("events not swept", { error }));
  }
}
