/**
 * Keys of the agent's locks. A call has its container's from beginning to end; what changes a pod's device and endpoint has the device's as
 * well, and asks for it after the container's. Both are held until the work is over, also when it was answered before.
 */
import type { Invocation } from "./run.ts";

export function containerTurn(plugin: Invocation["plugin"], containerId: string): string {
  // The main plugin asks the IPAM one through this agent when another main plugin is used: they must not wait for each other.
  return `${plugin} ${containerId}`;
}

export function deviceTurn(hostVeth: string): string {
  return `device ${hostVeth}`;
}
