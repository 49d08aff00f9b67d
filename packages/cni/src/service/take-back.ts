/** What an ADD does when it fails, or comes too late: what DEL would, so that nothing of the container is left. */
import type { Workload } from "../domain/workload.ts";
import type { Ports } from "../ports.ts";
import type { Job } from "./add.ts";
import { delegateDel } from "./delegate.ts";
import type { Delegation } from "./delegate.ts";
import { removeEndpoint } from "./endpoints.ts";
import { unwirePod } from "./unwire.ts";

/**
 * Device and endpoint, and then the address: it stays the container's while one of them could not be taken away. Under the device's turn.
 * Never throws, which would hide why ADD failed; the runtime's DEL comes through here again.
 */
export async function takeBack(
  ports: Ports,
  { call, log }: Job,
  { delegation, workload }: { readonly delegation: Delegation; readonly workload: Workload },
): Promise<void> {
  const quietly = async (what: string, action: () => Promise<unknown>): Promise<boolean> => {
    try {
      await action();
      return true;
    } catch (e) {
      log.warn("undo failed", { what, containerId: call.containerId, reason: e instanceof Error ? e.message : String(e) });
      return false;
    }
  };
  const pair = { netns: call.netns, ifName: call.ifName, hostName: workload.hostVeth };
  const outcomes = await Promise.all([
    quietly("veth", async () => await (await unwirePod(ports.kernel, pair)).gone),
    quietly("endpoint", () => removeEndpoint(delegation.datastore, workload, delegation.conf.name)),
  ]);
  if (outcomes.every(Boolean)) await quietly("ipam", () => delegateDel(ports, { ...delegation, call: { ...call, command: "DEL" } }));
}
