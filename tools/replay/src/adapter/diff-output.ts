/** Differences of two states, printed. */
import { formatRef } from "@calico/model";
import { diffFields, type FieldChange, formatChanges, formatPaths } from "../domain/field-diff.ts";
import { diffStates, type State } from "../domain/fold.ts";
import { type LogRecord, valueOf } from "../domain/history.ts";
import { unifiedDiff } from "../domain/unified-diff.ts";
import { colorDiff, printData, printTable, printYaml } from "./output.ts";

export type Change = {
  readonly change: "added" | "removed" | "changed";
  readonly object: string;
  readonly key: string;
  readonly revision: number;
  readonly from?: unknown;
  readonly to?: unknown;
  readonly fields: readonly FieldChange[];
};

/** By key. What differs only in the datastore's bookkeeping is left out. */
export function describeDiff(from: State, to: State, wants: (record: LogRecord) => boolean): readonly Change[] {
  const { added, removed, changed } = diffStates(from, to, wants);
  const changes = [
    ...added.map((record): Change => ({ ...about("added", record), to: valueOf(record), fields: [] })),
    ...removed.map((record): Change => ({ ...about("removed", record), from: valueOf(record), fields: [] })),
    ...changed.map(({ from: a, to: b }): Change => {
      const [was, is] = [valueOf(a), valueOf(b)];
      return { ...about("changed", b), from: was, to: is, fields: diffFields(was, is) };
    }),
  ];
  return changes
    .filter(({ change, fields }) => change !== "changed" || fields.length > 0)
    .toSorted((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key)));
}

function about(change: Change["change"], record: LogRecord) {
  return { change, object: formatRef(record.ref.ref), key: record.key, revision: record.revision };
}

export type DiffFormat = "table" | "wide" | "diff" | "json" | "yaml";

export function printDiff(changes: readonly Change[], format: DiffFormat, color: boolean): string {
  if (format === "table" || format === "wide") {
    const paths = (fields: readonly FieldChange[]) => (format === "wide" ? formatChanges(fields) : formatPaths(fields, 8));
    return printTable(
      ["CHANGE", "OBJECT", "REVISION", "FIELDS"],
      changes.map((c) => [c.change, c.object, String(c.revision), paths(c.fields)]),
      color,
    );
  }
  if (format === "diff") {
    const yaml = (value: unknown) => (value === undefined ? undefined : printYaml(value));
    const text = changes.map((c) => unifiedDiff(c.object, yaml(c.from), yaml(c.to))).join("");
    return color ? colorDiff(text) : text;
  }
  return printData(
    changes.map(({ change, object, revision, fields }) => ({ change, object, revision, fields })),
    format,
  );
}
