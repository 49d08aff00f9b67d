/** A URL and its headers → what is asked for. Pure. */
import { badRequest, noSuchPath, notAcceptable } from "./api-error.ts";
import type { IncludeObject } from "./table.ts";
import { type ApiKind, kindFor } from "./kinds.ts";

/** A path below /api or /apis that names a collection or an object. */
export interface Target {
  readonly kind: ApiKind;
  readonly version: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly sub: string | undefined;
}

const segments = (path: string) => path.split("/").filter((s) => s !== "");

/** `undefined` for a path that is not about objects (discovery, health); throws 404 for a resource that is not served. */
export function parseTarget(path: string): Target | undefined {
  const parts = segments(path).map(decode);
  const core = parts[0] === "api";
  if (!core && parts[0] !== "apis") return undefined;
  const group = core ? "" : (parts[1] ?? "");
  const version = parts[core ? 1 : 2];
  const rest = parts.slice(core ? 2 : 3);
  if (version === undefined || rest.length === 0) return undefined;
  const inNamespace = rest[0] === "namespaces" && rest.length >= 3 && kindFor(group, version, rest[2] ?? "")?.namespaced === true;
  const [plural = "", name, sub, ...more] = inNamespace ? rest.slice(2) : rest;
  const kind = kindFor(group, version, plural);
  const outside = kind?.namespaced === true && !inNamespace;
  if (kind === undefined || more.length > 0 || (outside && name !== undefined)) throw noSuchPath();
  return { kind, version, namespace: inNamespace ? rest[1] : undefined, name, sub };
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw badRequest(`the path has a bad escape: "${segment}"`);
  }
}

/** How the answer is to be shaped. */
export type Shape =
  | { readonly as: "object" }
  | { readonly as: "table"; readonly version: string; readonly include: IncludeObject }
  | { readonly as: "metadata"; readonly version: string };

/** The first media range of Accept that can be served. Throws 406 when none can. */
export function parseShape(accept: string | undefined, includeObject: string | null): Shape {
  const include: IncludeObject = includeObject === "None" || includeObject === "Object" ? includeObject : "Metadata";
  for (const range of (accept ?? "*/*").split(",")) {
    const [type = "", ...params] = range.split(";").map((s) => s.trim());
    const wanted = new Map(params.map((p) => [p.slice(0, p.indexOf("=")), p.slice(p.indexOf("=") + 1)]));
    if (!["application/json", "application/*", "*/*"].includes(type)) continue;
    const as = wanted.get("as");
    const version = wanted.get("v") ?? "v1";
    if (as === "Table" && wanted.get("g") === "meta.k8s.io") return { as: "table", version, include };
    if (as === "PartialObjectMetadata" || as === "PartialObjectMetadataList") return { as: "metadata", version };
    if (as === undefined) return { as: "object" };
  }
  throw notAcceptable();
}

/** A whole number from the query, `undefined` if absent, 400 if it is something else. */
export function parseCount(query: URLSearchParams, key: string): number | undefined {
  const text = query.get(key);
  if (text === null || text === "") return undefined;
  if (!/^\d+$/.test(text)) throw badRequest(`query parameter ${key}: "${text}" is not a whole number`);
  return Number(text);
}

export const isTrue = (text: string | null): boolean => text === "true" || text === "1" || text === "";
