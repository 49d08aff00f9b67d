import { isWorthSaying, type KubeClient, type KubeObject, reflect, type ResourceType } from "@calico/kube-client";
import type { Logger } from "@calico/daemon";

export interface LoopPorts {
  readonly kube: KubeClient;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export type Changed = (key: string, now: KubeObject | undefined, before: KubeObject | undefined) => void;

/** All objects of one resource, kept up to date. Listeners hear of each change, and once of everything when the first list is complete. */
export interface Informer {
  readonly objects: ReadonlyMap<string, KubeObject>;
  readonly inSync: boolean;
  listen(listener: Changed): void;
  /** Resolves with the first complete list. */
  readonly ready: Promise<void>;
  run(): Promise<void>;
}

export function makeInformer(ports: LoopPorts, resource: ResourceType): Informer {
  const objects = new Map<string, KubeObject>();
  const listeners: Changed[] = [];
  let inSync = false;
  const { promise: ready, resolve } = Promise.withResolvers<void>();
  return {
    objects,
    ready,
    get inSync() {
      return inSync;
    },
    listen: (listener) => void listeners.push(listener),
    async run() {
      const onError = (error: unknown, failures: number) => {
        const reason = error instanceof Error ? error.message : String(error);
        if (isWorthSaying(failures))
          ports.log.warn("kubernetes api not followed, retrying", { resource: resource.plural, failures, reason });
      };
      for await (const event of reflect(ports.kube, resource, { signal: ports.signal, project: withoutManagedFields, onError })) {
        if (event.kind === "inSync") {
          inSync = true;
          resolve();
          continue;
        }
        const before = objects.get(event.key);
        const now = event.kind === "deleted" ? undefined : event.object;
        if (now === undefined) objects.delete(event.key);
        else objects.set(event.key, now);
        for (const listener of listeners) listener(event.key, now, before);
      }
    },
  };
}

function withoutManagedFields(object: KubeObject): KubeObject {
  const { managedFields: _fields, ...metadata } = object.metadata;
  return { ...object, metadata };
}
