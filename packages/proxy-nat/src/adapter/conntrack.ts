import { deleteFlows } from "@calico/linux";
import type { Conntrack } from "../ports.ts";

/** The kernel's connection tracking; of this process's network namespace unless another is named. */
export function kernelConntrack(options: { readonly netnsPath?: string } = {}): Conntrack {
  return {
    async forget(flows) {
      let forgotten = 0;
      for (const { vip, port, target } of flows)
        // A flow that was never translated answers from the service's own address.
        forgotten += await deleteFlows({ protocol: "udp", origDst: vip, origDstPort: port, replySrc: target ?? vip }, options);
      return forgotten;
    },
  };
}
