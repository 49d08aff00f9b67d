/**
 * Kubernetes' strategic merge patch: lists of maps are merged by a key where the API's types say so, otherwise replaced.
 *
 * Source: Kubernetes documentation, "Update API Objects in Place Using kubectl patch"; community "strategic-merge-patch" notes.
 */
import { badRequest } from "./api-error.ts";
import { isMap, type Json, type JsonMap, sameJson } from "./api-object.ts";

/** Merge key by field name; `parent.field` where the name alone has several meanings. From the API types' patchMergeKey tags. */
const MERGE_KEYS: Readonly<Record<string, string>> = {
  containers: "name",
  initContainers: "name",
  ephemeralContainers: "name",
  env: "name",
  volumes: "name",
  volumeMounts: "mountPath",
  volumeDevices: "devicePath",
  imagePullSecrets: "name",
  resourceClaims: "name",
  secrets: "name",
  hostAliases: "ip",
  podIPs: "ip",
  hostIPs: "ip",
  topologySpreadConstraints: "topologyKey",
  ownerReferences: "uid",
  conditions: "type",
  "status.addresses": "type",
  "containers.ports": "containerPort",
  "initContainers.ports": "containerPort",
  "spec.ports": "port",
};

/** Lists of plain values that are merged as sets. */
const SETS: readonly string[] = ["finalizers", "podCIDRs"];

export function strategicPatch(target: Json | undefined, patch: Json): Json {
  return mergeMaps(target, patch, "");
}

function mergeMaps(target: Json | undefined, patch: Json, field: string): Json {
  if (!isMap(patch)) return patch;
  if (patch["$patch"] === "replace") return without(patch, (k) => k === "$patch");
  if (patch["$patch"] === "delete") return {};
  const retain = patch["$retainKeys"];
  const base = isMap(target) ? target : {};
  const result: Record<string, Json> = Array.isArray(retain) ? { ...without(base, (k) => !retain.includes(k)) } : { ...base };
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith("$")) continue; // directives are read below, beside the list that they are about
    if (value === null) delete result[key];
    else if (Array.isArray(value))
      result[key] = mergeLists(result[key], value as readonly Json[], { field: key, parent: field, around: patch });
    else result[key] = mergeMaps(result[key], value, key);
  }
  for (const [key, value] of Object.entries(patch)) {
    const removed = /^\$deleteFromPrimitiveList\/(.+)$/.exec(key)?.[1];
    const list = removed === undefined ? undefined : result[removed];
    if (removed !== undefined && Array.isArray(list) && Array.isArray(value))
      result[removed] = (list as Json[]).filter((v) => !value.includes(v));
    const ordered = /^\$setElementOrder\/(.+)$/.exec(key)?.[1];
    if (ordered !== undefined && patch[ordered] === undefined && Array.isArray(result[ordered]) && Array.isArray(value))
      result[ordered] = order(result[ordered] as readonly Json[], value as readonly Json[], keyOf(ordered, field));
  }
  return result;
}

interface ListPlace {
  readonly field: string;
  readonly parent: string;
  readonly around: JsonMap;
}

function mergeLists(target: Json | undefined, patch: readonly Json[], place: ListPlace): Json {
  const old: readonly Json[] = Array.isArray(target) ? target : [];
  const wanted = place.around[`$setElementOrder/${place.field}`];
  const ordering = Array.isArray(wanted) ? (wanted as readonly Json[]) : undefined;
  const key = keyOf(place.field, place.parent);
  if (key === undefined) {
    if (!SETS.includes(place.field)) return patch.filter((p) => !(isMap(p) && "$patch" in p));
    const union = [...old, ...patch.filter((p) => !old.some((o) => sameJson(o, p)))];
    return ordering === undefined ? union : order(union, ordering, undefined);
  }
  if (patch.some((p) => isMap(p) && p["$patch"] === "replace")) return patch.filter((p) => !(isMap(p) && p["$patch"] === "replace"));
  const result = [...old];
  for (const item of patch) {
    if (!isMap(item) || item[key] === undefined) throw badRequest(`${place.field}: each item of the patch needs its merge key "${key}"`);
    const index = result.findIndex((o) => isMap(o) && sameJson(o[key], item[key]));
    if (item["$patch"] === "delete") {
      if (index >= 0) result.splice(index, 1);
    } else if (index < 0) result.push(mergeMaps(undefined, item, place.field));
    else result[index] = mergeMaps(result[index], item, place.field);
  }
  return ordering === undefined ? result : order(result, ordering, key);
}

function keyOf(field: string, parent: string): string | undefined {
  return MERGE_KEYS[`${parent}.${field}`] ?? MERGE_KEYS[field];
}

/** Items that the order names come in that order; the others keep their places relative to what precedes them. */
function order(items: readonly Json[], wanted: readonly Json[], key: string | undefined): readonly Json[] {
  const idOf = (v: Json) => JSON.stringify(key !== undefined && isMap(v) ? v[key] : v);
  const rank = new Map(wanted.map((w, i) => [idOf(w), i]));
  let last = -1;
  const ranked = items.map((item, i) => {
    last = rank.get(idOf(item)) ?? last;
    return { item, rank: last, i };
  });
  return ranked.toSorted((a, b) => a.rank - b.rank || a.i - b.i).map((r) => r.item);
}

function without(map: JsonMap, drop: (key: string) => boolean): JsonMap {
  return Object.fromEntries(Object.entries(map).filter(([k]) => !drop(k)));
}
