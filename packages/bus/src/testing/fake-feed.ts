import { keyOf, type ObjectKind, parseKey } from "@calico/model";
import type { FeedEvent } from "../domain/feed-state.ts";
import { makeBatches } from "../service/batches.ts";
import type { Feed, FeedStatus } from "../service/feed.ts";

/** A feed that says what the test tells it to. */
export interface FakeFeed extends Feed {
  push(...events: readonly FeedEvent[]): void;
  end(): void;
}

export function makeFakeFeed(): FakeFeed {
  const batches = makeBatches<FeedEvent>(1000);
  let status: FeedStatus = {
    connected: true,
    inSync: false,
    revision: 0,
    source: "nats",
    behindRevisions: 0,
    lagMs: 0,
    heartbeatAgeMs: 0,
    badMessages: 0,
  };
  return {
    push(...events) {
      for (const event of events)
        status = { ...status, inSync: status.inSync || event.kind === "inSync", revision: Math.max(status.revision, event.revision) };
      batches.push(events);
    },
    end: () => batches.end(),
    status: () => status,
    [Symbol.asyncIterator]: () => batches[Symbol.asyncIterator](),
  };
}

interface AnyObject {
  readonly kind: ObjectKind;
  readonly metadata: { readonly name: string; readonly namespace?: string | undefined };
}

function keyOfObject({ kind, metadata: { name, namespace } }: AnyObject): string {
  return keyOf({ kind, name, ...(namespace === undefined ? {} : { namespace }) });
}

/** The event of a v3 object that was written. */
export function updated(object: AnyObject, revision: number): FeedEvent {
  return updatedKey(keyOfObject(object), object, revision);
}

/** As updated, by key; for IPAM blocks and affinities. */
export function updatedKey(key: string, value: unknown, revision: number): FeedEvent {
  return { kind: "updated", key, ref: refOf(key), value, revision };
}

export function deleted(object: AnyObject, revision: number): FeedEvent {
  return deletedKey(keyOfObject(object), revision);
}

export function deletedKey(key: string, revision: number): FeedEvent {
  return { kind: "deleted", key, ref: refOf(key), revision };
}

export function inSync(revision: number): FeedEvent {
  return { kind: "inSync", revision };
}

function refOf(key: string) {
  const ref = parseKey(key);
  if (ref === undefined) throw new Error(`Cannot make an event of ${key}: the key names no object`);
  return ref;
}
