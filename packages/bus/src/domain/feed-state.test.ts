import { expect, test } from "vitest";
import type { LogMessage } from "../ports.ts";
import { makeFeedState } from "./feed-state.ts";

const key = (name: string) => `/calico/resources/v3/projectcalico.org/${name.startsWith("t") ? "tiers" : "ippools"}/${name}`;

/** `a3@7` put of pool a, revision 3, sequence 7; `-a3@7` its tombstone; `ok9@8` the complete mark; `?@5` the fence. */
function message(text: string): LogMessage {
  const [, body, seqText] = /^(.+)@(\d+)$/.exec(text)!;
  const at = { seq: Number(seqText) };
  if (body === "?") return { kind: "other", ...at };
  const [, minus, name, revision] = /^(-?)([a-z]+)(\d+)$/.exec(body!)!;
  if (name === "ok") return { kind: "complete", revision: Number(revision), ...at };
  return {
    kind: "change",
    key: key(name!),
    op: minus === "-" ? "delete" : "put",
    revision: Number(revision),
    data: () => `{"r":${revision}}`,
    ...at,
  };
}

/** Sessions separated by `|`, each `lastSeq: messages`, or `lastSeq/log: messages`. */
function play(script: string): string {
  const state = makeFeedState(new Set(["IPPool"]), (k) => expect.unreachable(`bad ${k}`));
  const out: string[] = [];
  for (const part of script.split("|")) {
    const [begin = "", ...messages] = part.trim().split(/[: ]+/);
    const [lastSeq, created] = begin.split("/");
    state.begin(Number(lastSeq), created);
    for (const m of messages) {
      for (const e of state.take(message(m))) {
        out.push(e.kind === "inSync" ? `sync${e.revision}` : `${e.kind === "deleted" ? "-" : ""}${e.ref.ref.name}${e.revision}`);
      }
    }
    out.push("|");
  }
  return out.slice(0, -1).join(" ");
}

test.for([
  { name: "snapshot, mark, tail", script: "4: a1@2 b3@3 ok3@4 c4@5 -a5@6", want: "a1 b3 sync3 c4 -a5" },
  { name: "in sync at the newest sequence, not before", script: "4: ok3@1 a1@2 b3@3 ?@4", want: "a1 b3 sync3" },
  { name: "other kinds are skipped and still end the snapshot", script: "3: ok3@1 a1@2 tx4@3", want: "a1 sync4" },
  { name: "an unfinished rebuild is never in sync", script: "2: ?@1 a1@2 b2@3 ok2@4", want: "a1 b2 sync2" },
  { name: "a tombstone of something never seen is silent", script: "3: -a1@1 ok3@3", want: "sync3" },
  { name: "the same again is silent, and in sync comes again", script: "2: a1@1 ok1@2 | 2: a1@1 ok1@2", want: "a1 sync1 | sync1" },
  {
    name: "what vanished while away is deleted before in sync",
    script: "3: a1@1 b2@2 ok2@3 | 4: a1@1 ok3@4",
    want: "a1 b2 sync2 | -b3 sync3",
  },
  {
    name: "nothing is deleted while a lost log is rebuilt",
    script: "3: a1@1 b2@2 ok2@3 | 1: ?@1 a1@2 b2@3 ok2@4",
    want: "a1 b2 sync2 | sync2",
  },
  { name: "a changed one is said once", script: "2: a1@1 ok1@2 | 3: ok1@2 a5@3 a5@4", want: "a1 sync1 | a5 sync5" },
  { name: "a store that was reset counts from low again", script: "2: a90@1 ok90@2 | 2: a3@1 ok4@2", want: "a90 sync90 | a3 sync4" },
  {
    name: "a replica that is behind takes nothing back",
    script: "3/x: a1@1 b2@2 ok2@3 a4@4 -b5@5 | 3/x: a1@1 b2@2 ok2@3 a4@4 -b5@5 c6@6",
    want: "a1 b2 sync2 a4 -b5 | sync5 c6",
  },
  {
    name: "a replica that has lost what was forgotten of a key, and not yet what is new of it, deletes nothing",
    script: "3/x: a1@1 b2@2 ok2@3 b5@5 | 3/x: a1@1 ok2@3 b5@5",
    want: "a1 b2 sync2 b5 | sync5",
  },
  { name: "what was published late is told", script: "2/x: c9@1 ok9@2 | 4/x: c9@1 ok9@2 a4@4", want: "c9 sync9 | a4 sync9" },
  { name: "a log made anew may be of an older store", script: "2/x: a9@1 ok9@2 | 2/y: a1@1 ok3@2", want: "a9 sync9 | a1 sync3" },
  { name: "deleted in the tombstone of a new snapshot", script: "2: a1@1 ok1@2 | 4: -a3@3 ok3@4", want: "a1 sync1 | -a3 sync3" },
])("feed state: $name", ({ script, want }) => {
  expect(play(script)).toBe(want);
});

test("feed state: data that is not JSON is reported and changes nothing", () => {
  const bad: string[] = [];
  const state = makeFeedState(new Set(["IPPool"]), (k, r) => bad.push(`${k} ${r}`));
  state.begin(1);
  expect(state.take({ kind: "change", seq: 1, key: key("a"), op: "put", revision: 2, data: () => "{" })).toEqual([]);
  expect(bad).toEqual([`${key("a")} 2`]);
});

test("feed state: the tail says when a change became known, a snapshot does not", () => {
  const state = makeFeedState(new Set(["IPPool"]), (k) => expect.unreachable(`bad ${k}`));
  state.begin(2);
  const change = (seq: number) => ({ ...message(`a${seq}@${seq}`), seenAt: 70 + seq });
  expect(state.take(change(1))[0]).not.toHaveProperty("seenAt");
  state.take(message("ok1@2"));
  expect(state.take(change(3))[0]).toMatchObject({ revision: 3, seenAt: 73 });
});
