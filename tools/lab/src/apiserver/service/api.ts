/** A request → an answer. Everything of HTTP but the sockets. */
import { ApiError, badRequest, methodNotAllowed, noSuchPath, notImplemented, success, unsupportedMedia } from "../domain/api-error.ts";
import { type ApiObject, at, type Json, textAt } from "../domain/api-object.ts";
import { apiVersions, groupDocument, groupList, resourceList, VERSION } from "../domain/discovery.ts";
import { jsonPatch, mergePatch } from "../domain/json-patch.ts";
import { POD_SUBRESOURCES_REFUSED } from "../domain/kinds.ts";
import { isTrue, parseCount, parseShape, parseTarget, type Shape, type Target } from "../domain/request.ts";
import { strategicPatch } from "../domain/strategic-patch.ts";
import type { ServerPorts } from "../ports.ts";
import { render, renderEvent } from "./answers.ts";
import { listPage, parseSelection } from "./lists.ts";
import type { DeleteRequest, Place, Registry } from "./registry.ts";
import { bind, finalize } from "./subresources.ts";
import { watchObjects } from "./watch.ts";

export interface ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly accept: string | undefined;
  readonly contentType: string | undefined;
  readonly body: string;
  readonly signal: AbortSignal;
}

export type ApiAnswer =
  | { readonly kind: "json"; readonly code: number; readonly body: unknown }
  | { readonly kind: "raw"; readonly code: number; readonly type: string; readonly body: string }
  /** One JSON document per item; the connection stays open. */
  | { readonly kind: "stream"; readonly events: AsyncIterable<unknown> };

const json = (body: unknown, code = 200): ApiAnswer => ({ kind: "json", code, body });
const JSON_TYPES = ["application/json"];
const PATCHES: Readonly<Record<string, (target: Json, patch: Json) => Json>> = {
  "application/json-patch+json": jsonPatch,
  "application/merge-patch+json": mergePatch,
  "application/strategic-merge-patch+json": strategicPatch,
};

/** Answered without a token. `/livez` too asks etcd: the process has no other life than its store. */
export const HEALTH_PATHS: readonly string[] = ["/healthz", "/livez", "/readyz"];

export interface ApiOptions {
  readonly address: string;
  readonly bookmarkMs?: number;
}

export function makeApi(ports: ServerPorts, registry: Registry, options: ApiOptions): (request: ApiRequest) => Promise<ApiAnswer> {
  return async (request) => {
    const target = parseTarget(request.path);
    if (target === undefined && HEALTH_PATHS.includes(request.path)) return health(ports);
    if (target === undefined) return document(request, options.address);
    return target.name === undefined ? collection(target, request) : one({ ...target, name: target.name }, request);
  };

  async function collection(target: Target, request: ApiRequest): Promise<ApiAnswer> {
    const { kind, version, namespace } = target;
    const selection = parseSelection(kind, request.query);
    const shape = parseShape(request.accept, request.query.get("includeObject"));
    if (request.method === "GET" && request.query.has("watch") && isTrue(request.query.get("watch")))
      return { kind: "stream", events: openWatch({ ports, registry, options }, target, request, { ...selection, shape }) };
    const many = { kind, namespace, matches: selection.matches };
    if (request.method === "GET") {
      const page = await listPage(ports.store, {
        ...many,
        limit: parseCount(request.query, "limit"),
        token: request.query.get("continue") || undefined,
      });
      return json(render({ kind, version, shape, nowMs: ports.clock().getTime() }, page));
    }
    if (request.method === "DELETE") {
      const { items } = await listPage(ports.store, { ...many, limit: undefined, token: undefined });
      const asked = deleteRequest(request);
      for (const o of items)
        await registry.remove({ kind, namespace: o.metadata.namespace, name: o.metadata.name }, asked).catch(ignoreGone);
      return json(success({ ...(kind.group === "" ? {} : { group: kind.group }), kind: kind.plural }));
    }
    if (request.method !== "POST" || (kind.namespaced && namespace === undefined)) throw methodNotAllowed();
    refuseDryRun(request);
    const created = await registry.create(kind, namespace, parseBody(request));
    return json(shaped(target, shape, created), 201);
  }

  async function one(target: Target & { readonly name: string }, request: ApiRequest): Promise<ApiAnswer> {
    const { kind, namespace, name, sub } = target;
    const place: Place = { kind, namespace, name };
    const shape = parseShape(request.accept, request.query.get("includeObject"));
    if (kind.kind === "Pod" && sub === "binding" && request.method === "POST")
      return json(await bind(registry, place, { body: parseBody(request), now: ports.clock() }), 201);
    if (kind.kind === "Pod" && sub !== undefined && POD_SUBRESOURCES_REFUSED.includes(sub)) throw notImplemented(`pods/${sub}`);
    if (sub !== undefined && !kind.subresources.includes(sub)) throw noSuchPath();
    if (kind.kind === "Namespace" && sub === "finalize" && request.method === "PUT")
      return json(shaped(target, shape, await finalize(registry, place, parseBody(request))));
    const part = sub === "status" ? "status" : undefined;
    switch (request.method) {
      case "GET":
        return json(shaped(target, shape, await registry.get(place)));
      case "PUT": {
        refuseDryRun(request);
        const body = parseBody(request);
        return json(shaped(target, shape, await registry.update(place, part, () => body)));
      }
      case "PATCH": {
        refuseDryRun(request);
        const apply = patchOf(request);
        return json(shaped(target, shape, await registry.update(place, part, (current) => apply(current as unknown as Json))));
      }
      case "DELETE": {
        if (sub !== undefined) throw methodNotAllowed();
        refuseDryRun(request);
        const done = await registry.remove(place, deleteRequest(request));
        return json(done.kind === "Status" ? done : shaped(target, { as: "object" }, done as ApiObject));
      }
      default:
        throw methodNotAllowed();
    }
  }

  function shaped(target: Target, shape: Shape, object: ApiObject): unknown {
    return render({ kind: target.kind, version: target.version, shape, nowMs: ports.clock().getTime() }, object);
  }
}

function openWatch(
  { ports, registry, options }: { readonly ports: ServerPorts; readonly registry: Registry; readonly options: ApiOptions },
  target: Target,
  request: ApiRequest,
  how: { readonly matches: (o: ApiObject) => boolean; readonly all: boolean; readonly shape: Shape },
) {
  const version = request.query.get("resourceVersion") ?? "";
  if (!/^\d*$/.test(version)) throw badRequest(`resourceVersion: Invalid value: "${version}"`);
  const events = watchObjects(ports.store, registry.storage, {
    ...target,
    ...how,
    resourceVersion: version,
    bookmarks: isTrue(request.query.get("allowWatchBookmarks") ?? "false"),
    timeoutSec: parseCount(request.query, "timeoutSeconds") || 3600,
    signal: request.signal,
    ...(options.bookmarkMs === undefined ? {} : { bookmarkMs: options.bookmarkMs }),
  });
  return renderEvent({ kind: target.kind, version: target.version, shape: how.shape, nowMs: () => ports.clock().getTime() }, events);
}

/** Healthy is who can read etcd: without it no request can be answered. Throws StoreUnavailable, which is answered with 503. */
async function health({ store }: ServerPorts): Promise<ApiAnswer> {
  await store.get("/registry/health");
  return { kind: "raw", code: 200, type: "text/plain", body: "ok" };
}

function document(request: ApiRequest, address: string): ApiAnswer {
  if (request.method !== "GET" && request.method !== "HEAD") throw methodNotAllowed();
  const path = request.path.replace(/\/+$/, "");
  if (path === "/version") return json(VERSION);
  if (path === "/api") return json(apiVersions(address));
  if (path === "/apis") return json(groupList());
  // An empty protobuf message is a valid document without schemas: kubectl then skips its own validation.
  if (path === "/openapi/v2")
    return { kind: "raw", code: 200, type: "application/com.github.proto-openapi.spec.v2.v1.0+protobuf", body: "" };
  const [root, first = "", second = "", ...more] = path.split("/").slice(1);
  const found =
    root === "api" && second === ""
      ? resourceList("", first)
      : root === "apis" && more.length === 0
        ? second === ""
          ? groupDocument(first)
          : resourceList(first, second)
        : undefined;
  if (found === undefined) throw noSuchPath();
  return json(found);
}

function parseBody(request: ApiRequest): unknown {
  const type = (request.contentType ?? "application/json").split(";")[0]?.trim() ?? "";
  if (!JSON_TYPES.includes(type)) throw unsupportedMedia(type, JSON_TYPES);
  return parseJson(request.body);
}

function parseJson(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (e) {
    throw badRequest(`the object provided is unrecognized (must be of type JSON): ${e instanceof Error ? e.message : String(e)}`);
  }
}

function patchOf(request: ApiRequest): (target: Json) => Json {
  const type = (request.contentType ?? "").split(";")[0]?.trim() ?? "";
  const apply = PATCHES[type];
  if (apply === undefined && type.startsWith("application/apply-patch"))
    throw unsupportedMedia(`${type} (server-side apply is not supported; use kubectl apply without --server-side)`, Object.keys(PATCHES));
  if (apply === undefined) throw unsupportedMedia(type, Object.keys(PATCHES));
  const patch = parseJson(request.body);
  return (target) => apply(target, patch);
}

function deleteRequest(request: ApiRequest): DeleteRequest {
  const body = request.body.trim() === "" ? {} : parseBody(request);
  const grace = at(body, "gracePeriodSeconds");
  return {
    graceSec: typeof grace === "number" ? grace : parseCount(request.query, "gracePeriodSeconds"),
    uid: textAt(body, "preconditions.uid") || undefined,
    resourceVersion: textAt(body, "preconditions.resourceVersion") || undefined,
  };
}

/** Answering a dry run by really writing would be the worst of answers. */
function refuseDryRun(request: ApiRequest): void {
  if (request.query.has("dryRun")) throw badRequest("dryRun is not supported by the lab's API server; use --dry-run=client");
}

function ignoreGone(error: unknown): void {
  if (!(error instanceof ApiError && error.status.code === 404)) throw error;
}
