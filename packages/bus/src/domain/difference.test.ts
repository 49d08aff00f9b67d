import { expect, test } from "vitest";
import type { LogEntry, Publication } from "../ports.ts";
import { difference } from "./difference.ts";

/** `a3` is a put of key a at revision 3, `-a3` its tombstone. */
function entry(text: string, i: number): LogEntry {
  const [, minus, key, revision] = /^(-?)([a-z])(\d+)$/.exec(text)!;
  return { key: key!, subject: key!, op: minus === "-" ? "delete" : "put", revision: Number(revision), seq: i + 1, atMs: 0 };
}
function put(text: string): Publication {
  const { key, subject, revision } = entry(text, 0);
  return { key, subject, op: "put", revision, data: "{}", seenAt: 1 };
}
const words = (text: string) => text.split(" ").filter((w) => w !== "");

test.for([
  { name: "an empty log gets everything, by revision", log: "", store: "b2 a5 c3", at: 9, want: "b2 c3 a5" },
  { name: "equal is nothing", log: "a2 b3", store: "a2 b3", at: 9, want: "" },
  { name: "newer ones are published", log: "a2 b3", store: "a2 b7", at: 9, want: "b7" },
  { name: "vanished ones get a tombstone at the store's revision, after all puts", log: "a2 b3", store: "b9", at: 9, want: "b9 -a9" },
  { name: "a tombstone stays as it is", log: "-a2", store: "", at: 9, want: "" },
  { name: "a key that came again after its tombstone", log: "-a2", store: "a4", at: 9, want: "a4" },
  { name: "keys of one transaction are ordered by name", log: "", store: "c4 a4 b4", at: 4, want: "a4 b4 c4" },
  { name: "a refused value leaves what is there", log: "a2", store: "", refused: "a", at: 9, want: "" },
  { name: "a log ahead of the store", log: "a12", store: "a3", at: 9, want: "rebuild a" },
  { name: "a tombstone ahead of the store", log: "-z12", store: "a3", at: 9, want: "rebuild z" },
  { name: "a key that the store has older", log: "a5", store: "a3", at: 9, want: "rebuild a" },
  { name: "a tombstone at the very revision of a put", log: "-a3", store: "a3", at: 9, want: "rebuild a" },
])("difference: $name", ({ log, store, at, refused = "", want }) => {
  const entries = new Map(words(log).map((w, i) => [entry(w, i).key, entry(w, i)]));
  const found = difference(entries, { revision: at, seenAt: 1, puts: words(store).map(put), refused: new Set(words(refused)) });
  const got =
    found.kind === "rebuild"
      ? `rebuild ${found.key}`
      : found.publications.map((p) => `${p.op === "delete" ? "-" : ""}${p.key}${p.revision}`).join(" ");
  expect(got).toBe(want);
});
