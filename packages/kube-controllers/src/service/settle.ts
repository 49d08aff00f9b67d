import type { KubeObject, ResourceType } from "@calico/kube-client";
import type { ResourceInput, ResourceRef } from "@calico/datastore";
import type { ObjectKind, Resource } from "@calico/model";
import type { ControllerPorts } from "../ports.ts";
import type { StoredName } from "./owner-index.ts";

export interface Evidence<F> {
  readonly facts: F | undefined;
  /** The Kubernetes object was seen and is gone. */
  readonly wentAway: boolean;
  readonly nowMs: number;
}

export type Plan<K extends ObjectKind> =
  { readonly do: "update"; readonly object: Resource<K> } | { readonly do: "delete" } | { readonly do: "nothing" };

export interface AttachSpec<K extends ObjectKind, F extends object> {
  readonly name: string;
  readonly resource: ResourceType;
  readonly project: (object: KubeObject) => F;
  readonly kind: K;
  /** The Kubernetes key that a stored object belongs to, from its reference and value. */
  readonly ownerOf: (ref: ResourceRef, value: string) => string | undefined;
  readonly plan: (object: Resource<K>, evidence: Evidence<F>) => Plan<K>;
}

export interface Subject<F> {
  readonly key: string;
  /** The stored objects of this Kubernetes object. */
  readonly names: readonly StoredName[];
  readonly facts: F | undefined;
  readonly wentAway: boolean;
}

/** Read each stored object, decide, write if it is still what was read; a conflict throws, to be tried again. */
export async function settle<K extends ObjectKind, F extends object>(
  spec: AttachSpec<K, F>,
  ports: ControllerPorts,
  { key, names, facts, wentAway }: Subject<F>,
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
    const plan = spec.plan(found.value, { facts, wentAway, nowMs: ports.clock() });
    if (plan.do === "nothing") continue;
    const done =
      plan.do === "delete"
        ? await ports.datastore.delete(ref, (found.value as { metadata: { resourceVersion?: string } }).metadata.resourceVersion)
        : await ports.datastore.update(plan.object as unknown as ResourceInput<K>);
    if (!done.ok) throw new Error(done.error.message);
    ports.metrics.inc("kube_controllers_writes_total", { controller: spec.name, op: plan.do });
    ports.log.debug("written", { controller: spec.name, key, op: plan.do });
  }
}
