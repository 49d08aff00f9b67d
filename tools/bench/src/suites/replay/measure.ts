/** One size of log, measured in a process of its own that runs as calico-replay does: prints the figures as JSON. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { untilSignal } from "@calico/daemon";
import { openTestSyncer, startNats } from "@calico/bus/testing";
import { openEtcd, type Store } from "@calico/datastore";
import { startEtcd } from "@calico/datastore/testing";
import { keyOf } from "@calico/model";
import { aNamespaceProfile, aPolicy, aWep } from "@calico/model/testing";
import {
  COMPONENTS,
  fold,
  type History,
  makeHistoryBuilder,
  readArchive,
  readLog,
  render,
  type RawMessage,
  writeArchive,
} from "@calico/replay";

/** Each object changes so often. */
const CHANGES = 10;
const NODES = 100;
const TXN = 100;
const SETTINGS = { families: [4], natFamilies: [4], clusterCidrs: [], components: COMPONENTS } as const;

export type Measured = Readonly<Record<"fold" | "parsed" | "archive" | "render" | "once" | "export" | "log", number>>;

async function measure(size: number, rounds: number, signal: AbortSignal): Promise<Measured> {
  const messages = makeMessages(size, CHANGES);
  const dir = await mkdtemp(join(tmpdir(), "calico-bench-replay-"));
  try {
    const history = historyOf(messages);
    const once = historyOf(makeMessages(size, 1));
    const file = join(dir, "archive.gz");
    await writeArchive(file, history, { nowMs: 0 });
    const perSec = async (work: () => unknown) => (size * 1000) / (await fastest(rounds, work));
    return {
      fold: await perSec(() => fold(historyOf(messages).records)),
      parsed: await perSec(() => {
        let octets = 0;
        const { records } = historyOf(messages);
        for (const { data } of records) octets += Object.keys(JSON.parse(data) as object).length;
        return octets + fold(records).size;
      }),
      archive: await perSec(async () => fold((await readArchive(file)).history.records)),
      render: await perSec(async () => render((await readArchive(file)).history.records, "node-1", SETTINGS)),
      once: await perSec(() => render(once.records, "node-1", SETTINGS)),
      export: await perSec(() => writeArchive(file, history, { nowMs: 0 })),
      log: (size * 1000) / (await readLive(messages, rounds, signal)),
    };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Of several rounds, since others use the machine too. */
async function fastest(rounds: number, work: () => unknown): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < rounds; i++) {
    const begun = performance.now();
    await work();
    best = Math.min(best, performance.now() - begun);
  }
  return best;
}

function historyOf(messages: readonly RawMessage[]): History {
  const builder = makeHistoryBuilder({ maxPerSubject: 64 });
  for (const message of messages) builder.add(message);
  return builder.finish();
}

/** Pods that change labels, spread over nodes, and a policy that selects among them. */
function makeMessages(size: number, changesOfEach: number): readonly RawMessage[] {
  const count = size / changesOfEach;
  const policy = aPolicy(
    "p",
    { selector: "app == 'app-1'", ingress: [{ action: "Allow", source: { selector: "version == 'v9'" } }] },
    "default",
  );
  const fixed = [aNamespaceProfile("default"), policy];
  const pods = Array.from({ length: size - fixed.length }, (_, i) => {
    const pod = i % count;
    const labels = { app: `app-${pod % 10}`, version: `v${Math.floor(i / count)}` };
    return aWep({ node: `node-${pod % NODES}`, pod: `pod-${pod}`, ip: `10.${pod >> 16}.${(pod >> 8) & 255}.${pod & 255}`, labels });
  });
  const changes = [...fixed, ...pods].map((object, i): RawMessage => {
    const { name, namespace } = object.metadata;
    const key = keyOf({ kind: object.kind, name, ...(namespace === undefined ? {} : { namespace }) });
    return { kind: "change", seq: i + 3, atMs: i, key, op: "put", revision: 2 + Math.floor(i / TXN), data: JSON.stringify(object) };
  });
  return [{ kind: "fence", seq: 1, atMs: 0 }, { kind: "complete", seq: 2, atMs: 0, revision: 1 }, ...changes];
}

/** The same changes by way of a real etcd and syncer; milliseconds to read them back. */
async function readLive(messages: readonly RawMessage[], rounds: number, signal: AbortSignal): Promise<number> {
  await using etcd = await startEtcd();
  await using nats = await startNats();
  await using store = openEtcd({ endpoints: etcd.endpoints });
  await using _ = openTestSyncer({ etcd: etcd.endpoints, nats: nats.servers });
  const read = () => readLog({ servers: nats.servers, timeoutMs: 30_000, progress: () => {} });
  const until = async (count: number) => {
    for (;;) {
      const history = await read().catch(() => undefined); // no log yet
      if (history?.begin !== undefined && history.records.length >= count) return;
      signal.throwIfAborted();
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  };
  await until(0);
  await writeAll(store, messages);
  await until(messages.length - 2);
  return await fastest(rounds, async () => fold((await read()).records));
}

async function writeAll(store: Store, messages: readonly RawMessage[]): Promise<void> {
  const puts = messages.flatMap((m) => (m.kind === "change" ? [{ do: "put" as const, key: m.key, value: m.data }] : []));
  for (let i = 0; i < puts.length; i += TXN) await store.txn({ compares: [], success: puts.slice(i, i + TXN) });
}

const [size, rounds] = process.argv.slice(2).map(Number);
const measured = await measure(size ?? 10_000, rounds ?? 1, untilSignal("SIGINT", "SIGTERM"));
process.stdout.write(JSON.stringify(measured));
process.exit(0);
