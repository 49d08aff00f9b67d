/**
 * An attach controller: objects that others make in the datastore are kept in line with the Kubernetes object that they belong to.
 * Both sides are watched, since either may come first.
 */
import { makeKeyQueue } from "@calico/kube-client";
import type { KeyValue, ResourceRef } from "@calico/datastore";
import { type ObjectKind, parseKey, prefixOf } from "@calico/model";
import { sameValue } from "../domain/same-content.ts";
import type { Controller, ControllerPorts } from "../ports.ts";
import { follow } from "./follow.ts";
import { followStore } from "./follow-store.ts";
import { everyPeriod } from "./keep-going.ts";
import { makeOwnerIndex } from "./owner-index.ts";
import { type AttachSpec, settle } from "./settle.ts";

export function makeAttach<K extends ObjectKind, F extends object>(spec: AttachSpec<K, F>, ports: ControllerPorts): Controller {
  const facts = new Map<string, F>();
  const index = makeOwnerIndex();
  const sides = { kube: false, store: false };
  const inSync = () => sides.kube && sides.store;
  const queue = makeKeyQueue({
    signal: ports.signal,
    handle: (key) => settle(spec, ports, { key, names: index.namesOf(key), facts: facts.get(key) }),
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
      if (event.kind === "deleted") facts.delete(event.key);
      else {
        facts.set(event.key, event.object);
        if (before !== undefined && sameValue(before, event.object)) continue;
      }
      if (inSync()) queue.add(event.key);
    }
  }

  function note(key: string, record: KeyValue | undefined): void {
    const ref = parseKey(key)?.ref as ResourceRef | undefined;
    const owner = ref === undefined || record === undefined ? undefined : spec.ownerOf(ref, record.value);
    if (ref === undefined || owner === undefined) return index.remove(key);
    index.put(key, owner, ref);
    if (inSync()) queue.add(owner);
  }

  function compareAll(): void {
    if (inSync()) for (const key of index.owners()) queue.add(key);
  }

  return {
    name: spec.name,
    status: () => ({ inSync: inSync(), pending: queue.pending, failing: queue.failing }),
    run: async () =>
      void (await Promise.all([
        watchKube(),
        followStore(ports, spec.name, { prefix: prefixOf(spec.kind), onRecord: note, onListed: () => began("store") }),
        queue.run(),
        everyPeriod(ports, compareAll),
      ])),
  };
}
