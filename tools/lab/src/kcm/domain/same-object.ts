import type { KubeObject } from "@calico/kube-client";

/** Whether `there` already says everything that `wanted` says: its labels and owners, and the whole of its content. */
export function sameObject(there: KubeObject, wanted: KubeObject): boolean {
  const { metadata: a, kind: _ka, apiVersion: _va, ...bodyA } = there;
  const { metadata: b, kind: _kb, apiVersion: _vb, ...bodyB } = wanted;
  return same(a.labels ?? {}, b.labels ?? {}) && same(a["ownerReferences"] ?? [], b["ownerReferences"] ?? []) && same(bodyA, bodyB);
}

function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null || Array.isArray(a) !== Array.isArray(b)) return false;
  const [x, y] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const keys = new Set([...Object.keys(x), ...Object.keys(y)].filter((k) => x[k] !== undefined || y[k] !== undefined));
  return [...keys].every((k) => same(x[k], y[k]));
}
