import { expect, test } from "vitest";
import type { LogEntry } from "../ports.ts";
import { decideHome, type HomingView, logHasAll } from "./homing.ts";

const limits = { rehomeMs: 10, fallBackMs: 20, returnMs: 5 };
const view: HomingView = {
  source: "nats",
  hasFallback: true,
  connected: true,
  lagMs: 0,
  steadyMs: 0,
  busy: false,
  sinceRehomeMs: 99,
  mayReturn: true,
};

const rows: readonly { name: string; view: Partial<HomingView>; want: string }[] = [
  { name: "current", view: { lagMs: 9 }, want: "stay" },
  { name: "late", view: { lagMs: 10 }, want: "rehome" },
  { name: "late, and just went elsewhere", view: { lagMs: 15, sinceRehomeMs: 5 }, want: "stay" },
  { name: "late, and not connected: it tries all servers as it is", view: { lagMs: 15, connected: false }, want: "stay" },
  { name: "very late", view: { lagMs: 20 }, want: "fallBack" },
  { name: "very late, without the store's address", view: { lagMs: 20, hasFallback: false }, want: "rehome" },
  { name: "very late, since nothing is connected", view: { lagMs: 20, connected: false }, want: "fallBack" },
  { name: "late in the middle of a snapshot", view: { lagMs: 50, busy: true }, want: "stay" },
  { name: "on the store, no heartbeats", view: { source: "etcd", lagMs: 50 }, want: "stay" },
  { name: "on the store, heartbeats are back", view: { source: "etcd", steadyMs: 5 }, want: "return" },
  { name: "on the store, heartbeats but it was too early before", view: { source: "etcd", steadyMs: 5, mayReturn: false }, want: "stay" },
  { name: "on the store, not connected any more", view: { source: "etcd", steadyMs: 5, connected: false }, want: "stay" },
];

test.for(rows)("home: $name → $want", ({ view: changed, want }) => {
  expect(decideHome({ ...view, ...changed }, limits)).toBe(want);
});

const pool = (name: string) => `/calico/resources/v3/projectcalico.org/ippools/${name}`;
const tier = (name: string) => `/calico/resources/v3/projectcalico.org/tiers/${name}`;

/** `a3` a put, `-a3` a tombstone; names that begin with t are tiers, which the reader does not read. */
function entries(text: string): ReadonlyMap<string, LogEntry> {
  const all = text.split(" ").filter((w) => w !== "");
  return new Map(
    all.map((word, i) => {
      const [, minus, name, revision] = /^(-?)([a-z]+)(\d+)$/.exec(word)!;
      const key = (name!.startsWith("t") ? tier : pool)(name!);
      return [key, { key, subject: key, op: minus === "-" ? "delete" : "put", revision: Number(revision), seq: i + 1, atMs: 0 }];
    }),
  );
}

test.for([
  { name: "the same", known: "a1 b2", revision: 5, log: "a1 b2", want: true },
  { name: "newer", known: "a1 b2", revision: 5, log: "a1 b7 c8", want: true },
  { name: "older", known: "a1 b2", revision: 5, log: "a1 b1", want: false },
  { name: "a key is not there yet", known: "a1 b2", revision: 5, log: "a1", want: false },
  { name: "deleted later", known: "a1 b2", revision: 5, log: "a1 -b6", want: true },
  { name: "a tombstone from before", known: "a4", revision: 5, log: "-a3", want: false },
  { name: "not yet deleted", known: "a1", revision: 5, log: "a1 b2", want: false },
  { name: "kinds that are not read do not count", known: "a1", revision: 5, log: "a1 t2", want: true },
  { name: "an empty store and an empty log", known: "", revision: 5, log: "", want: true },
])("home: the log has all: $name", ({ known, revision, log, want }) => {
  const have = new Map([...entries(known)].map(([key, entry]) => [key, entry.revision]));
  expect(logHasAll(entries(log), { known: have, revision, kinds: new Set(["IPPool"]) })).toBe(want);
});
