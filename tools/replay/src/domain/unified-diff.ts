/** A unified diff of two texts, line by line. */

/** Above this many pairs of lines the changed middle is shown whole: out and in again. */
const MAX_PAIRS = 4_000_000;
const CONTEXT = 3;

type Line = { readonly mark: " " | "-" | "+"; readonly text: string };

/** Empty if the texts are equal. An absent side is `/dev/null`. */
export function unifiedDiff(name: string, from: string | undefined, to: string | undefined): string {
  const lines = compare(linesOf(from), linesOf(to));
  const hunks = hunksOf(lines);
  if (hunks.length === 0) return "";
  return [`--- ${from === undefined ? "/dev/null" : `a/${name}`}`, `+++ ${to === undefined ? "/dev/null" : `b/${name}`}`, ...hunks]
    .map((line) => `${line}\n`)
    .join("");
}

function linesOf(text: string | undefined): readonly string[] {
  if (text === undefined || text === "") return [];
  return (text.endsWith("\n") ? text.slice(0, -1) : text).split("\n");
}

function compare(a: readonly string[], b: readonly string[]): readonly Line[] {
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail) === b.at(-1 - tail)) tail++;
  const same = (text: string): Line => ({ mark: " ", text });
  return [
    ...a.slice(0, head).map(same),
    ...compareMiddle(a.slice(head, a.length - tail), b.slice(head, b.length - tail)),
    ...a.slice(a.length - tail).map(same),
  ];
}

/** By the longest common subsequence. */
function compareMiddle(a: readonly string[], b: readonly string[]): readonly Line[] {
  const removed = (text: string): Line => ({ mark: "-", text });
  const added = (text: string): Line => ({ mark: "+", text });
  if (a.length * b.length > MAX_PAIRS) return [...a.map(removed), ...b.map(added)];
  const width = b.length + 1;
  const longest = new Uint32Array((a.length + 1) * width);
  const at = (i: number, j: number): number => longest[i * width + j] ?? 0;
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      longest[i * width + j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
  const lines: Line[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push({ mark: " ", text: a[i] ?? "" });
      i++;
      j++;
    } else if (j >= b.length || (i < a.length && at(i + 1, j) >= at(i, j + 1))) lines.push(removed(a[i++] ?? ""));
    else lines.push(added(b[j++] ?? ""));
  }
  return lines;
}

function hunksOf(lines: readonly Line[]): readonly string[] {
  const changed = lines.flatMap(({ mark }, i) => (mark === " " ? [] : [i]));
  const ranges: { from: number; to: number }[] = [];
  for (const i of changed) {
    const last = ranges.at(-1);
    if (last !== undefined && i - last.to <= 2 * CONTEXT) last.to = i;
    else ranges.push({ from: i, to: i });
  }
  return ranges.flatMap((range) => hunk(lines, Math.max(0, range.from - CONTEXT), Math.min(lines.length, range.to + 1 + CONTEXT)));
}

function hunk(lines: readonly Line[], from: number, to: number): readonly string[] {
  const count = (part: readonly Line[], other: "-" | "+") => part.filter(({ mark }) => mark !== other).length;
  const span = (other: "-" | "+") => {
    const size = count(lines.slice(from, to), other);
    const start = count(lines.slice(0, from), other) + (size === 0 ? 0 : 1);
    return size === 1 ? `${start}` : `${start},${size}`;
  };
  return [`@@ -${span("+")} +${span("-")} @@`, ...lines.slice(from, to).map(({ mark, text }) => mark + text)];
}
