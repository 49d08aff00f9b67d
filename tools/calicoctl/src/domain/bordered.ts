/** A table with a border of `+`, `-` and `|`, as Calico prints status and address usage. */
import Table from "cli-table3";

const FRAME = { mid: "-", left: "|", middle: "|", right: "|" };
const LINES = ["top", "bottom", "mid"].flatMap((edge) => [
  [edge === "mid" ? "mid" : edge, "-"],
  [`${edge}-mid`, "+"],
  [`${edge}-left`, "+"],
  [`${edge}-right`, "+"],
]);
const CHARS = {
  ...Object.fromEntries(LINES),
  "left-mid": "+",
  "mid-mid": "+",
  "right-mid": "+",
  left: FRAME.left,
  middle: FRAME.middle,
  right: FRAME.right,
};

export type Align = "left" | "right";

/** Headings in capitals in the middle of their columns, rows below, and no newline at the end. */
export function renderBordered(headings: readonly string[], rows: readonly (readonly string[])[], align: readonly Align[] = []): string {
  const table = new Table({
    head: headings.map((text) => ({ content: text, hAlign: "center" })) as unknown as string[],
    colAligns: headings.map((_, i) => align[i] ?? "left"),
    chars: CHARS,
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows) table.push([...row]);
  return table.toString();
}
