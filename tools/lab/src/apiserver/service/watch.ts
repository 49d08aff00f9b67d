/** One client's watch: etcd's changes as Kubernetes events, with selectors, bookmarks and an end. */
import type { Store, WatchEvent as StoreEvent } from "@calico/datastore";
import { expired, type Status } from "../domain/api-error.ts";
import type { ApiObject } from "../domain/api-object.ts";
import type { ApiKind } from "../domain/kinds.ts";
import { isCompacted, listPage } from "./lists.ts";
import { prefixOf } from "./registry.ts";
import { decodeObject, type Storage } from "./storage.ts";

export interface WatchRequest {
  readonly kind: ApiKind;
  readonly namespace: string | undefined;
  readonly matches: (object: ApiObject) => boolean;
  /** True when everything matches: then no change needs the object's state before it. */
  readonly all: boolean;
  /** Events after this version; "" or "0" begins with what is there. */
  readonly resourceVersion: string;
  readonly bookmarks: boolean;
  readonly timeoutSec: number;
  readonly bookmarkMs?: number;
  readonly signal: AbortSignal;
}

export type ApiEvent =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: ApiObject }
  | { readonly type: "BOOKMARK"; readonly resourceVersion: string }
  | { readonly type: "ERROR"; readonly status: Status };

const BOOKMARK_MS = 30_000;

export async function* watchObjects(store: Store, storage: Storage, request: WatchRequest): AsyncGenerator<ApiEvent> {
  const stop = new AbortController();
  const signal = AbortSignal.any([request.signal, stop.signal]);
  try {
    let revision = Number(request.resourceVersion);
    if (request.resourceVersion === "" || request.resourceVersion === "0") {
      const list = await listPage(store, { ...request, limit: undefined, token: undefined });
      for (const object of list.items) yield { type: "ADDED", object };
      revision = list.revision;
    }
    const changes = store.watch(prefixOf(request.kind, request.namespace), { fromRevision: revision + 1, signal });
    for await (const next of withTicks(changes, { ...request, signal })) {
      if (next === "tick") {
        if (request.bookmarks) yield { type: "BOOKMARK", resourceVersion: String(revision) };
        continue;
      }
      if (next.kind === "compacted") {
        yield { type: "ERROR", status: expired(String(revision), String(next.revision)).status };
        return;
      }
      revision = next.kind === "progress" ? Math.max(revision, next.revision) : next.modRevision;
      const event = next.kind === "progress" ? undefined : await eventOf(storage, request, next);
      if (event !== undefined) yield event;
    }
  } finally {
    stop.abort();
  }
}

/** What a selector makes of a change: objects come into it and leave it. */
async function eventOf(
  storage: Storage,
  request: WatchRequest,
  change: Extract<StoreEvent, { kind: "put" | "delete" }>,
): Promise<ApiEvent | undefined> {
  if (change.kind === "delete") {
    const object = await previous(storage, request, change);
    return request.matches(object) ? { type: "DELETED", object } : undefined;
  }
  const object = decodeObject(change);
  const now = request.matches(object);
  if (change.createRevision === change.modRevision) return now ? { type: "ADDED", object } : undefined;
  if (request.all) return { type: "MODIFIED", object };
  const old = await previous(storage, request, change);
  const before = request.matches(old);
  if (now) return { type: before ? "MODIFIED" : "ADDED", object };
  return before ? { type: "DELETED", object: old } : undefined;
}

/** The object before a change, with the change's version. If history is gone, its name is all that is known. */
async function previous(
  storage: Storage,
  { kind }: WatchRequest,
  change: { readonly key: string; readonly modRevision: number },
): Promise<ApiObject> {
  const value = await storage.before(change.key, change.modRevision).catch((error: unknown) => {
    if (isCompacted(error)) return undefined;
    throw error;
  });
  if (value !== undefined) return decodeObject({ value, modRevision: change.modRevision });
  const [name = "", namespace = ""] = change.key.split("/").toReversed();
  const metadata = { name, ...(kind.namespaced ? { namespace } : {}), resourceVersion: String(change.modRevision) };
  return { apiVersion: kind.versions[0] ?? "v1", kind: kind.kind, metadata };
}

/** The changes, with a tick whenever `bookmarkMs` pass, until the time is over. */
async function* withTicks(
  changes: AsyncIterable<StoreEvent>,
  { timeoutSec, bookmarkMs = BOOKMARK_MS, signal }: Pick<WatchRequest, "timeoutSec" | "bookmarkMs" | "signal">,
): AsyncGenerator<StoreEvent | "tick"> {
  const endAt = Date.now() + timeoutSec * 1000;
  let tickAt = Date.now() + bookmarkMs;
  const iterator = changes[Symbol.asyncIterator]();
  let pending = iterator.next();
  for (;;) {
    const now = Date.now();
    if (now >= endAt || signal.aborted) break;
    const timer = makeTimer(Math.max(0, Math.min(endAt, tickAt) - now));
    const winner = await Promise.race([pending, timer.fired]);
    timer.clear();
    if (winner !== undefined) {
      if (winner.done === true) return;
      pending = iterator.next();
      yield winner.value;
    }
    if (Date.now() < tickAt) continue;
    tickAt = Date.now() + bookmarkMs;
    yield "tick";
  }
  pending.catch(() => undefined); // the watch is being left: its end, however it comes, has nobody to go to
}

function makeTimer(ms: number): { readonly fired: Promise<undefined>; clear(): void } {
  let handle: ReturnType<typeof setTimeout> | undefined;
  const fired = new Promise<undefined>((resolve) => (handle = setTimeout(() => resolve(undefined), ms)));
  return { fired, clear: () => clearTimeout(handle) };
}
