/** Resource files' contents, already read as JSON values, to validated objects. */
import { API_VERSION, err, formatFieldErrors, formatRef, kindInfo, ok, validateResource } from "@calico/model";
import { CliError } from "./cli-error.ts";
import { isApiKind } from "./kind-table.ts";
import { formatProblems } from "./problem.ts";
import type { AnyApiObject, ApiKind, Result } from "@calico/model";

export type Document = { readonly file: string; readonly json: unknown };
type JsonObject = Readonly<Record<string, unknown>>;

/** Arrays and lists taken apart, in order. */
export function flatten({ file, json }: Document): readonly Document[] {
  if (json === null || json === undefined) return [];
  if (Array.isArray(json)) return json.flatMap((item: unknown) => flatten({ file, json: item }));
  const { kind, items } = (typeof json === "object" ? json : {}) as JsonObject;
  const isList = typeof kind === "string" && kind.endsWith("List") && Array.isArray(items);
  return isList ? (items as unknown[]).flatMap((item) => flatten({ file, json: item })) : [{ file, json }];
}

/** The objects of a file, in namespace `namespace` or `default` where they name none. Throws a CliError that shows every problem. */
export function parseObjects(documents: readonly Document[], namespace: string | undefined): AnyApiObject[] {
  const parsed = documents.flatMap(flatten).map((document) => parseObject(document, namespace));
  const problems = parsed.flatMap((result) => (result.ok ? [] : [result.error]));
  if (problems.length > 0) throw new CliError(`failed to execute command: ${problems.join("\n")}`);
  return parsed.flatMap((result) => (result.ok ? [result.value] : []));
}

function parseObject({ file, json }: Document, namespace: string | undefined): Result<AnyApiObject, string> {
  if (typeof json !== "object" || json === null)
    return err(`${file}: expected an object with kind and apiVersion, got ${JSON.stringify(json)}`);
  const { kind, apiVersion, metadata } = json as JsonObject;
  if (!isApiKind(kind) || apiVersion !== API_VERSION)
    return err(`${file}: unknown resource type (${String(kind)}) and/or version (${String(apiVersion)})`);
  const placed = placeIn(kind, (typeof metadata === "object" ? metadata : undefined) as JsonObject | undefined, namespace);
  if (!placed.ok) return err(`${file}: ${placed.error}`);
  const valid = validateResource(kind, { ...json, metadata: placed.value });
  if (valid.ok) return ok(valid.value as AnyApiObject);
  const { name, namespace: ns } = placed.value as { readonly name?: unknown; readonly namespace?: string };
  const object = formatRef({ kind, name: String(name ?? ""), ...(ns === undefined ? {} : { namespace: ns }) });
  return err(formatProblems({ file, object }, valid.error));
}

function placeIn(kind: ApiKind, metadata: JsonObject | undefined, namespace: string | undefined): Result<JsonObject, string> {
  if (metadata === undefined || !kindInfo(kind).namespaced) return ok(metadata ?? {});
  const own = typeof metadata["namespace"] === "string" && metadata["namespace"] !== "" ? metadata["namespace"] : undefined;
  if (own !== undefined && namespace !== undefined && own !== namespace)
    return err(`resource namespace does not match client namespace. ${own} != ${namespace}`);
  return ok({ ...metadata, namespace: own ?? namespace ?? "default" });
}

/** An object that a patch or a label made of another. */
export function revalidate(json: unknown, kind: ApiKind): AnyApiObject {
  const valid = validateResource(kind, json, { strict: false });
  if (!valid.ok) throw new CliError(formatFieldErrors(valid.error));
  return valid.value as AnyApiObject;
}
