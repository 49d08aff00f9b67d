/** `get`'s result in the format asked for. */
import { API_VERSION, kindInfo } from "@calico/model";
import { cellOf, headingsOf } from "./columns.ts";
import { CliError } from "./cli-error.ts";
import { KIND_TABLE } from "./kind-table.ts";
import { renderColumns } from "./table.ts";
import type { AnyApiObject, ApiKind } from "@calico/model";
import type { ColumnContext } from "./columns.ts";

export type Format = { readonly as: "ps" | "wide" | "yaml" | "json" } | { readonly as: "columns"; readonly headings: readonly string[] };

/** What `-o` says; absent is `ps`. */
export function parseFormat(text: string | undefined): Format {
  if (text === undefined || text === "ps") return { as: "ps" };
  if (text === "wide" || text === "yaml" || text === "json") return { as: text };
  if (text.startsWith("custom-columns="))
    return {
      as: "columns",
      headings: text
        .slice("custom-columns=".length)
        .split(",")
        .map((name) => name.trim().toUpperCase()),
    };
  throw new CliError(`unrecognized output format '${text}': expected ps, wide, yaml, json or custom-columns=HEADING,…`);
}

export type TableOptions = {
  readonly kind: ApiKind;
  readonly format: Format;
  readonly allNamespaces: boolean;
  readonly context: ColumnContext;
};

/** Headings and one row per object. */
export function renderTable(objects: readonly AnyApiObject[], { kind, format, allNamespaces, context }: TableOptions): string {
  const own = format.as === "columns" ? checkedHeadings(kind, format.headings) : KIND_TABLE[kind][format.as === "wide" ? "wide" : "ps"];
  const headings = allNamespaces && !own.includes("NAMESPACE") ? ["NAMESPACE", ...own] : own;
  return renderColumns([headings, ...objects.map((object) => headings.map((heading) => cellOf(object, heading, context)))]);
}

function checkedHeadings(kind: ApiKind, headings: readonly string[]): readonly string[] {
  const valid = headingsOf(kind);
  const bad = headings.find((heading) => !valid.includes(heading));
  if (bad !== undefined) throw new CliError(`unknown heading ${bad}, valid values are: ${valid.join(", ")}`);
  return headings;
}

/** All objects of a kind as one list object. */
export function listObject(kind: ApiKind, items: readonly AnyApiObject[], resourceVersion: string): object {
  return { kind: kindInfo(kind).listKind, apiVersion: API_VERSION, metadata: { resourceVersion }, items };
}

/** An object without what the datastore gave it, to be created elsewhere. */
export function exported(object: AnyApiObject): AnyApiObject {
  const { name, namespace, labels, annotations } = object.metadata;
  const metadata = Object.fromEntries(Object.entries({ name, namespace, labels, annotations }).filter(([, value]) => value !== undefined));
  return { ...object, metadata } as unknown as AnyApiObject;
}
