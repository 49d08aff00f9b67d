import { recordingLogger } from "@calico/daemon/testing";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { encodeHeaders } from "../src/adapter/headers.ts";
import { openLogSession } from "../src/adapter/log-session.ts";
import { makeNatsLog } from "../src/adapter/nats-log.ts";
import { openNats } from "../src/adapter/nats.ts";
import { encodeFrame, type FrameMessage } from "../src/domain/frame.ts";
import type { LogMessage } from "../src/ports.ts";
import { startNats } from "../src/testing.ts";

const server = await startNats();
const raw = await connect({ servers: server.servers });
const jsm = await jetstreamManager(raw);
const cleanups: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  await raw.close();
  await server.stop();
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const name = (n: number) => `/calico/resources/v3/projectcalico.org/ippools/p${n}`;
const put = (n: number, data = `{"n":${n}}`): FrameMessage => ({ op: "put", revision: n, seenAt: 1, key: name(n), data });
const subject = (n: number) => `calico.v3.ippools._.p${n}`;

let leader: ReturnType<typeof openNats>;
beforeEach(() => {
  const log = recordingLogger();
  leader = openNats({ servers: server.servers, name: "leader", log });
  cleanups.push(() => leader.close());
});

async function claim() {
  const writer = await makeNatsLog(leader, { signal: AbortSignal.timeout(20_000) }).claim({ id: "t", epoch: 1 });
  cleanups.push(async () => writer[Symbol.asyncDispose]());
  return { append: (n: number, data?: string) => writer.append({ ...put(n, data), op: "put", subject: subject(n) }), writer };
}

/** Until the test's own connection is there after a restart. */
async function backAgain(): Promise<void> {
  await expect.poll(() => raw.rtt().catch(() => "away"), { timeout: 5000 }).not.toBe("away");
}

/** Of the same log, without a frame: what a reader never heard of. */
async function appendUnheard(n: number): Promise<void> {
  await jetstream(raw).publish(subject(n), put(n).data, { headers: encodeHeaders(put(n)) });
}

/** Reads by itself; `pull` false: only when told. */
async function read({ pull = true } = {}) {
  const log = recordingLogger();
  const nats = openNats({ servers: server.servers, name: "reader", log });
  const session = await openLogSession(nats, log);
  const got: string[] = [];
  let error: unknown;
  const run = async () => {
    try {
      for await (const messages of session.messages) got.push(...messages.map(textOf));
    } catch (e) {
      error = e;
    }
  };
  if (pull) void run();
  cleanups.push(
    () => session.close(),
    () => nats.close(),
  );
  return { got, run, log, session, error: () => String(error), changes: () => got.filter((m) => m !== "other") };
}

function textOf(message: LogMessage): string {
  return message.kind === "change" ? `${message.revision} ${message.data().length}` : message.kind;
}

const bytes = (n: number) => `${n} ${put(n).data.length}`;

test("frames: what the log stores comes once and in order, data as stored", async () => {
  const { append } = await claim();
  await append(1);
  const reader = await read();
  await Promise.all([2, 3, 4, 5].map((n) => append(n)));
  await expect.poll(reader.changes).toEqual([1, 2, 3, 4, 5].map(bytes));
  await expect.poll(async () => (await jsm.streams.info("CALICO")).state.consumer_count).toBe(0);
});

test("frames: what came without a frame is read from the log when the next one shows the gap", async () => {
  await jsm.streams.delete("CALICO");
  const first = await claim();
  await first.append(1);
  const reader = await read();
  await expect.poll(reader.changes).toEqual([bytes(1)]);
  await appendUnheard(2);
  await appendUnheard(3);
  const next = await claim(); // its fence is after both
  await expect.poll(reader.changes).toEqual([1, 2, 3].map(bytes));
  await next.append(4);
  await expect.poll(reader.changes).toEqual([1, 2, 3, 4].map(bytes));
});

test("frames: the leader's word of how far the log is shows a lost last frame", async () => {
  await jsm.streams.delete("CALICO");
  const { writer } = await claim();
  const reader = await read();
  await expect.poll(() => reader.got).toContain("other");
  await writer.append({ ...put(1), op: "put", subject: subject(1), data: "x".repeat(700_000) }); // too large for a frame
  await expect.poll(reader.changes).toEqual(["1 700000"]);
  await writer.check();
  await expect.poll(reader.changes).toEqual(["1 700000"]);
});

test("frames: rubbish, another log's frames and frames of what is not there change nothing", async () => {
  await jsm.streams.delete("CALICO");
  const { append } = await claim();
  const reader = await read();
  await append(1);
  await expect.poll(reader.changes).toEqual([bytes(1)]);
  const { created } = await jsm.streams.info("CALICO");
  const forged = { created, after: 900, messages: [put(9)] };
  for (const text of [
    "",
    "rubbish",
    "[1]\n",
    encodeFrame(forged),
    encodeFrame({ ...forged, created: "2000-01-01T00:00:00Z", after: 2 }),
    encodeFrame({ ...forged, after: 0 }),
  ])
    raw.publish("calico.tail", text);
  raw.publish("calico.tail", new Uint8Array([0xff, 0xfe, 0, 10, 0xc3]));
  await raw.flush();
  await append(2);
  await expect.poll(reader.changes).toEqual([1, 2].map(bytes));
  const said = () => reader.log.lines.map((l) => l.message);
  await expect.poll(said).toContain("frame of another log passed over");
  expect(said()).toContain("frame not understood, reading the log in its place");
});

test("frames: a reader that does not read for long keeps little of them, and misses nothing", async () => {
  await jsm.streams.delete("CALICO");
  const { append } = await claim();
  const reader = await read({ pull: false });
  for (let n = 1; n <= 250; n++) await append(n, `{"x":"${"y".repeat(100_000)}"}`);
  void reader.run();
  await expect.poll(() => reader.changes().length, { timeout: 10_000 }).toBe(250);
  expect(reader.changes()[249]).toBe("250 100008");
});

test("frames: over a lost connection the reader goes on where it was, with no new snapshot", async () => {
  await jsm.streams.delete("CALICO");
  const { append } = await claim();
  await append(1);
  const reader = await read();
  await expect.poll(reader.changes).toEqual([bytes(1)]);
  await server.restart();
  await backAgain();
  const next = await claim();
  await next.append(2);
  await expect.poll(reader.changes, { timeout: 10_000 }).toEqual([1, 2].map(bytes));
  expect(reader.error()).toBe("undefined");
});

test.for([
  {
    name: "its end lost and written otherwise",
    harm: async () => {
      const { state } = await jsm.streams.info("CALICO");
      await jsm.streams.deleteMessage("CALICO", state.last_seq);
      await appendUnheard(3);
    },
    says: "the log does not go on where it was read",
  },
  {
    name: "of which the leader tells otherwise",
    harm: async () => {
      const { created, state } = await jsm.streams.info("CALICO");
      raw.publish("calico.tail", encodeFrame({ created, after: state.last_seq - 1, messages: [put(77), put(78)] }));
      await raw.flush();
    },
    says: "the log does not go on where it was read",
  },
  { name: "made again", harm: async () => void (await jsm.streams.delete("CALICO")), says: "the log was removed and made again" },
])("frames: a log that is not the one that was read ends the session: $name", async ({ harm, says }) => {
  await jsm.streams.delete("CALICO").catch(() => false);
  await claim().then(({ append }) => append(1));
  const reader = await read();
  await expect.poll(reader.changes).toContain(bytes(1));
  await harm();
  await claim();
  await expect.poll(reader.error, { timeout: 10_000 }).toContain(says);
});
