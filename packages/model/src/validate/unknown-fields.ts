/** Fields that a kind does not have. Schemas keep such fields; only a person's input is held to the known ones. */
import { SCHEMAS } from "../resources/schemas.ts";
import { formatPath } from "../resources/parse.ts";
import { isFelixField } from "./felix-fields.ts";
import type { z } from "zod";
import type { Kind } from "../kinds.ts";
import type { FieldError } from "../resources/base.ts";

/** One error `unknown field "x"` for each field of `json` that the kind's schema does not name. */
export function unknownFields(kind: Kind, json: unknown): FieldError[] {
  const found: FieldError[] = [];
  visit(SCHEMAS[kind](), json, [], (path, value) => {
    if (kind === "FelixConfiguration" && path[0] === "spec" && isFelixField(String(path[1]))) return;
    found.push({ field: formatPath(path), value, reason: `unknown field "${formatPath(path)}"` });
  });
  return found;
}

type Report = (path: readonly PropertyKey[], value: unknown) => void;
/** The parts of zod's schema definitions that hold other schemas. */
type Definition = {
  readonly type: string;
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly element?: z.ZodType;
  readonly innerType?: z.ZodType;
  readonly in?: z.ZodType;
};

function visit(schema: z.ZodType, json: unknown, path: readonly PropertyKey[], report: Report): void {
  const def = schema.def as unknown as Definition;
  const inner = def.innerType ?? (def.type === "pipe" ? def.in : undefined);
  if (inner !== undefined) return visit(inner, json, path, report);
  if (def.element !== undefined && Array.isArray(json))
    return json.forEach((item, i) => visit(def.element as z.ZodType, item, [...path, i], report));
  if (def.shape === undefined || typeof json !== "object" || json === null || Array.isArray(json)) return;
  for (const [key, value] of Object.entries(json)) {
    const field = Object.hasOwn(def.shape, key) ? def.shape[key] : undefined;
    if (field === undefined) report([...path, key], value);
    else visit(field, value, [...path, key], report);
  }
}
