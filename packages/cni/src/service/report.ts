/** The event that a call leaves on the bus. */
import type { CniEvent } from "@calico/model";
import type { Ended } from "./run.ts";

/** Undefined for calls that are about no container. */
export function eventOf(ended: Ended, o: { readonly node: string; readonly at: Date }): CniEvent | undefined {
  const { call, command, workload, fault } = ended;
  if (call === undefined || (command !== "ADD" && command !== "DEL" && command !== "CHECK")) return undefined;
  const pod = call.args.get("K8S_POD_NAME");
  const namespace = call.args.get("K8S_POD_NAMESPACE");
  return {
    node: o.node,
    command,
    containerId: call.containerId,
    ...(namespace ? { namespace } : {}),
    ...(pod ? { pod } : {}),
    ifName: call.ifName,
    ...(workload === undefined ? {} : { hostIfName: workload.hostVeth }),
    ips: [...ended.ips],
    ok: fault === undefined,
    ...(fault === undefined
      ? {}
      : { error: { code: fault.code, msg: fault.message, ...(fault.details === undefined ? {} : { details: fault.details }) } }),
    durationMs: ended.durationMs,
    at: o.at.toISOString(),
  };
}
