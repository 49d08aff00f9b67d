import type { KubeObject } from "@calico/kube-client";

export type JsonMap = Readonly<Record<string, unknown>>;

export function mapAt(object: unknown, ...path: readonly string[]): JsonMap {
  let here: unknown = object;
  for (const step of path) here = typeof here === "object" && here !== null ? (here as JsonMap)[step] : undefined;
  return typeof here === "object" && here !== null && !Array.isArray(here) ? (here as JsonMap) : {};
}

export function textOf(map: JsonMap, field: string): string {
  const value = map[field];
  return typeof value === "string" ? value : "";
}

/** The maps of a list; none if there is no list. */
export function mapsOf(map: JsonMap, field: string): readonly JsonMap[] {
  const value = map[field];
  return Array.isArray(value) ? value.filter((v) => typeof v === "object" && v !== null) : [];
}

export function hasCondition(object: KubeObject, type: string): boolean {
  return mapsOf(mapAt(object, "status"), "conditions").some((c) => c["type"] === type && c["status"] === "True");
}

/** A plain equality selector, as Services and nodeSelector have it. */
export function selects(selector: JsonMap, labels: Readonly<Record<string, string>> = {}): boolean {
  return Object.entries(selector).every(([k, v]) => labels[k] === v);
}

/** A pod that has ended for good. */
export function isFinished(pod: KubeObject): boolean {
  return ["Succeeded", "Failed"].includes(textOf(mapAt(pod, "status"), "phase"));
}
