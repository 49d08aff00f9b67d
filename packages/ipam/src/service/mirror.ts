/**
 * A copy of a few key prefixes in memory, fed by watches: reads below them cost nothing once they are in sync. What is
 * written through the mirror shows in it at once. Reads may be behind other writers; whoever writes compares revisions.
 */
import { pause } from "@calico/daemon";
import type { Logger } from "@calico/daemon";
import type { KeyValue, Store } from "@calico/datastore";

export interface Mirror extends Pick<Store, "get" | "list" | "txn"> {
  /** True while every prefix is served from memory. */
  inSync(): boolean;
}

type Entry = { readonly kv: KeyValue | undefined; readonly revision: number };
type Part = {
  readonly prefix: string;
  readonly entries: Map<string, Entry>;
  /** Lists as they were asked for: the same array until something below the prefix changes, so that others may rest on it. */
  readonly lists: Map<string, KeyValue[]>;
  revision: number | undefined;
};

/** How long to wait before listing again after a watch ended. */
const RELIST_MS = 500;

export type MirrorOptions = {
  readonly prefixes: readonly string[];
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** Called after the content below a prefix changed, and once when it is first known. */
  readonly onChange?: (prefix: string) => void;
};

export function openMirror(store: Pick<Store, "get" | "list" | "txn" | "watch">, options: MirrorOptions): Mirror {
  const parts = options.prefixes.map((prefix): Part => ({ prefix, entries: new Map(), lists: new Map(), revision: undefined }));
  for (const part of parts) void follow(store, part, options);
  const partOf = (key: string) => parts.find((p) => key.startsWith(p.prefix) && p.revision !== undefined);
  return {
    inSync: () => parts.every((p) => p.revision !== undefined),
    async get(key) {
      const part = partOf(key);
      return part === undefined ? await store.get(key) : part.entries.get(key)?.kv;
    },
    async list(prefix, o) {
      const part = o?.revision === undefined ? partOf(prefix) : undefined;
      return part?.revision === undefined ? await store.list(prefix, o) : { items: listed(part, prefix), revision: part.revision };
    },
    async txn(txn) {
      const done = await store.txn(txn);
      const ops = done.succeeded ? txn.success : (txn.failure ?? []);
      ops.forEach((op, i) => {
        const part = partOf(op.key);
        if (part !== undefined) take(part, op.key, { kv: op.do === "delete" ? undefined : done.results[i], revision: done.revision });
      });
      return done;
    },
  };
}

function listed(part: Part, prefix: string): KeyValue[] {
  const known = part.lists.get(prefix);
  if (known !== undefined) return known;
  const kvs = [...part.entries.values()].flatMap(({ kv }) => (kv?.key.startsWith(prefix) ? [kv] : []));
  kvs.sort((a, b) => (a.key < b.key ? -1 : 1));
  part.lists.set(prefix, kvs);
  return kvs;
}

/** Newer wins; an event that is older than what was written through the mirror is passed over. */
function take(part: Part, key: string, entry: Entry): boolean {
  const known = part.entries.get(key);
  if (known !== undefined && known.revision >= entry.revision) return false;
  part.entries.set(key, entry);
  part.lists.clear();
  return known?.kv?.value !== entry.kv?.value;
}

async function follow(store: Pick<Store, "list" | "watch">, part: Part, options: MirrorOptions): Promise<void> {
  while (!options.signal.aborted) {
    try {
      await load(store, part);
      options.onChange?.(part.prefix);
      await watchPart(store, part, options);
    } catch (error) {
      if (!options.signal.aborted) options.log.warn("mirror lost its watch", { prefix: part.prefix, error: String(error) });
    }
    part.revision = undefined;
    await pause(RELIST_MS, options.signal);
  }
}

async function load(store: Pick<Store, "list">, part: Part): Promise<void> {
  const { items, revision } = await store.list(part.prefix);
  part.entries.clear();
  part.lists.clear();
  for (const kv of items) part.entries.set(kv.key, { kv, revision: kv.modRevision });
  part.revision = revision;
}

async function watchPart(store: Pick<Store, "watch">, part: Part, options: MirrorOptions): Promise<void> {
  const fromRevision = (part.revision ?? 0) + 1;
  for await (const event of store.watch(part.prefix, { fromRevision, signal: options.signal })) {
    if (event.kind === "compacted") return;
    if (event.kind === "progress") continue;
    const { key, modRevision } = event;
    const kv = event.kind === "put" ? { key, value: event.value, modRevision, createRevision: event.createRevision } : undefined;
    if (take(part, key, { kv, revision: modRevision })) options.onChange?.(part.prefix);
    part.revision = Math.max(part.revision ?? 0, modRevision);
  }
}
