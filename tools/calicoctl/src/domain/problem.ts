/** Validation errors as a person wants to read them: file, object, field, and for a selector a caret below the place. */
import type { FieldError } from "@calico/model";

export type Source = { readonly file: string; readonly object: string };

/** `FILE: Kind(ns/name): error with field F = 'v' (reason)`; below a selector, the text and a caret. */
export function formatProblems(source: Source, errors: readonly FieldError[]): string {
  return errors.map((error) => formatProblem(source, error)).join("\n");
}

function formatProblem({ file, object }: Source, { field, value, reason, at }: FieldError): string {
  const text = typeof value === "object" ? JSON.stringify(value) : String(value ?? "");
  const head = `${file}: ${object}: error with field ${field} = '${text}' (${reason}${at === undefined ? "" : ` at offset ${at}`})`;
  return at === undefined ? head : `${head}\n${caret(text, at)}`;
}

/** The selector on one line (a tab or newline takes one column), the caret on the next. */
function caret(text: string, at: number): string {
  const line = text.replace(/\s/g, " ");
  return `    ${line}\n    ${" ".repeat([...line.slice(0, at)].length)}^`;
}
