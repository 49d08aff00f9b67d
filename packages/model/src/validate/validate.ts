/** The gate for objects that a person or a controller writes: shape, values, cross-field rules, metadata. */
import { err } from "../result.ts";
import { parseResource } from "../resources/parse.ts";
import { checkFelixFields } from "./felix-fields.ts";
import { checkMetadata } from "./metadata.ts";
import { unknownFields } from "./unknown-fields.ts";
import type { Result } from "../result.ts";
import type { FieldError } from "../resources/base.ts";
import type { ApiKind, Metadata, ObjectKind, Resource } from "../resources/schemas.ts";

/** A new or changed object, with defaults, if it may be stored. `strict` (default) also refuses fields that the kind does not have. */
export function validateResource<K extends ApiKind>(
  kind: K,
  json: unknown,
  options: { readonly strict?: boolean } = {},
): Result<Resource<K>, readonly FieldError[]> {
  const unknown = options.strict === false ? [] : unknownFields(kind, json);
  const parsed = parseResource(kind, json);
  if (!parsed.ok) return err([...unknown, ...parsed.error]);
  const errors = [...unknown, ...checkWritten(kind, parsed.value as Written)];
  return errors.length > 0 ? err(errors) : parsed;
}

type Written = { readonly metadata: Metadata; readonly spec?: unknown };

/** What is held against an object that is written, and not against one that is read. */
export function checkWritten(kind: ObjectKind, { metadata, spec }: Written): FieldError[] {
  const fields = kind === "FelixConfiguration" ? checkFelixFields(spec as Readonly<Record<string, unknown>>) : [];
  return [...checkMetadata(kind, metadata), ...fields];
}
