/**
 * An attach controller: objects that others make in the datastore are kept in line with the Kubernetes object that they belong to.
 * Both sides are watched, since either may come first.
 */
import { makeKeyQueue } from "@calico/kube-client";
import type { ResourceRef } from "@calico/datastore";
import { type ObjectKind, parseKey, prefixOf } from "@calico/model";
import { sameValue } from "../domain/same-content.ts";
import type { Controller, ControllerPorts } from "../ports.ts";
import { follow } from "./follow.ts";
import { everyPeriod, untilDone } from "./keep-going.ts";
import { makeOwnerIndex } from "./owner-index.ts";
import { type AttachSpec, settle } from "./settle.ts";

export function makeAttach<K extends ObjectKind, F extends object>(spec: AttachSpec<K, F>, ports: ControllerPorts): Controller {
  const facts = new Map<string, F>();
  const gone = new Set<string>();
  const index = makeOwnerIndex();
  const sides = { kube: false, store: false };
  const inSync = () => sides.kube && sides.store;
  const queue = makeKeyQueue({
    signal: ports.signal,
    handle: (key) => settle(spec, ports, { key, names: index.namesOf(key), facts: facts.get(key), wentAway: gone.has(key) }),
    onFailure(key, error, retry) {
      ports.metrics.inc("kube_controllers_failures_total", { controller: spec.name });
      ports.log.warn("write failed, retrying", { controller: spec.name, key, ...retry, error });
    },
  });

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
        if (index.namesOf(event.key).length > 0) gone.add(event.key);
      } else {
        facts.set(event.key, event.object);
        gone.delete(event.key);
        if (before !== undefined && sameValue(before, event.object)) continue;
      }
      if (inSync()) queue.add(event.key);
    }
  }

  async function watchStore(): Promise<void> {
    while (!ports.signal.aborted) await untilDone(ports, spec.name, followStore);
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
      else if (change.kind === "delete") forget(change.key);
    }
  }

  function forget(key: string): void {
    const owner = index.remove(key);
    if (owner !== undefined && index.namesOf(owner).length === 0) gone.delete(owner);
  }

  function note(key: string, value: string): void {
    const ref = parseKey(key)?.ref as ResourceRef | undefined;
    const owner = ref === undefined ? undefined : spec.ownerOf(ref, value);
    if (ref === undefined || owner === undefined) return forget(key);
    index.put(key, owner, ref);
    if (inSync()) queue.add(owner);
  }

  function compareAll(): void {
    if (inSync()) for (const key of index.owners()) queue.add(key);
  }

  return {
    name: spec.name,
    status: () => ({ inSync: inSync(), pending: queue.pending, failing: queue.failing }),
    run: async () => void (await Promise.all([watchKube(), watchStore(), queue.run(), everyPeriod(ports, compareAll)])),
  };
}
