/** Changes of one kind, as Calico's v3 client tells them. Source: facts §2.2.6 (libcalico-go/lib/backend/etcdv3/watcher.go). */
import { kindInfo, type ObjectKind, type ObjectRef, parseKey, prefixOf, type Resource } from "@calico/model";
import { type DatastoreError, datastoreErrors } from "../domain/errors.ts";
import type { KeyValue, Store } from "../ports.ts";
import { decode } from "./decode.ts";

export type ResourceEvent<K extends ObjectKind> =
  | { readonly kind: "added" | "modified"; readonly object: Resource<K> }
  /** `previous` is the object as this watch last saw it. */
  | { readonly kind: "deleted"; readonly ref: ObjectRef; readonly previous: Resource<K> | undefined; readonly resourceVersion: string }
  /** What is stored there cannot be read; the watch goes on. */
  | { readonly kind: "error"; readonly error: DatastoreError }
  /** History is gone: list again. The watch ends. */
  | { readonly kind: "terminated"; readonly reason: string };

export interface WatchOptions {
  readonly namespace?: string | undefined;
  /** Changes after this revision; without it, first what there is, each as added. */
  readonly resourceVersion?: string | undefined;
  readonly signal: AbortSignal;
}

/** Built-in objects are not in the store, and not told of. */
export async function* watchResources<K extends ObjectKind>(
  store: Store,
  kind: K,
  options: WatchOptions,
): AsyncGenerator<ResourceEvent<K>> {
  const prefix = prefixOf(kind, kindInfo(kind).namespaced ? options.namespace : undefined);
  const seen = new Map<string, KeyValue>();
  let from = options.resourceVersion === undefined ? undefined : Number(options.resourceVersion) + 1;
  if (from === undefined) {
    const { items, revision } = await store.list(prefix);
    for (const kv of items) {
      seen.set(kv.key, kv);
      yield put(kind, kv, "added");
    }
    from = revision + 1;
  }
  for await (const event of store.watch(prefix, { fromRevision: from, signal: options.signal })) {
    if (event.kind === "put") {
      yield put(kind, event, event.createRevision === event.modRevision ? "added" : "modified");
      seen.set(event.key, event);
    } else if (event.kind === "delete") {
      const deleted = gone(kind, event, seen.get(event.key));
      seen.delete(event.key);
      yield deleted;
    } else if (event.kind === "compacted") {
      yield { kind: "terminated", reason: `changes up to revision ${event.revision} are no longer kept: list again` };
      return;
    }
  }
}

function put<K extends ObjectKind>(kind: K, kv: KeyValue, what: "added" | "modified"): ResourceEvent<K> {
  const parsed = decode(kind, kv);
  return parsed.ok ? { kind: what, object: parsed.value } : { kind: "error", error: parsed.error };
}

function gone<K extends ObjectKind>(
  kind: K,
  { key, modRevision }: { readonly key: string; readonly modRevision: number },
  last: KeyValue | undefined,
): ResourceEvent<K> {
  const ref = parseKey(key)?.ref;
  if (ref === undefined)
    return { kind: "error", error: datastoreErrors.unparsable({ kind, name: key }, key, "", "the key names no object") };
  const previous = last === undefined ? undefined : decode(kind, last);
  return { kind: "deleted", ref, previous: previous?.ok ? previous.value : undefined, resourceVersion: String(modRevision) };
}
