import { recordingLogger } from "@calico/daemon/testing";
import { makeFakeStore } from "@calico/datastore/testing";
import { expect, test } from "vitest";
import { makeFakeLog } from "../testing/fake-log.ts";
import { makeFeed } from "./feed.ts";
import { runSyncer } from "./syncer.ts";

const key = (name: string) => `/calico/resources/v3/projectcalico.org/ippools/${name}`;

test("feed: over disconnects and a lost log, its state follows the store and nothing is said twice", async () => {
  const [store, log, abort] = [makeFakeStore(), makeFakeLog(), new AbortController()];
  const options = { signal: abort.signal, log: recordingLogger() };
  const running = runSyncer({ store, log, logger: options.log, id: "s", signal: abort.signal, heartbeatMs: 5 });
  const feed = makeFeed(log.reader, { ...options, kinds: ["IPPool"] });
  const said: string[] = [];
  const state = new Map<string, number>();
  const reading = (async () => {
    for await (const batch of feed) {
      for (const event of batch) {
        if (event.kind === "inSync") continue;
        said.push(`${event.kind} ${event.key} ${event.revision}`);
        if (event.kind === "updated") state.set(event.key, event.revision);
        else state.delete(event.key);
      }
    }
  })();
  const same = async () => {
    const end = Date.now() + 5000;
    const want = () => JSON.stringify([...store.dump()].map(([k, kv]) => [k, kv.modRevision]).sort());
    while (JSON.stringify([...state].sort()) !== want() || !feed.status().inSync) {
      if (Date.now() > end) throw new Error(`the feed has ${JSON.stringify([...state])}, the store ${want()}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };
  await store.put(key("a"), "{}");
  await store.put(key("b"), "{}");
  await same();
  log.disconnect();
  await store.delete(key("a"));
  await store.put(key("c"), "{}");
  await same();
  await log.drop();
  await store.delete(key("b"));
  await same();
  expect(new Set(said).size).toBe(said.length);
  abort.abort();
  await Promise.all([running, reading]);
});
