/**
 * An attach controller: objects that others make in the datastore are kept in line with the Kubernetes object that they belong to.
 * Both sides are watched, since either may come first.
 */
import type { KubeObject, ResourceType } from "@calico/kube-client";
import { pause } from "@calico/daemon";
import type { ResourceInput, ResourceRef } from "@calico/datastore";
import { type ObjectKind, parseKey, prefixOf, type Resource } from "@calico/model";
import { sameValue } from "../domain/same-content.ts";
import type { Controller, ControllerPorts } from "../ports.ts";
import { follow } from "./follow.ts";
import { makeKeyQueue } from "./key-queue.ts";

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

export function makeAttach<K extends ObjectKind, F extends object>(spec: AttachSpec<K, F>, ports: ControllerPorts): Controller {
  const facts = new Map<string, F>();
  const gone = new Set<string>();
  const index = makeIndex();
  const sides = { kube: false, store: false };
  const inSync = () => sides.kube && sides.store;
  const queue = makeKeyQueue({
    signal: ports.signal,
    handle: (key) => settle(key),
    onFailure(key, error, retry) {
      ports.metrics.inc("kube_controllers_failures_total", { controller: spec.name });
      ports.log.warn("write failed, retrying", { controller: spec.name, key, ...retry, error });
    },
  });

  async function settle(key: string): Promise<void> {
    for (const name of index.namesOf(key)) {
      const ref = { kind: spec.kind, ...name } as ResourceRef<K>;
      const found = await ports.datastore.get(ref);
      if (!found.ok && found.error.kind === "doesNotExist") continue;
      if (!found.ok) {
        ports.metrics.inc("kube_controllers_failures_total", { controller: spec.name });
        ports.log.error("stored object not readable, left alone", { controller: spec.name, key, reason: found.error.message });
        continue;
      }
      const evidence = { facts: facts.get(key), wentAway: gone.has(key), nowMs: ports.clock() };
      await carryOut(ref, found.value, spec.plan(found.value, evidence));
    }
  }

  async function carryOut(ref: ResourceRef<K>, current: Resource<K>, plan: Plan<K>): Promise<void> {
    if (plan.do === "nothing") return;
    const { resourceVersion } = (current as { metadata: { resourceVersion?: string } }).metadata;
    const done =
      plan.do === "delete"
        ? await ports.datastore.delete(ref, resourceVersion)
        : await ports.datastore.update(plan.object as unknown as ResourceInput<K>);
    if (!done.ok) throw new Error(done.error.message);
    ports.metrics.inc("kube_controllers_writes_total", { controller: spec.name, op: plan.do });
    ports.log.debug("written", { controller: spec.name, name: ref.name, op: plan.do });
  }

  function began(side: "kube" | "store"): void {
    const before = inSync();
    sides[side] = true;
    if (!inSync() || before) return;
    for (const key of index.owners()) queue.add(key);
    ports.log.info("in sync", { controller: spec.name, kubernetes: facts.size, stored: index.size });
    ports.metrics.set("kube_controllers_in_sync", 1, { controller: spec.name });
  }

  async function watchKube(): Promise<void> {
    for await (const event of follow(ports, spec.name, spec)) {
      if (event.kind === "inSync") {
        began("kube");
        continue;
      }
      const before = facts.get(event.key);
      if (event.kind === "deleted") {
        facts.delete(event.key);
        gone.add(event.key);
      } else {
        facts.set(event.key, event.object);
        gone.delete(event.key);
        if (before !== undefined && sameValue(before, event.object)) continue;
      }
      if (inSync()) queue.add(event.key);
    }
  }

  async function watchStore(): Promise<void> {
    while (!ports.signal.aborted) {
      try {
        await followStore();
      } catch (error) {
        ports.metrics.inc("kube_controllers_failures_total", { controller: spec.name });
        ports.log.warn("datastore not followed, retrying", { controller: spec.name, error });
        await pause(500, ports.signal);
      }
    }
  }

  /** Returns when the store's history is gone: then all is read again. */
  async function followStore(): Promise<void> {
    const { items, revision } = await ports.store.list(prefixOf(spec.kind));
    index.clear();
    for (const { key, value } of items) note(key, value);
    began("store");
    for await (const change of ports.store.watch(prefixOf(spec.kind), { fromRevision: revision + 1, signal: ports.signal })) {
      if (change.kind === "compacted") return;
      if (change.kind === "put") note(change.key, change.value);
      else if (change.kind === "delete") index.remove(change.key);
    }
  }

  function note(key: string, value: string): void {
    const ref = parseKey(key)?.ref as ResourceRef | undefined;
    const owner = ref === undefined ? undefined : spec.ownerOf(ref, value);
    if (ref === undefined || owner === undefined) return index.remove(key);
    index.put(key, owner, ref);
    if (inSync()) queue.add(owner);
  }

  async function everyPeriod(): Promise<void> {
    while (!ports.signal.aborted) {
      await pause(ports.reconcileMs, ports.signal);
      if (inSync()) for (const key of index.owners()) queue.add(key);
    }
  }

  return {
    name: spec.name,
    status: () => ({ inSync: inSync(), pending: queue.pending, failing: queue.failing }),
    run: async () => void (await Promise.all([watchKube(), watchStore(), queue.run(), everyPeriod()])),
  };
}

interface StoredName {
  readonly namespace?: string | undefined;
  readonly name: string;
}

/** Which stored objects belong to which Kubernetes object. */
function makeIndex() {
  const byKey = new Map<string, { readonly owner: string; readonly ref: StoredName }>();
  const byOwner = new Map<string, Set<string>>();
  const remove = (key: string): void => {
    const owner = byKey.get(key)?.owner;
    if (owner === undefined) return;
    byKey.delete(key);
    const keys = byOwner.get(owner);
    keys?.delete(key);
    if (keys?.size === 0) byOwner.delete(owner);
  };
  return {
    get size() {
      return byKey.size;
    },
    remove,
    put(key: string, owner: string, { namespace, name }: StoredName): void {
      remove(key);
      byKey.set(key, { owner, ref: { ...(namespace === undefined ? {} : { namespace }), name } });
      byOwner.set(owner, (byOwner.get(owner) ?? new Set()).add(key));
    },
    namesOf: (owner: string): readonly StoredName[] => [...(byOwner.get(owner) ?? [])].flatMap((key) => byKey.get(key)?.ref ?? []),
    owners: (): readonly string[] => [...byOwner.keys()],
    clear(): void {
      byKey.clear();
      byOwner.clear();
    },
  };
}
