/** A block for a node before its first pod. Source: calico libcalico-go/lib/ipam/ipam.go (EnsureBlock). */
import { formatCidr } from "@calico/model";
import type { Family } from "@calico/model";
import type { AutoAssignRequest } from "../ports.ts";
import { claimFree, makeJob } from "./auto-assign.ts";
import type { AssignPorts } from "./auto-assign.ts";
import { claimBlock } from "./claim.ts";
import type { Facts } from "./facts.ts";
import { IpamFault } from "./fault.ts";
import { unlessBroken } from "./records.ts";

/** A block of the family that is the node's: one it has, else a new one. */
export async function ensureBlock(
  ports: AssignPorts,
  o: { readonly request: Omit<AutoAssignRequest, "num4" | "num6">; readonly facts: Facts; readonly family: Family },
): Promise<string> {
  const job = await makeJob(ports, { ...o, request: { ...o.request, num4: 0, num6: 0 }, count: 1 });
  for (const { cidr, confirmed } of job.usable) {
    if (confirmed) return formatCidr(cidr);
    const claimed = await unlessBroken(() => claimBlock(ports, cidr, job.claimant));
    if (claimed.ok && claimed.value === "claimed") return formatCidr(cidr);
  }
  const made = await claimFree(job);
  if (made === undefined)
    throw new IpamFault("noPool", `Cannot find a free block for node ${o.request.node}: every block of its pools is claimed`);
  return formatCidr(made);
}
