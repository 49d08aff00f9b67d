/**
 * A mirror controller: each Kubernetes object of a kind becomes one object of the datastore. Desired state from the reflector, compared
 * with what the datastore holds; only differences are written, only names that are ours are touched, nothing is deleted before the list
 * is complete.
 *
 * Source: facts §7.1.6.
 */
import { type KeyQueue, type KubeObject, makeKeyQueue, type ResourceType } from "@calico/kube-client";
import type { DatastoreError, ResourceRef } from "@calico/datastore";
import { API_VERSION, type ObjectKind, parseResource } from "@calico/model";
import type { Converted } from "../domain/converted.ts";
import { sameContent } from "../domain/same-content.ts";
import type { Controller, ControllerPorts } from "../ports.ts";
import { follow } from "./follow.ts";
import { makeIllList } from "./ill-list.ts";
import { everyPeriod, untilDone } from "./keep-going.ts";

export interface MirrorSpec<K extends ObjectKind, F> {
  readonly name: string;
  readonly resource: ResourceType;
  readonly project: (object: KubeObject) => F;
  readonly convert: (facts: F) => Converted<K>;
  readonly kind: K;
  /** The Kubernetes key (`namespace/name`) of an object of the datastore; `undefined` if it is not ours. */
  readonly keyOf: (ref: { readonly namespace?: string | undefined; readonly name: string }) => string | undefined;
  readonly refOf: (key: string) => ResourceRef<K>;
}

/** More problems than this in a health answer help nobody; the log has them all. */
const SHOWN = 20;

export function makeMirror<K extends ObjectKind, F>(spec: MirrorSpec<K, F>, ports: ControllerPorts): Controller {
  const wanted = new Map<string, Converted<K>>();
  const ill = makeIllList(spec.name, ports.metrics);
  let inSync = false;
  const queue: KeyQueue = makeKeyQueue({
    signal: ports.signal,
    handle: async (key) => ill.set("refused", key, await write(spec, ports, key, wanted.get(key))),
    onFailure(key, error, retry) {
      ports.metrics.inc("kube_controllers_failures_total", { controller: spec.name });
      ports.log.warn("write failed, retrying", { controller: spec.name, key, ...retry, error });
    },
  });

  /** Gives whether anything changed for the datastore. */
  function learn(key: string, facts: F): boolean {
    const next = spec.convert(facts);
    report(spec.name, ports, key, next);
    ill.set("converted", key, next.kind === "unwanted" || next.problems.length === 0 ? undefined : next.problems.join("; "));
    const before = wanted.get(key);
    wanted.set(key, next);
    return before === undefined || before.kind !== next.kind || !sameWanted(before, next);
  }

  async function watchKube(): Promise<void> {
    for await (const event of follow(ports, spec.name, spec)) {
      if (event.kind === "inSync") {
        if (!inSync) await untilDone(ports, spec.name, reconcile);
        continue;
      }
      if (event.kind === "deleted") ill.set("converted", event.key, undefined);
      const changed = event.kind === "deleted" ? wanted.delete(event.key) : learn(event.key, event.object);
      if (changed && inSync) queue.add(event.key);
    }
  }

  async function reconcile(): Promise<void> {
    const stored = await ports.datastore.list(spec.kind);
    const seen = new Map<string, object>();
    for (const object of stored.items) {
      const key = spec.keyOf(object.metadata);
      if (key !== undefined) seen.set(key, object);
    }
    for (const [key, converted] of wanted) if (differs(converted, seen.get(key))) queue.add(key);
    for (const key of seen.keys()) if (!wanted.has(key)) queue.add(key);
    if (!inSync) ports.log.info("in sync", { controller: spec.name, wanted: wanted.size, stored: seen.size });
    inSync = true;
    ports.metrics.set("kube_controllers_in_sync", 1, { controller: spec.name });
  }

  return {
    name: spec.name,
    status: () => ({ inSync, pending: queue.pending, failing: queue.failing + ill.size, problems: ill.first(SHOWN) }),
    run: async () =>
      void (await Promise.all([
        watchKube(),
        queue.run(),
        everyPeriod(ports, () => (inSync ? untilDone(ports, spec.name, reconcile) : undefined)),
      ])),
  };
}

function report<K extends ObjectKind>(name: string, ports: ControllerPorts, key: string, converted: Converted<K>): void {
  if (converted.kind === "unwanted" || converted.problems.length === 0) return;
  ports.metrics.inc("kube_controllers_conversion_problems_total", { controller: name }, converted.problems.length);
  const whole = converted.kind === "refused";
  ports.log.warn(whole ? "object not converted" : "parts of an object not converted", {
    controller: name,
    key,
    problems: converted.problems,
  });
}

function sameWanted<K extends ObjectKind>(a: Converted<K>, b: Converted<K>): boolean {
  return a.kind === "wanted" && b.kind === "wanted" ? sameContent(a.object, b.object) : a.kind === b.kind;
}

function differs<K extends ObjectKind>(converted: Converted<K>, stored: object | undefined): boolean {
  if (converted.kind === "refused") return false;
  if (converted.kind === "unwanted") return stored !== undefined;
  if (stored === undefined) return true;
  const parsed = parseResource(converted.object.kind, { apiVersion: API_VERSION, ...converted.object });
  return !parsed.ok || !sameContent(parsed.value as object, stored);
}

/** Why the datastore refuses it for good; undefined when it is as wanted. */
async function write<K extends ObjectKind, F>(
  spec: MirrorSpec<K, F>,
  ports: ControllerPorts,
  key: string,
  converted: Converted<K> | undefined,
): Promise<string | undefined> {
  if (converted?.kind === "refused") return undefined;
  const remove = converted === undefined || converted.kind === "unwanted";
  const done = remove ? await ports.datastore.delete(spec.refOf(key)) : await ports.datastore.apply(converted.object);
  if (done.ok) {
    ports.metrics.inc("kube_controllers_writes_total", { controller: spec.name, op: remove ? "delete" : "apply" });
    ports.log.debug("written", { controller: spec.name, key, op: remove ? "delete" : "apply" });
    return undefined;
  }
  return remove && done.error.kind === "doesNotExist" ? undefined : giveUpOrRetry(spec.name, ports, key, done.error);
}

/** A conflict passes; what the datastore refuses for its content does not, until the object or the next full comparison changes it. */
function giveUpOrRetry(name: string, ports: ControllerPorts, key: string, error: DatastoreError): string {
  if (error.kind === "updateConflict" || error.kind === "alreadyExists" || error.kind === "doesNotExist") throw new Error(error.message);
  ports.metrics.inc("kube_controllers_failures_total", { controller: name });
  ports.log.error("object refused by the datastore, dropped until it changes", { controller: name, key, reason: error.message });
  return error.message;
}
