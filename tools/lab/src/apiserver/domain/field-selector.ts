import { badRequest } from "./api-error.ts";
import { type ApiObject, textAt } from "./api-object.ts";
import type { ApiKind } from "./kinds.ts";

export interface FieldTerm {
  readonly path: string;
  readonly equal: boolean;
  readonly value: string;
}

/** `metadata.name=x,status.phase!=Failed`. Throws 400 for a field that this kind cannot be selected by. */
export function parseFieldSelector(kind: ApiKind, text: string): readonly FieldTerm[] {
  return text
    .split(",")
    .filter((part) => part.trim() !== "")
    .map((part) => {
      const m = /^\s*([\w.]+)\s*(!=|==?)\s*(.*?)\s*$/.exec(part);
      if (m === null) throw badRequest(`invalid field selector "${text}": cannot understand "${part}"`);
      const [, path = "", op, value = ""] = m;
      if (!["metadata.name", "metadata.namespace", ...kind.fields].includes(path)) throw badRequest(`field label not supported: ${path}`);
      return { path, equal: op !== "!=", value };
    });
}

/** An absent field reads as "" or, for a boolean, as false. */
export function matchesFields(terms: readonly FieldTerm[], object: ApiObject): boolean {
  return terms.every(({ path, equal, value }) => {
    const found = textAt(object, path) || (value === "false" ? "false" : "");
    return (found === value) === equal;
  });
}
