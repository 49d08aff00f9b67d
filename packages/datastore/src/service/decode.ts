/** What the store holds, as objects. */
import { err, type ObjectKind, parseKey, type Resource, type Result } from "@calico/model";
import { DEFAULT_ALLOW_PROFILE } from "../domain/built-in.ts";
import { type DatastoreError, datastoreErrors, type Identifier } from "../domain/errors.ts";
import { parseStored } from "../domain/stored-form.ts";
import type { KeyValue } from "../ports.ts";

export function decode<K extends ObjectKind>(kind: K, kv: KeyValue): Result<Resource<K>, DatastoreError> {
  const parsed = parseStored(kind, kv.value, kv.modRevision);
  if (parsed.ok) return parsed;
  const ref = parseKey(kv.key)?.ref ?? { kind, name: kv.key };
  if (typeof parsed.error === "string") return err(datastoreErrors.unparsable(ref, kv.key, kv.value, parsed.error));
  return err(datastoreErrors.unparsable(ref, kv.key, kv.value, datastoreErrors.invalid(ref, parsed.error).message));
}

export function decodeAll<K extends ObjectKind>(
  kind: K,
  kvs: readonly KeyValue[],
): { items: Resource<K>[]; unparsable: readonly DatastoreError[] } {
  const items: Resource<K>[] = [];
  const unparsable: DatastoreError[] = [];
  if (kind === "Profile") {
    const builtIn = parsedDefaultAllow<K>();
    if (builtIn.ok) items.push(builtIn.value);
  }
  for (const kv of kvs) {
    const one =
      parseKey(kv.key) === undefined
        ? err(datastoreErrors.unparsable({ kind, name: kv.key }, kv.key, kv.value, "the key names no object"))
        : decode(kind, kv);
    if (one.ok) items.push(one.value);
    else unparsable.push(one.error);
  }
  return { items, unparsable };
}

export function isDefaultAllow(ref: Identifier): boolean {
  return ref.kind === "Profile" && ref.name === DEFAULT_ALLOW_PROFILE.metadata.name;
}

export function parsedDefaultAllow<K extends ObjectKind>(): Result<Resource<K>, DatastoreError> {
  return parseStored("Profile", JSON.stringify(DEFAULT_ALLOW_PROFILE), 1) as Result<Resource<K>, never>;
}
