import { expect, test } from "vitest";
import { identityOf, judgeIdentity } from "./store-identity.ts";

const of = (guid: string) => `{"spec":{"clusterGUID":"${guid}"}}`;

test.for([
  { name: "the same cluster", log: of("a"), store: of("a"), want: /^same$/ },
  { name: "a log that tells of none", log: undefined, store: of("a"), want: /^same$/ },
  { name: "neither has one", log: undefined, store: undefined, want: /^same$/ },
  { name: "a cluster that gets its GUID", log: "{}", store: of("a"), want: /^same$/ },
  { name: "a store that was emptied", log: of("a"), store: undefined, want: /^hold the datastore has no ClusterInformation/ },
  { name: "a store that was emptied, before there were GUIDs", log: "{}", store: undefined, want: /^hold/ },
  { name: "an emptied one is not adopted", log: of("a"), store: undefined, adopt: "a", want: /^hold/ },
  {
    name: "a store made anew",
    log: of("a"),
    store: of("b"),
    want: /^hold the datastore is cluster b, the log tells of cluster a: .*--adopt and b$/,
  },
  { name: "a store that lost its GUID", log: of("a"), store: "{}", want: /^hold the datastore is cluster without a clusterGUID/ },
  { name: "a store made anew, and named", log: of("a"), store: of("b"), adopt: "b", want: /^adopt$/ },
  { name: "a store made anew, another one named", log: of("a"), store: of("b"), adopt: "c", want: /^hold/ },
])("judgeIdentity: $name", ({ log, store, adopt, want }) => {
  const ruling = judgeIdentity({ log: identityOf(log), store: identityOf(store), adopt });
  expect(ruling.kind === "hold" ? `hold ${ruling.reason}` : ruling.kind).toMatch(want);
});
