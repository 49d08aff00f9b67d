import type { KubeObject } from "@calico/kube-client";
import { hasCondition, isFinished, mapAt, mapsOf, selects, textOf } from "./kube-read.ts";

export interface SchedulerView {
  readonly nodes: Iterable<KubeObject>;
  readonly pods: Iterable<KubeObject>;
  /** Bindings that were made and are not yet seen in `pods`: `namespace/name` → node. */
  readonly assumed: ReadonlyMap<string, string>;
}

/** Whether a pod waits for a node, and for this scheduler. */
export function isWaiting(pod: KubeObject): boolean {
  const spec = mapAt(pod, "spec");
  const mine = ["", "default-scheduler"].includes(textOf(spec, "schedulerName"));
  return mine && textOf(spec, "nodeName") === "" && pod.metadata.deletionTimestamp === undefined && !isFinished(pod);
}

/**
 * The node for a pod: ready, not cordoned, fitting nodeSelector and taints; of those the one with the fewest pods that share a label
 * with this one (so that replicas spread), then the fewest pods, then the first by name. `undefined` when none fits.
 */
export function chooseNode(pod: KubeObject, view: SchedulerView): string | undefined {
  const fitting = [...view.nodes].filter((node) => fits(pod, node)).map((node) => node.metadata.name);
  const load = new Map(fitting.map((name) => [name, { alike: 0, all: 0 }]));
  for (const other of view.pods) {
    const id = `${other.metadata.namespace}/${other.metadata.name}`;
    const count = load.get(textOf(mapAt(other, "spec"), "nodeName") || (view.assumed.get(id) ?? ""));
    if (count === undefined || isFinished(other)) continue;
    count.all++;
    if (sharesLabel(pod, other)) count.alike++;
  }
  const ranked = [...load].toSorted(([a, x], [b, y]) => x.alike - y.alike || x.all - y.all || (a < b ? -1 : 1));
  return ranked[0]?.[0];
}

function fits(pod: KubeObject, node: KubeObject): boolean {
  const spec = mapAt(node, "spec");
  if (spec["unschedulable"] === true || node.metadata.deletionTimestamp !== undefined || !hasCondition(node, "Ready")) return false;
  if (!selects(mapAt(pod, "spec", "nodeSelector"), node.metadata.labels)) return false;
  const tolerations = mapsOf(mapAt(pod, "spec"), "tolerations");
  const repels = (taint: Readonly<Record<string, unknown>>) =>
    taint["effect"] !== "PreferNoSchedule" &&
    !tolerations.some(
      (t) =>
        (t["key"] === undefined || t["key"] === taint["key"]) &&
        (t["operator"] === "Exists" || (t["value"] ?? "") === (taint["value"] ?? "")) &&
        (t["effect"] === undefined || t["effect"] === "" || t["effect"] === taint["effect"]),
    );
  return !mapsOf(spec, "taints").some(repels);
}

function sharesLabel(a: KubeObject, b: KubeObject): boolean {
  if (a.metadata.namespace !== b.metadata.namespace) return false;
  return Object.entries(a.metadata.labels ?? {}).some(([k, v]) => b.metadata.labels?.[k] === v);
}
