/** Columns aligned by blanks, as Go's tabwriter does with minimum width 5 and padding 3. Source: calico calicoctl/commands (resource printers). */

const MIN_WIDTH = 5;
const PADDING = 3;

/** One line per row, and an empty line after. */
export function renderColumns(rows: readonly (readonly string[])[]): string {
  const count = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: count }, (_, i) => Math.max(MIN_WIDTH, ...rows.map((row) => [...(row[i] ?? "")].length + PADDING)));
  return `${rows.map((row) => `${row.map((cell, i) => cell + " ".repeat((widths[i] ?? 0) - [...cell].length)).join("")}\n`).join("")}\n`;
}
