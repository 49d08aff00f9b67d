import { TIER_LABEL } from "@calico/model";
import { isMap } from "./facts.ts";

/** Whether two parsed objects say the same, whatever their identity (uid, dates, revision) and what the store adds on read. */
export function sameContent(a: object, b: object): boolean {
  return canonical(content(a)) === canonical(content(b));
}

/** Deep equality of JSON, whatever the order of keys; absent and undefined are one. */
export function sameValue(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b);
}

function content(object: object): unknown {
  const { metadata, apiVersion: _v, ...rest } = object as { metadata?: unknown; apiVersion?: unknown };
  const { labels, annotations } = isMap(metadata) ? metadata : {};
  const { [TIER_LABEL]: _tier, ...own } = isMap(labels) ? labels : {};
  return { ...rest, labels: own, annotations: isMap(annotations) ? annotations : {} };
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (!isMap(value)) return JSON.stringify(value) ?? "null";
  const entries = Object.entries(value).filter(([, v]) => v !== undefined);
  return `{${entries
    .toSorted(([x], [y]) => (x < y ? -1 : 1))
    .map(([k, v]) => `${JSON.stringify(k)}:${canonical(v)}`)
    .join(",")}}`;
}
