import { KubeConnectionError, KubeError, statusDetail } from "../domain/kube-error.ts";
import { apiVersionOf, type KubeObject, type ObjectPlace, resourcePath, type ResourceType } from "../domain/resource-type.ts";
import type { HttpRequest, Transport } from "../ports.ts";

export interface ListOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Objects per page; all pages are read. Default 500. */
  readonly limit?: number;
  readonly resourceVersion?: string;
  readonly signal?: AbortSignal;
}

export interface KubeList {
  readonly items: readonly KubeObject[];
  readonly resourceVersion: string;
}

export interface WatchOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly resourceVersion: string;
  readonly timeoutSeconds?: number;
  readonly idleMs?: number;
  readonly signal: AbortSignal;
}

export interface WatchEvent {
  readonly kind: "added" | "modified" | "deleted" | "bookmark";
  readonly object: KubeObject;
}

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly propagationPolicy?: "Orphan" | "Background" | "Foreground";
}

export type PatchType = "json" | "merge" | "strategic";

const PATCH_TYPES: Readonly<Record<PatchType, string>> = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
};

/** The Kubernetes API. Errors that the server answered are `KubeError`, connections that failed `KubeConnectionError`. */
export interface KubeClient {
  get(type: ResourceType, place: ObjectPlace, options?: { readonly signal?: AbortSignal | undefined }): Promise<KubeObject>;
  /** All pages, in one list. */
  list(type: ResourceType, options?: ListOptions): Promise<KubeList>;
  create(type: ResourceType, object: KubeObject, options?: { readonly subresource?: string }): Promise<KubeObject>;
  update(type: ResourceType, object: KubeObject, options?: { readonly subresource?: string }): Promise<KubeObject>;
  patch(type: ResourceType, place: ObjectPlace, patch: { readonly type: PatchType; readonly body: unknown }): Promise<KubeObject>;
  delete(type: ResourceType, place: ObjectPlace, options?: DeleteOptions): Promise<void>;
  /** Every object of one namespace. */
  deleteAll(type: ResourceType, namespace: string): Promise<void>;
  /** Ends when the server's time is over. Throws `KubeError` 410 when the version is too old, and on a broken connection. */
  watch(type: ResourceType, options: WatchOptions): AsyncIterable<WatchEvent>;
  /** Any path; for discovery and health. */
  raw(request: HttpRequest): Promise<{ readonly status: number; readonly body: string }>;
  close(): void;
}

export function makeClient(transport: Transport): KubeClient {
  const json = async (what: string, request: HttpRequest): Promise<unknown> => {
    const { status, body } = await transport.request(request);
    if (status < 200 || status > 299) throw new KubeError(what, statusDetail(status, body));
    return parseBody(what, body);
  };
  const object = async (what: string, request: HttpRequest) => asObject(what, await json(what, request));
  const placeOf = (type: ResourceType, o: KubeObject, subresource?: string): ObjectPlace => ({
    name: o.metadata.name,
    ...(type.namespaced ? { namespace: o.metadata.namespace ?? "default" } : {}),
    ...(subresource === undefined ? {} : { subresource }),
  });
  const bodyOf = (type: ResourceType, o: KubeObject) => JSON.stringify({ apiVersion: apiVersionOf(type), kind: type.kind, ...o });
  return {
    get: (type, place, { signal } = {}) => object(say("get", type, place), { method: "GET", path: resourcePath(type, place), signal }),
    list: (type, options = {}) => listAll(type, options, json),
    create(type, o, { subresource } = {}) {
      const place = placeOf(type, o, subresource);
      const path = subresource === undefined ? resourcePath(type, { namespace: place.namespace }) : resourcePath(type, place);
      return object(say("create", type, place), { method: "POST", path, body: bodyOf(type, o) });
    },
    update(type, o, { subresource } = {}) {
      const place = placeOf(type, o, subresource);
      return object(say("update", type, place), { method: "PUT", path: resourcePath(type, place), body: bodyOf(type, o) });
    },
    patch: (type, place, patch) =>
      object(say("patch", type, place), {
        method: "PATCH",
        path: resourcePath(type, place),
        body: JSON.stringify(patch.body),
        contentType: PATCH_TYPES[patch.type],
      }),
    async delete(type, place, options) {
      const body = options === undefined ? {} : { body: JSON.stringify({ kind: "DeleteOptions", apiVersion: "v1", ...options }) };
      await json(say("delete", type, place), { method: "DELETE", path: resourcePath(type, place), ...body });
    },
    async deleteAll(type, namespace) {
      const place = { namespace };
      await json(say("delete all", type, place), { method: "DELETE", path: resourcePath(type, place) });
    },
    watch: (type, options) => watchOnce(transport, type, options),
    raw: (request) => transport.request(request),
    close: () => transport.close(),
  };
}

async function listAll(
  type: ResourceType,
  options: ListOptions,
  json: (what: string, request: HttpRequest) => Promise<unknown>,
): Promise<KubeList> {
  const what = say("list", type, { namespace: options.namespace });
  const items: KubeObject[] = [];
  let token: string | undefined;
  for (;;) {
    const path = `${resourcePath(type, { namespace: options.namespace })}${query({
      limit: String(options.limit ?? 500),
      continue: token,
      labelSelector: options.labelSelector,
      fieldSelector: options.fieldSelector,
      resourceVersion: token === undefined ? options.resourceVersion : undefined,
    })}`;
    const page = pageOf(what, await json(what, { method: "GET", path, signal: options.signal }));
    items.push(...page.items);
    if (page.next === undefined) return { items, resourceVersion: page.resourceVersion };
    token = page.next;
  }
}

function pageOf(what: string, value: unknown): { items: KubeObject[]; resourceVersion: string; next: string | undefined } {
  const page = value as { items?: unknown; metadata?: { resourceVersion?: unknown; continue?: unknown } } | null;
  if (page?.metadata === undefined || !(Array.isArray(page.items) || page.items === null || page.items === undefined))
    throw new Error(`Cannot ${what}: the answer is not a Kubernetes list`);
  const next = page.metadata.continue;
  return {
    items: (page.items ?? []) as KubeObject[],
    resourceVersion: String(page.metadata.resourceVersion ?? ""),
    next: typeof next === "string" && next !== "" ? next : undefined,
  };
}

async function* watchOnce(transport: Transport, type: ResourceType, options: WatchOptions): AsyncGenerator<WatchEvent> {
  const what = say("watch", type, { namespace: options.namespace });
  const path = `${resourcePath(type, { namespace: options.namespace })}${query({
    watch: "1",
    allowWatchBookmarks: "true",
    resourceVersion: options.resourceVersion,
    timeoutSeconds: String(options.timeoutSeconds ?? 300),
    labelSelector: options.labelSelector,
    fieldSelector: options.fieldSelector,
  })}`;
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  try {
    const { status, lines } = await transport.stream({ method: "GET", path, signal, idleMs: options.idleMs ?? 90_000 });
    if (status !== 200) throw new KubeError(what, statusDetail(status, await textOf(lines)));
    for await (const line of lines) if (line !== "") yield parseEvent(what, line);
  } catch (e) {
    throw e instanceof KubeError || e instanceof KubeConnectionError ? e : new KubeConnectionError(what, e);
  } finally {
    stop.abort();
  }
}

const KINDS: Readonly<Record<string, WatchEvent["kind"]>> = {
  ADDED: "added",
  MODIFIED: "modified",
  DELETED: "deleted",
  BOOKMARK: "bookmark",
};

function parseEvent(what: string, line: string): WatchEvent {
  const event = parseBody(what, line) as { type?: string; object?: unknown };
  const kind = KINDS[event.type ?? ""];
  if (kind !== undefined) return { kind, object: asObject(what, event.object) };
  if (event.type !== "ERROR") throw new Error(`Cannot ${what}: unknown event type ${JSON.stringify(event.type)}`);
  const code = (event.object as { code?: unknown } | undefined)?.code;
  throw new KubeError(what, statusDetail(typeof code === "number" ? code : 500, JSON.stringify(event.object)));
}

async function textOf(lines: AsyncIterable<string>): Promise<string> {
  let text = "";
  for await (const line of lines) text += `${line}\n`;
  return text;
}

function parseBody(what: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`Cannot ${what}: the answer is not JSON: ${text.slice(0, 100)}`, { cause });
  }
}

function asObject(what: string, value: unknown): KubeObject {
  const object = value as KubeObject | null;
  if (typeof object !== "object" || object === null) throw new Error(`Cannot ${what}: the answer is not an object`);
  return object;
}

function say(verb: string, type: ResourceType, place: ObjectPlace): string {
  const where = [place.namespace, place.name].filter((s) => s !== undefined).join("/");
  return `${verb} ${type.plural}${where === "" ? "" : ` ${where}`}${place.subresource === undefined ? "" : ` (${place.subresource})`}`;
}

function query(parameters: Readonly<Record<string, string | undefined>>): string {
  const present = Object.entries(parameters).filter((e): e is [string, string] => e[1] !== undefined && e[1] !== "");
  return present.length === 0 ? "" : `?${new URLSearchParams(present).toString()}`;
}
