import type { NatsAccess } from "@calico/bus";
import type { Logger } from "@calico/daemon";

/** Says on the bus what happened. Without servers nothing is said, and the bus is not loaded. */
export async function openEvents(o: {
  readonly servers: readonly string[];
  readonly access: NatsAccess;
  readonly log: Logger;
}): Promise<{ readonly event: (subject: string, body: object) => void; readonly close: () => Promise<void> }> {
  if (o.servers.length === 0) return { event: () => {}, close: async () => {} };
  const { natsConnection, openReporter } = await import("@calico/bus");
  const { servers, access, log } = o;
  return openReporter({ servers, component: "ipam-gc", stream: "ipam", node: access.node, log, connection: natsConnection(access) });
}
