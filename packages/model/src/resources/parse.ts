/** JSON to a typed object, with defaults; or the fields that are wrong, each with its path, value and reason. */
import { err, ok } from "../result.ts";
import { checkSpec } from "../validate/spec.ts";
import { SCHEMAS } from "./schemas.ts";
import type { z } from "zod";
import type { Kind } from "../kinds.ts";
import type { Result } from "../result.ts";
import type { FieldError } from "./base.ts";
import type { Resource } from "./schemas.ts";

/** An object of `kind`. A null field is an absent one, as in Go's JSON. */
export function parseResource<K extends Kind>(kind: K, json: unknown): Result<Resource<K>, readonly FieldError[]> {
  if (isDeeper(json, MAX_DEPTH))
    return err([{ field: "object", value: undefined, reason: `is nested more than ${MAX_DEPTH} levels deep` }]);
  const schema: z.ZodType = SCHEMAS[kind]();
  const input = kind === "IPAMBlock" ? json : json === "" ? {} : hasNull(json) ? withoutNulls(json) : json;
  const parsed = schema.safeParse(input, { reportInput: true });
  if (!parsed.success) return err(parsed.error.issues.flatMap((issue) => fieldErrors(issue, input)));
  const object = parsed.data as Resource<K>;
  const errors = checkSpec(kind, object);
  return errors.length > 0 ? err(errors) : ok(object);
}

/** Far above any object's; what is deeper would exhaust the stack of whoever walks through it. */
const MAX_DEPTH = 100;

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (levels === 0) return true;
  if (Array.isArray(value)) return value.some((item) => isDeeper(item, levels - 1));
  for (const key in value) if (isDeeper((value as Record<string, unknown>)[key], levels - 1)) return true;
  return false;
}

/** Most objects have none; looking costs less than copying. */
function hasNull(value: unknown): boolean {
  if (typeof value !== "object") return false;
  if (value === null) return true;
  if (Array.isArray(value)) return value.some(hasNull);
  for (const key in value) if (hasNull((value as Record<string, unknown>)[key])) return true;
  return false;
}

function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).flatMap(([key, field]) => (field === null ? [] : [[key, withoutNulls(field)]])));
}

function fieldErrors(issue: z.core.$ZodIssue, input: unknown): FieldError[] {
  const field = formatPath(issue.path);
  const value = valueAt(input, issue.path);
  const at = issue.code === "custom" ? (issue.params as { at?: unknown } | undefined)?.at : undefined;
  return [{ field, value, reason: reasonOf(issue, value), ...(typeof at === "number" ? { at } : {}) }];
}

function reasonOf(issue: z.core.$ZodIssue, value: unknown): string {
  if (value === undefined && issue.code !== "custom") return "field is required";
  return issue.message;
}

/** `spec.ingress[0].action`; a key that is no identifier in brackets and quotes. */
export function formatPath(path: readonly PropertyKey[]): string {
  let out = "";
  for (const part of path) {
    if (typeof part === "number") out += `[${part}]`;
    else if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(String(part))) out += out === "" ? String(part) : `.${String(part)}`;
    else out += `[${JSON.stringify(String(part))}]`;
  }
  return out;
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  let value = input;
  for (const part of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[part];
  }
  return value;
}

/** One error as calico writes it: `error with field spec.cidr = '10.0.0.1/8' (reason)`. */
export function formatFieldErrors(errors: readonly FieldError[]): string {
  const lines = errors.map(
    ({ field, value, reason }) =>
      `error with field ${field} = '${typeof value === "object" ? JSON.stringify(value) : String(value ?? "")}' (${reason})`,
  );
  return lines.length === 1
    ? (lines[0] ?? "")
    : ["error with the following fields:", ...lines.map((line) => `-  ${line.slice("error with field ".length)}`)].join("\n");
}
