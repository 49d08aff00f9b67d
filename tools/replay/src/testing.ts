/** Histories for tests, written as words. */
import { keyOf } from "@calico/model";
import { type History, makeHistoryBuilder, type RawMessage } from "./domain/history.ts";

/** Second `n` of the test's time. */
export const at = (n: number): number => Date.UTC(2026, 0, 1) + n * 1000;

/**
 * Words in the log's order, sequence by place: `?` a fence, `ok5` complete at revision 5, `a3=x` put of IP pool `a` at
 * revision 3 with the value {"n":"x"}, `-a3` its delete, `.` a message that is no longer kept. One second each.
 */
export function aHistory(words: string, maxPerSubject = 64): History {
  const builder = makeHistoryBuilder({ maxPerSubject });
  words.split(" ").forEach((word, i) => {
    const message = messageOf(word, i + 1);
    if (message !== undefined) builder.add(message);
  });
  return builder.finish();
}

function messageOf(word: string, seq: number): RawMessage | undefined {
  const atMs = at(seq);
  if (word === ".") return undefined;
  if (word === "?") return { kind: "fence", seq, atMs };
  if (word.startsWith("ok")) return { kind: "complete", seq, atMs, revision: Number(word.slice(2)) };
  const [, minus, name = "", revision, value] = /^(-?)([a-z]+)(\d+)(?:=(\w+))?$/.exec(word) ?? [];
  const key = keyOf({ kind: "IPPool", name });
  const data = minus === "-" ? "" : JSON.stringify({ kind: "IPPool", metadata: { name }, n: value ?? revision });
  return { kind: "change", seq, atMs, key, op: minus === "-" ? "delete" : "put", revision: Number(revision), data };
}
