/**
 * An object as it is in the store, and as it is in memory.
 *
 * Stored: the whole object without `metadata.resourceVersion`; policies carry their name in an annotation and their tier
 * in a label. In memory: resourceVersion is the decimal etcd revision, and the annotation is gone. Source: facts §2.1.4, §2.1.7, §1.6.3.
 */
import {
  type FieldError,
  DEFAULT_TIER,
  err,
  keyOf,
  type ObjectKind,
  ok,
  parseResource,
  type Resource,
  type Result,
  TIER_LABEL,
} from "@calico/model";

import { storedSpec } from "./stored-spec.ts";

export const NAME_ANNOTATION = "projectcalico.org/metadata";

/** Kinds with a tier; their names on disk follow the annotation. */
export const TIERED_KINDS = ["NetworkPolicy", "GlobalNetworkPolicy", "StagedNetworkPolicy", "StagedGlobalNetworkPolicy"] as const;

type Json = Readonly<Record<string, unknown>>;
type Meta = { readonly name: string; readonly namespace?: string } & Json;

export function isTiered(kind: string): boolean {
  return (TIERED_KINDS as readonly string[]).includes(kind);
}

export function tierOf(object: { readonly spec?: unknown }): string {
  const tier = (object.spec as Json | undefined)?.["tier"];
  return typeof tier === "string" && tier !== "" ? tier : DEFAULT_TIER;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The JSON text to store. */
export function printStored(object: { readonly kind: ObjectKind; readonly metadata: object; readonly spec?: unknown }): string {
  const { resourceVersion: _, selfLink: __, managedFields: ___, ...metadata } = object.metadata as Meta;
  const tiered = isTiered(object.kind) ? tierMetadata(metadata as Meta, tierOf(object)) : metadata;
  const spec = object.spec === undefined ? {} : { spec: storedSpec(object.kind, object.spec) };
  return canonical({ ...object, metadata: tiered, ...spec });
}

/** Whether two texts are the same JSON, in whatever order their fields are. */
export function sameStored(a: string, b: string): boolean {
  const [one, other] = [parseJson(a), parseJson(b)];
  return a === b || (one.ok && other.ok && canonical(one.value) === canonical(other.value));
}

/** JSON with sorted fields: an object that did not change is the same text. `kind` and `apiVersion` are first, as people expect. */
function canonical(object: Json): string {
  const { kind, apiVersion, metadata, ...rest } = object;
  return JSON.stringify({ kind, apiVersion, metadata: sorted(metadata), ...(sorted(rest) as Json) });
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const names = Object.keys(value).sort();
  return Object.fromEntries(names.map((name) => [name, sorted((value as Json)[name])]));
}

function tierMetadata(metadata: Meta, tier: string): Meta {
  const labels = { ...(metadata["labels"] as Json | undefined), [TIER_LABEL]: tier };
  const annotations = { ...(metadata["annotations"] as Json | undefined), [NAME_ANNOTATION]: JSON.stringify({ name: metadata.name }) };
  return { ...metadata, labels, annotations };
}

/** What is stored at the key of `kind`, as an object. The error is a reason. */
export function parseStored<K extends ObjectKind>(
  kind: K,
  value: string,
  revision: number,
): Result<Resource<K>, string | readonly FieldError[]> {
  const json = parseJson(value);
  if (!json.ok) return json;
  const metadata = json.value["metadata"];
  if (!isObject(metadata)) return err("it has no metadata");
  const named = isTiered(kind) ? restorePolicy(metadata, tierOf(json.value)) : metadata;
  return parseResource(kind, { ...json.value, metadata: { ...named, resourceVersion: String(revision) } });
}

function parseJson(value: string): Result<Json, string> {
  try {
    const json: unknown = JSON.parse(value);
    return isObject(json) ? ok(json) : err("it is not a JSON object");
  } catch (error) {
    return err(`it is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Without the annotation, a name of the default tier may carry the prefix that Calico wrote up to 3.31. */
function restorePolicy(metadata: Json, tier: string): Json {
  const { annotations: notes = {}, labels: marks = {}, name: stored, ...rest } = metadata;
  if (!isObject(notes) || !isObject(marks) || typeof stored !== "string") return metadata; // the schema says what is wrong
  const { [NAME_ANNOTATION]: recorded, ...annotations } = notes;
  const labels = { [TIER_LABEL]: tier, ...marks };
  const legacy = tier === DEFAULT_TIER && stored.startsWith("default.") ? stored.slice("default.".length) : stored;
  const name = recorded === undefined ? legacy : (nameIn(recorded) ?? stored);
  return { ...rest, name, labels, ...(Object.keys(annotations).length > 0 ? { annotations } : {}) };
}

function nameIn(annotation: unknown): string | undefined {
  const parsed = parseJson(String(annotation));
  const name = parsed.ok ? parsed.value["name"] : undefined;
  return typeof name === "string" && name !== "" ? name : undefined;
}

/** The key of an object by its reference; undefined if a namespaced kind has no namespace. */
export function storeKey(
  ref: { readonly kind: ObjectKind; readonly namespace?: string | undefined; readonly name: string },
  namespaced: boolean,
): string | undefined {
  if (!namespaced) return keyOf({ kind: ref.kind, name: ref.name });
  if (ref.namespace === undefined || ref.namespace === "") return undefined;
  return keyOf({ kind: ref.kind, namespace: ref.namespace, name: ref.name });
}
