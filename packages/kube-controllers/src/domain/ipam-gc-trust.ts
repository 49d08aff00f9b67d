/**
 * When what the Kubernetes API says is no evidence. An address is released on an absence, and an API server that was emptied,
 * restored, or is another cluster's is full of absences: then nothing is judged, and somebody is told.
 *
 * Deviation: Calico's collector takes any list that the API server gives.
 */
import type { Allocation, World } from "./ipam-gc.ts";

/** Why nothing may be concluded from this look; undefined if it may. */
export function distrust(world: World, allocations: readonly Pick<Allocation, "node" | "pod">[]): string | undefined {
  if (allocations.length === 0) return undefined;
  const count = `${allocations.length} addresses`;
  if (world.kubeNodes.size === 0) return `Cannot judge ${count}: the Kubernetes API knows no node at all; is it the right one?`;
  const hosts = new Set([...allocations.flatMap((a) => a.node ?? []), ...kubernetesHosts(world)]);
  if (hosts.size > 0 && ![...hosts].some((host) => world.kubeNodes.has(world.calicoNodes.get(host) ?? host)))
    return `Cannot judge ${count}: of the ${hosts.size} nodes of the datastore the Kubernetes API knows none; is it the right one?`;
  const ofPods = allocations.filter((a) => a.pod !== undefined).length;
  if (ofPods > 0 && world.pods.size === 0)
    return `Cannot judge ${ofPods} addresses of pods: the Kubernetes API knows no pod at all; was it emptied or restored?`;
  return undefined;
}

function kubernetesHosts({ calicoNodes }: World): readonly string[] {
  return [...calicoNodes].flatMap(([host, kubeNode]) => (kubeNode === undefined ? [] : [host]));
}

/**
 * Whether the API's history is older than it was: it was restored from a backup, so what was seen of it before is void.
 * Revisions that are not numbers tell nothing.
 *
 * Source: Kubernetes API concepts, "Resource versions".
 */
export function wentBack(before: string | undefined, now: string): boolean {
  const isNumber = (text: string | undefined): text is string => text !== undefined && /^\d+$/.test(text);
  return isNumber(before) && isNumber(now) && BigInt(now) < BigInt(before);
}
