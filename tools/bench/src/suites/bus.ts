import { startNats, type TestNats } from "@calico/bus/testing";
import { openEtcd, type Store } from "@calico/datastore";
import { startEtcd, type TestEtcd } from "@calico/datastore/testing";
import { percentile, plain, type Row, type Suite, type SuiteOptions } from "../row.ts";
import { type Consumers, cpuMs, startConsumers, startSyncer } from "./bus/bench-processes.ts";

const PREFIX = "/calico/resources/v3/projectcalico.org/ippools/";
/** Keys of one transaction: etcd takes 128 operations. */
const LOAD_TXN = 100;
const RATE_TXN = 10;

/** The bus beside the same number of plain etcd watches: delay, fan-out, cost, snapshots. */
export const bus: Suite = {
  description: "delay from write to handler, fan-out, cost per event and snapshots, beside plain etcd watches",
  async run(options) {
    await using stack = new AsyncDisposableStack();
    const etcd = stack.use(await startEtcd());
    const nats = stack.use(await startNats());
    const store = stack.use(openEtcd({ endpoints: etcd.endpoints }));
    const syncer = stack.use(startSyncer(etcd.endpoints.join(), nats.servers.join()));
    const bench = { etcd, nats, store, syncerPid: syncer.pid, options };
    const rows: Row[] = [];
    for (const consumers of options.quick ? [5, 20] : [10, 100, 1000]) rows.push(...(await fanOut(bench, consumers)));
    for (const objects of options.quick ? [5_000] : [10_000, 100_000, 250_000]) rows.push(...(await snapshot(bench, objects)));
    return rows;
  },
};

interface Bench {
  readonly etcd: TestEtcd;
  readonly nats: TestNats;
  readonly store: Store;
  readonly syncerPid: number;
  readonly options: SuiteOptions;
}

interface Measured {
  readonly idle: readonly number[];
  readonly busy: readonly number[];
  readonly rate: number;
  readonly events: number;
  readonly leaderMs: number;
  readonly natsMs: number;
  readonly etcdMs: number;
  readonly consumersMs: number;
  /** Of all changes; less than 1 where one was overtaken by the next of its key before it was read. */
  readonly deliveredShare: number;
  readonly etcdMiB: number;
}

async function fanOut(bench: Bench, consumers: number): Promise<readonly Row[]> {
  const ours = await measure(bench, "nats", consumers);
  const theirs = await measure(bench, "etcd", consumers);
  const row = (name: string, unit: string, of: (m: Measured) => number) =>
    beside(`${consumers} consumers: ${name}`, unit, of(ours), of(theirs));
  const perEvent = (ms: (m: Measured) => number) => (m: Measured) => (ms(m) * 1000) / m.events;
  return [
    row("write → handler, idle, p50", "ms", (m) => percentile(m.idle, 50)),
    row("write → handler, idle, p99", "ms", (m) => percentile(m.idle, 99)),
    row("changes written under load", "1/s", (m) => m.rate),
    row("write → handler, under load, p50", "ms", (m) => percentile(m.busy, 50)),
    row("write → handler, under load, p99", "ms", (m) => percentile(m.busy, 99)),
    row("etcd's processor time under load", "ms", (m) => m.etcdMs),
    row("sent by etcd to its clients under load", "MiB", (m) => m.etcdMiB),
    row(
      "etcd, nats and leader: processor time per delivered event",
      "µs",
      perEvent((m) => m.etcdMs + m.natsMs + m.leaderMs),
    ),
    row("consumers' processor time per change and consumer", "µs", (m) => (m.consumersMs * 1000) / m.events),
    row("changes that were delivered, of all", "ratio", (m) => m.deliveredShare),
    plain(`${consumers} consumers: leader's processor time per delivered event`, perEvent((m) => m.leaderMs)(ours), "µs"),
    plain(`${consumers} consumers: nats-server's processor time per delivered event`, perEvent((m) => m.natsMs)(ours), "µs"),
  ];
}

async function measure(bench: Bench, mode: "nats" | "etcd", consumers: number): Promise<Measured> {
  const { options, etcd, nats, store } = bench;
  const url = (mode === "nats" ? nats.servers : etcd.endpoints)[0] ?? "";
  options.progress(`${consumers} consumers on ${mode}: snapshot`);
  await using crowd = await startConsumers(mode, url, consumers);
  await until(crowd, options, `${consumers} in sync`, (answers) => sum(answers, "synced") >= consumers);
  await write(store, { txns: 5, keys: 1, everyMs: 50 }); // the first change that a consumer ever sees is slower
  await crowd.ask("all");
  const idle = await write(store, { txns: options.quick ? 20 : 100, keys: 1, everyMs: 50 });
  await untilReached(crowd, options, idle);
  const idleSeen = await crowd.ask("all");
  options.progress(`${consumers} consumers on ${mode}: 1,000 changes/s`);
  const before = await costs(bench, crowd);
  const began = performance.now();
  const busy = await write(store, { txns: options.quick ? 100 : Math.min(1000, 400_000 / consumers), keys: RATE_TXN, everyMs: 10 });
  const wroteMs = performance.now() - began;
  await untilReached(crowd, options, busy);
  const after = await costs(bench, crowd);
  const busySeen = await crowd.ask("all");
  const events = consumers * busy.size * RATE_TXN;
  return {
    idle: delays(idle, idleSeen),
    busy: delays(busy, busySeen),
    rate: (busy.size * RATE_TXN * 1000) / wroteMs,
    events,
    leaderMs: after.leaderMs - before.leaderMs,
    natsMs: after.natsMs - before.natsMs,
    etcdMs: after.etcdMs - before.etcdMs,
    consumersMs: after.consumersMs - before.consumersMs,
    deliveredShare: sum(busySeen, "delivered") / events,
    etcdMiB: after.etcdMiB - before.etcdMiB,
  };
}

/** Transactions at a steady pace, not waiting for each other. When each revision's call began. */
async function write(
  store: Store,
  o: { readonly txns: number; readonly keys: number; readonly everyMs: number },
): Promise<Map<number, number>> {
  const began = new Map<number, number>();
  const onTheWay: Promise<void>[] = [];
  const start = performance.now();
  for (let i = 0; i < o.txns; i++) {
    const waitMs = start + i * o.everyMs - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    const success = Array.from({ length: o.keys }, (_, k) => ({
      do: "put" as const,
      key: `${PREFIX}hot-${(i * o.keys + k) % 500}`,
      value: object(i),
    }));
    const atMs = performance.timeOrigin + performance.now();
    onTheWay.push(store.txn({ compares: [], success }).then(({ revision }) => void began.set(revision, atMs)));
  }
  await Promise.all(onTheWay);
  return began;
}

function object(n: number): string {
  const spec = { cidr: "10.0.0.0/16", blockSize: 26, ipipMode: "Never", vxlanMode: "Never", natOutgoing: true, nodeSelector: "all()", n };
  return JSON.stringify({
    kind: "IPPool",
    apiVersion: "projectcalico.org/v3",
    metadata: { name: `p${n}`, labels: { a: "b".repeat(200) } },
    spec,
  });
}

type Answers = Awaited<ReturnType<Consumers["ask"]>>;

function delays(began: ReadonlyMap<number, number>, answers: Answers): readonly number[] {
  return answers.flatMap(({ seen }) =>
    seen.flatMap(([revision, atMs]) => (began.has(revision) ? [atMs - (began.get(revision) ?? 0)] : [])),
  );
}

async function costs({ etcd, nats, syncerPid }: Bench, crowd: Consumers) {
  const metrics = await (await fetch(`${etcd.endpoints[0]}/metrics`)).text();
  const sent = /^etcd_network_client_grpc_sent_bytes_total (\S+)$/m.exec(metrics)?.[1] ?? "0";
  return {
    leaderMs: cpuMs(syncerPid),
    natsMs: cpuMs(nats.pid),
    etcdMs: cpuMs(etcd.pid),
    consumersMs: crowd.cpuMs(),
    etcdMiB: Number(sent) / 2 ** 20,
  };
}

function sum(answers: Answers, what: "synced" | "delivered"): number {
  return answers.reduce((total, answer) => total + answer[what], 0);
}

/** Every consumer has the last of what was written. */
async function untilReached(crowd: Consumers, options: SuiteOptions, written: ReadonlyMap<number, number>): Promise<void> {
  const last = Math.max(...written.keys());
  await until(crowd, options, `at revision ${last}`, (answers) => answers.every(({ reached }) => reached >= last));
}

async function until(crowd: Consumers, { signal }: SuiteOptions, what: string, done: (answers: Answers) => boolean): Promise<void> {
  const end = Date.now() + 120_000;
  while (!done(await crowd.ask("count"))) {
    if (Date.now() > end) throw new Error(`Cannot measure: the consumers are not ${what} after 120 s`);
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function snapshot(bench: Bench, objects: number): Promise<readonly Row[]> {
  const { store, options, etcd, nats } = bench;
  options.progress(`${objects} objects: writing them`);
  for (let at = 0; at < objects; at += LOAD_TXN) {
    const success = Array.from({ length: LOAD_TXN }, (_, k) => ({
      do: "put" as const,
      key: `${PREFIX}s-${at + k}`,
      value: object(at + k),
    }));
    await store.txn({ compares: [], success });
  }
  const read = async (mode: "nats" | "etcd") => {
    options.progress(`${objects} objects: snapshot from ${mode}`);
    await using crowd = await startConsumers(mode, (mode === "nats" ? nats.servers : etcd.endpoints)[0] ?? "", 1);
    await until(crowd, options, "in sync", (answers) => sum(answers, "synced") >= 1);
    return (await crowd.ask("count"))[0] ?? { syncedMs: Number.NaN, rssMiB: Number.NaN };
  };
  await read("nats"); // waits until the log has them all, by and large; the next is measured
  const [ours, theirs] = [await read("nats"), await read("etcd")];
  return [
    beside(`${objects} objects: start to in sync`, "ms", ours.syncedMs, theirs.syncedMs),
    beside(
      `${objects} objects: consumer's memory per 1,000`,
      "KiB",
      (ours.rssMiB * 1024 * 1000) / objects,
      (theirs.rssMiB * 1024 * 1000) / objects,
    ),
  ];
}

function beside(name: string, unit: string, value: number, peer: number): Row {
  const round = (n: number) => Number(n.toPrecision(4));
  return { name, value: round(value), unit, peer: round(peer), ratio: peer === 0 ? null : round(value / peer), goal: null, ok: null };
}
