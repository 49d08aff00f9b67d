/** Virtual machines for the audit: followed from when an address is one's, and only where the API has them and lets us see them. */
import { type KubeObject, type ResourceType } from "@calico/kube-client";
import { pause } from "@calico/daemon";
import type { Audit } from "../domain/ipam-audit.ts";
import type { ControllerPorts } from "../ports.ts";
import { follow } from "./follow.ts";
import { isUnseen, MACHINE_KINDS } from "./ipam-gc-look.ts";

const NAME = "ipam-audit";
const WAIT_MS = 1000;
/** KubeVirt may be installed, or the permission given, any time. */
const ASK_AGAIN_MS = 60_000;

/** Resolves when the signal fires. */
export async function followMachines(
  ports: ControllerPorts,
  audit: Pick<Audit, "hasMachines" | "setMachine" | "setMachinesKnown">,
): Promise<void> {
  while (!ports.signal.aborted && !audit.hasMachines()) await pause(WAIT_MS, ports.signal);
  const listed = new Set<string>();
  const one = async (type: ResourceType) => {
    await untilSeen(ports, type);
    const project = (o: KubeObject) => o.metadata.resourceVersion ?? "";
    for await (const event of follow(ports, NAME, { resource: type, project })) {
      if (event.kind === "inSync") listed.add(type.kind);
      else audit.setMachine(event.key, { kind: type.kind, isThere: event.kind !== "deleted", revision: event.object });
      if (listed.size === MACHINE_KINDS.length) audit.setMachinesKnown(true);
    }
  };
  await Promise.all(MACHINE_KINDS.map(one));
}

async function untilSeen({ kube, signal, log }: ControllerPorts, type: ResourceType): Promise<void> {
  for (let isFirst = true; !signal.aborted; isFirst = false) {
    try {
      await kube.list(type, { signal });
      return;
    } catch (error) {
      if (!isUnseen(error)) return; // what is a passing failure is the reflector's
      const reason = error instanceof Error ? error.message : String(error);
      if (isFirst) log.warn("virtual machines not seen, their addresses are not judged", { kind: type.kind, reason });
      await pause(ASK_AGAIN_MS, signal);
    }
  }
}
