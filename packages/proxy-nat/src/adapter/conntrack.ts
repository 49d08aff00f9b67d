import { deleteFlows } from "@calico/linux";
import type { Conntrack } from "../ports.ts";

/** The kernel's connection tracking, of this process's network namespace. */
export function kernelConntrack(): Conntrack {
  return {
    async forget(flows) {
      let forgotten = 0;
      for (const { vip, port, target } of flows)
        // A flow that was never translated answers from the service's own address.
        forgotten += await deleteFlows({ protocol: "udp", origDst: vip, origDstPort: port, replySrc: target ?? vip });
      return forgotten;
    },
  };
}
