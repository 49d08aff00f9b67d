import type { KubeObject, ResourceType } from "@calico/kube-client";
import type { ResourceInput, ResourceRef } from "@calico/datastore";
import type { ObjectKind, Resource } from "@calico/model";
import type { ControllerPorts } from "../ports.ts";
import type { StoredName } from "./owner-index.ts";

export interface AttachSpec<K extends ObjectKind, F extends object> {
  readonly name: string;
  readonly resource: ResourceType;
  readonly project: (object: KubeObject) => F;
  readonly kind: K;
  /** The Kubernetes key that a stored object belongs to, from its reference and value. */
  readonly ownerOf: (ref: ResourceRef, value: string) => string | undefined;
  /** The object as it is to be, given what the API server holds; `undefined` where nothing is to be written. */
  readonly plan: (object: Resource<K>, facts: F | undefined) => Resource<K> | undefined;
}

export interface Subject<F> {
  readonly key: string;
  /** The stored objects of this Kubernetes object. */
  readonly names: readonly StoredName[];
  readonly facts: F | undefined;
}

/** Read each stored object, decide, write if it is still what was read; a conflict throws, to be tried again. */
export async function settle<K extends ObjectKind, F extends object>(
  spec: AttachSpec<K, F>,
  ports: ControllerPorts,
  { key, names, facts }: Subject<F>,
): Promise<void> {
  for (const name of names) {
    const ref = { kind: spec.kind, ...name } as ResourceRef<K>;
    const found = await ports.datastore.get(ref);
    if (!found.ok && found.error.kind === "doesNotExist") continue;
    if (!found.ok) {
      ports.metrics.inc("kube_controllers_failures_total", { controller: spec.name });
      ports.log.error("stored object not readable, left alone", { controller: spec.name, key, reason: found.error.message });
      continue;
    }
    const object = spec.plan(found.value, facts);
    if (object === undefined) continue;
    const done = await ports.datastore.update(object as unknown as ResourceInput<K>);
    if (!done.ok) throw new Error(done.error.message);
    ports.metrics.inc("kube_controllers_writes_total", { controller: spec.name, op: "update" });
    ports.log.debug("written", { controller: spec.name, key, op: "update" });
  }
}
