import { recordingLogger } from "@calico/daemon/testing";
import { type ConsumerAPI, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { afterAll, expect, test } from "vitest";
import { readEntries } from "../src/adapter/entries.ts";
import { makeNatsLog } from "../src/adapter/nats-log.ts";
import { openNats } from "../src/adapter/nats.ts";
import { STREAM } from "../src/domain/subject.ts";
import type { LogEntry, LogWriter } from "../src/ports.ts";
import { startNats } from "../src/testing.ts";

const server = await startNats();
const raw = await connect({ servers: server.servers });
const jsm = await jetstreamManager(raw);
const signal = AbortSignal.timeout(60_000);
const places = ["one", "two"].map((id) => {
  const nats = openNats({ servers: server.servers, name: id, log: recordingLogger() });
  return { id, nats, log: makeNatsLog(nats, { signal }) };
});
const onlooker = openNats({ servers: server.servers, name: "onlooker", log: recordingLogger() });
afterAll(async () => {
  for (const { nats } of places) await nats.close();
  await onlooker.close();
  await raw.close();
  await server.stop();
});

/** What a consumer says that is on the log. */
const onTheLog = async () => withoutTime((await readEntries(onlooker)).entries);
const withoutTime = (entries: ReadonlyMap<string, LogEntry>) =>
  Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, { atMs: _, ...entry }]) => [key, entry]));

/** How many consumers were made meanwhile. */
async function consumersMade(place: (typeof places)[number], action: () => Promise<unknown>): Promise<number> {
  const { jsm: its } = await place.nats.use();
  const add = its.consumers.add.bind(its.consumers);
  let made = 0;
  its.consumers.add = ((...args: Parameters<ConsumerAPI["add"]>) => (made++, add(...args))) as ConsumerAPI["add"];
  await action().finally(() => (its.consumers.add = add));
  return made;
}

let revision = 0;
const append = (writer: LogWriter, n: number, op: "put" | "delete" = "put") =>
  writer.append({
    key: `/calico/resources/v3/projectcalico.org/ippools/p${n}`,
    subject: `calico.v3.ippools._.p${n}`,
    op,
    revision: ++revision,
    data: op === "put" ? `{"n":${revision}}` : "",
    seenAt: 1,
  });

test("mirror: two writers that claim in turn know what is on the log, whatever the other wrote", async () => {
  let seed = 20261123;
  const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
  for (const { log } of places) await (await log.claim({ id: "first", epoch: 1 })).entries();
  let [made, forgotten] = [0, 0];
  for (let round = 0; round < 40; round++) {
    const place = places[random(2)]!;
    made += await consumersMade(place, async () => {
      const writer = await place.log.claim({ id: place.id, epoch: round });
      const entries = await writer.entries();
      const there = await onTheLog();
      // What the other one forgot, a tombstone and the put before it, may still be known here: the store decides, it is said deleted once more.
      const known = [...entries].filter(([key]) => key in there || forgotten === 0);
      expect(withoutTime(new Map(known)), `round ${round}`).toEqual(there);
      const old = [...entries.values()].find((entry) => entry.op === "delete" && random(2) === 0);
      if (old !== undefined) await writer.forget(old);
      if (old !== undefined) forgotten++;
      const writes = Array.from({ length: random(30) }, () => append(writer, random(12), random(4) === 0 ? "delete" : "put"));
      await Promise.all(writes);
      if (random(3) === 0) await writer.complete(revision);
      await writer[Symbol.asyncDispose]();
    });
  }
  // The newest message that a writer knew may be a tombstone that the other forgot; then all is read.
  expect(forgotten).toBeGreaterThan(3);
  expect(made).toBeLessThan(forgotten);
});

test("mirror: a log that was made anew, or lost its end and went on otherwise, is read whole", async () => {
  const [one, two] = places as [(typeof places)[number], (typeof places)[number]];
  const begin = async (place: typeof one) => {
    const writer = await place.log.claim({ id: place.id, epoch: 1 });
    return { writer, entries: withoutTime(await writer.entries()) };
  };
  const first = await begin(one);
  const seq = await append(first.writer, 3);
  await jsm.streams.deleteMessage(STREAM, seq);
  const second = await begin(two);
  await append(second.writer, 4);
  expect((await begin(one)).entries).toEqual(await onTheLog());
  await two.log.drop();
  await append((await begin(two)).writer, 5);
  expect(Object.keys((await begin(one)).entries)).toEqual(["/calico/resources/v3/projectcalico.org/ippools/p5"]);
});

test("mirror: a key that somebody purged in the middle is missed by the next claim, and read as gone", async () => {
  const [one] = places as [(typeof places)[number]];
  const writer = await one.log.claim({ id: "one", epoch: 1 });
  await writer.entries();
  await append(writer, 8);
  await append(writer, 9);
  await jsm.streams.purge(STREAM, { filter: "calico.v3.ippools._.p8" });
  const entries = withoutTime(await (await one.log.claim({ id: "one", epoch: 2 })).entries());
  expect(entries).toEqual(await onTheLog());
  expect(Object.keys(entries).some((key) => key.endsWith("/p8"))).toBe(false);
});

test("mirror: a standby that takes over makes no consumer", async () => {
  const [one, two] = places as [(typeof places)[number], (typeof places)[number]];
  const standing = new AbortController();
  const leader = await one.log.claim({ id: "one", epoch: 1 });
  await leader.entries();
  const stoodBy = two.log.standBy(standing.signal);
  await append(leader, 6);
  await expect.poll(() => consumersMade(two, async () => undefined)).toBe(0);
  standing.abort();
  await stoodBy;
  await append(leader, 7);
  const made = await consumersMade(two, async () => {
    const entries = await (await two.log.claim({ id: "two", epoch: 2 })).entries();
    expect(withoutTime(entries)).toEqual(await onTheLog());
  });
  expect(made).toBe(0);
});
