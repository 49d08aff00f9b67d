/**
 * A resource's objects as a stream that never ends by itself: a list, then what changes, across restarts of the API server.
 *
 * Deletes that were missed are made up from the comparison of the new list with what was told before. State, not history: whoever
 * applies each event holds exactly what the API server holds.
 *
 * Source: Kubernetes API concepts, "Efficient detection of changes".
 */
import { needsRelist } from "../domain/kube-error.ts";
import type { KubeObject, ResourceType } from "../domain/resource-type.ts";
import type { KubeClient, KubeList } from "./client.ts";

export type ReflectorEvent<T> =
  | { readonly kind: "added" | "modified" | "deleted"; readonly key: string; readonly object: T }
  /** Everything that the last list held was told; sent after each list. */
  | { readonly kind: "inSync"; readonly resourceVersion: string };

export interface ReflectorOptions<T> {
  readonly signal: AbortSignal;
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** What to keep of an object. The rest is dropped at once, so that memory holds only what is used. */
  readonly project: (object: KubeObject) => T;
  /** A failure that is being retried: the server is away, or the version was too old. */
  readonly onError?: (error: unknown, failures: number, delayMs: number) => void;
  readonly timeoutSeconds?: number;
  readonly idleMs?: number;
  readonly pageSize?: number;
  readonly random?: () => number;
}

const FIRST_DELAY_MS = 50;
const MAX_DELAY_MS = 2000;

/** `namespace/name`, or `name` of what has no namespace. */
export function keyOfObject(object: KubeObject): string {
  const { namespace, name } = object.metadata;
  return namespace === undefined || namespace === "" ? name : `${namespace}/${name}`;
}

/** Follow one resource until the signal fires. */
export async function* reflect<T>(
  client: Pick<KubeClient, "list" | "watch">,
  type: ResourceType,
  options: ReflectorOptions<T>,
): AsyncGenerator<ReflectorEvent<T>> {
  const known = new Map<string, Known<T>>();
  let position: string | undefined;
  let failures = 0;
  while (!options.signal.aborted) {
    try {
      if (position === undefined) {
        const list = await client.list(type, selection(options));
        yield* difference(known, list, options.project);
        yield { kind: "inSync", resourceVersion: list.resourceVersion };
        position = list.resourceVersion;
      }
      for await (const { kind, object } of client.watch(type, watchOptions(options, position))) {
        failures = 0;
        position = object.metadata.resourceVersion ?? position;
        if (kind !== "bookmark") yield learn(known, kind, object, options.project);
      }
      failures++; // a watch that ends without an event, at once, again and again, must not spin
    } catch (error) {
      if (options.signal.aborted) return;
      if (needsRelist(error)) position = undefined;
      failures++;
      const delayMs = backOff(failures, options.random ?? Math.random);
      options.onError?.(error, failures, delayMs);
      await pause(delayMs, options.signal);
      continue;
    }
    if (failures > 1) await pause(backOff(failures, options.random ?? Math.random), options.signal);
  }
}

interface Known<T> {
  readonly version: string;
  readonly object: T;
}

function learn<T>(known: Map<string, Known<T>>, kind: "added" | "modified" | "deleted", raw: KubeObject, project: (o: KubeObject) => T) {
  const key = keyOfObject(raw);
  const object = project(raw);
  if (kind === "deleted") {
    known.delete(key);
    return { kind, key, object } as const;
  }
  const seen = known.has(key);
  known.set(key, { version: raw.metadata.resourceVersion ?? "", object });
  return { kind: seen ? "modified" : "added", key, object } as const;
}

function* difference<T>(known: Map<string, Known<T>>, list: KubeList, project: (o: KubeObject) => T): Generator<ReflectorEvent<T>> {
  const listed = new Set(list.items.map(keyOfObject));
  for (const [key, { object }] of known) {
    if (listed.has(key)) continue;
    known.delete(key);
    yield { kind: "deleted", key, object };
  }
  for (const raw of list.items) {
    const version = raw.metadata.resourceVersion ?? "";
    if (version === "" || known.get(keyOfObject(raw))?.version !== version) yield learn(known, "added", raw, project);
  }
}

function selection<T>(o: ReflectorOptions<T>) {
  return { namespace: o.namespace, labelSelector: o.labelSelector, fieldSelector: o.fieldSelector, limit: o.pageSize, signal: o.signal };
}

function watchOptions<T>(o: ReflectorOptions<T>, resourceVersion: string) {
  const { namespace, labelSelector, fieldSelector, timeoutSeconds, idleMs, signal } = o;
  return { namespace, labelSelector, fieldSelector, timeoutSeconds, idleMs, signal, resourceVersion };
}

function backOff(failures: number, random: () => number): number {
  return Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(failures - 1, 10)) * (0.5 + random() / 2);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}
