/** What a person or a program sees. Results on standard output, everything else on standard error. */
import process from "node:process";
import Table from "cli-table3";
import { stringify } from "yaml";

export type Format = "json" | "yaml";

export interface Output {
  result(text: string): Promise<void>;
  note(text: string): void;
  readonly progress: (done: number, total: number) => void;
  readonly color: boolean;
}

export function makeOutput(): Output {
  let shown = false;
  const isTerminal = process.stderr.isTTY === true;
  const clear = () => {
    if (shown) process.stderr.write("\r\u001b[K");
    shown = false;
  };
  return {
    color: process.stdout.isTTY === true && process.env["NO_COLOR"] === undefined,
    async result(text) {
      clear();
      if (text !== "" && !process.stdout.write(text)) await new Promise<void>((resolve) => process.stdout.once("drain", () => resolve()));
    },
    note(text) {
      clear();
      process.stderr.write(`calico-replay: ${text}\n`);
    },
    progress(done, total) {
      if (!isTerminal) return;
      process.stderr.write(`\r\u001b[K${done} of ${total} changes read`);
      shown = true;
    },
  };
}

export function printData(value: unknown, format: Format): string {
  return format === "json" ? `${JSON.stringify(value, undefined, 2)}\n` : printYaml(value);
}

/** No anchors, no folding: the same value gives the same text, and every line can be compared. */
export function printYaml(value: unknown): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
}

const NO_BORDERS = Object.fromEntries(
  [
    "top",
    "top-mid",
    "top-left",
    "top-right",
    "bottom",
    "bottom-mid",
    "bottom-left",
    "bottom-right",
    "left",
    "left-mid",
    "mid",
    "mid-mid",
    "right",
    "right-mid",
  ].map((part) => [part, ""]),
);

export function printTable(head: readonly string[], rows: readonly (readonly string[])[], color: boolean): string {
  const style = { "padding-left": 0, "padding-right": 0, head: color ? ["bold"] : [], border: [] };
  const table = new Table({ head: [...head], chars: { ...NO_BORDERS, middle: "  " }, style });
  for (const row of rows) table.push([...row]);
  return `${table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n")}\n`;
}

const RED = "\u001b[31m";
const GREEN = "\u001b[32m";
const PLAIN = "\u001b[0m";

/** A unified diff for a terminal. */
export function colorDiff(text: string): string {
  return text.replace(/^([-+]).*$/gm, (line, mark: string) => `${mark === "-" ? RED : GREEN}${line}${PLAIN}`);
}
