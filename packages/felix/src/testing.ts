/** Builders for tests: objects as the bus brings them. */
import { keyOf } from "@calico/model";
import type { AnyObject, Kind, ObjectRef } from "@calico/model";
import type { FeedEvent } from "./domain/feed-event.ts";

let revision = 0;

/** The change that brings an object. */
export function updated(object: AnyObject): FeedEvent {
  const ref = refOf(object);
  return { kind: "updated", key: keyOf(ref), ref: { ref }, value: object, revision: ++revision };
}

/** The change that takes it away. */
export function deleted(object: AnyObject): FeedEvent {
  const ref = refOf(object);
  return { kind: "deleted", key: keyOf(ref), ref: { ref }, revision: ++revision };
}

export function refOf(object: AnyObject): ObjectRef {
  const { name, namespace } = object.metadata;
  return { kind: object.kind as Kind, name, ...(namespace === undefined ? {} : { namespace }) };
}
