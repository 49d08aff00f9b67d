/** Addresses per second of many nodes, each with some pods at once, beside plain transactions at the same concurrency. */
import process from "node:process";
import { percentile, plain, type Row, type SuiteOptions } from "../../row.ts";
import { assign, makePeer, noCounts, openNode, openWorld, putPool, release, type World } from "./world.ts";

/** Pods that start at once on each of so many nodes. */
export type Load = { readonly nodes: number; readonly atOnce: number };

/** The rows of one load. */
export async function throughput(load: Load, { quick, progress, signal }: SuiteOptions): Promise<readonly Row[]> {
  await using world = await openWorld();
  await putPool(world.stores[0]!, "p", { cidr: "10.0.0.0/12", blockSize: 26 });
  const counts = noCounts();
  const storeOf = (i: number) => world.stores[i % world.stores.length]!;
  const nodes = await Promise.all(
    Array.from({ length: load.nodes }, (_, i) => openNode(world, `node-${i}`, { store: storeOf(i), counts })),
  );
  const perNode = roundUp(Math.min(300, Math.max(10, (quick ? 200 : 1600) / load.nodes)), load.atOnce);
  const rounds = quick ? 2 : 6;
  const streams = load.nodes * load.atOnce;
  const [ours, theirs]: [Figures[], Figures[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    progress(`${labelOf(load)}: round ${round + 1} of ${rounds}`);
    signal.throwIfAborted();
    const atOnce = nodes.flatMap((node) => Array.from({ length: load.atOnce }, (_, k) => ({ node, k })));
    const each = perNode / load.atOnce;
    const writtenBefore = counts.written;
    ours.push(await measured(world, atOnce, { each, act: ({ node, k }, i) => assign(node, `r${round}-${k}-${i}`) }));
    const octets = (counts.written - writtenBefore) / (streams * each);
    const peers = Array.from({ length: streams }, (_, i) => makePeer(storeOf(i), `r${round}-${i}`, octets));
    theirs.push(await measured(world, peers, { each, act: (peer, i) => peer(`${i}`) }));
    counts.isOn = false; // a node has at most 20 blocks: make room for the next round
    await measured(world, atOnce, { each, act: ({ node, k }, i) => release(node, `r${round}-${k}-${i}`) });
    counts.isOn = true;
  }
  return rowsOf(load, { ours, theirs, counts, given: rounds * perNode * load.nodes });
}

function labelOf({ nodes, atOnce }: Load): string {
  return `${nodes} node${nodes === 1 ? "" : "s"} × ${atOnce} pod${atOnce === 1 ? "" : "s"} at once`;
}

function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

type Figures = { readonly perSecond: number; readonly etcdMs: number; readonly ownMs: number };

/** Workers that each act so many times, one after another, all workers at once. */
async function measured<W>(
  world: World,
  workers: readonly W[],
  { each, act }: { readonly each: number; readonly act: (worker: W, i: number) => Promise<void> },
): Promise<Figures> {
  const count = workers.length * each;
  const [start, etcd, own] = [performance.now(), world.etcdCpuMs(), process.cpuUsage()];
  await Promise.all(
    workers.map(async (worker) => {
      for (let i = 0; i < each; i++) await act(worker, i);
    }),
  );
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(own);
  return { perSecond: count / seconds, etcdMs: (world.etcdCpuMs() - etcd) / count, ownMs: (user + system) / 1000 / count };
}

function rowsOf(
  load: Load,
  o: { ours: readonly Figures[]; theirs: readonly Figures[]; counts: ReturnType<typeof noCounts>; given: number },
): readonly Row[] {
  const label = labelOf(load);
  const { counts, given } = o;
  const beside = (name: string, unit: string, figure: (f: Figures) => number): Row => {
    const [value, peer] = [percentile(o.ours.map(figure), 50), percentile(o.theirs.map(figure), 50)];
    return { name: `${label}: ${name}`, value: short(value), unit, peer: short(peer), ratio: short(value / peer), goal: null, ok: null };
  };
  const rate = beside("addresses per second", "1/s", (f) => f.perSecond);
  const goal = load.atOnce === 1 ? 0.5 : 1;
  return [
    { ...rate, goal: `≥ ${goal} × plain transactions at the same concurrency`, ok: (rate.ratio ?? 0) >= goal },
    plain(`${label}: etcd transactions per address, claims of blocks included`, counts.txns / given, "", load.atOnce === 1 ? 1.1 : 0.5),
    plain(`${label}: conflicts per address`, counts.conflicts / given, "", 0.01),
    plain(`${label}: etcd reads per address`, counts.reads / given, ""),
    beside("processor time of etcd per address", "ms", (f) => f.etcdMs),
    beside("processor time of the nodes per address", "ms", (f) => f.ownMs),
  ];
}

function short(value: number): number {
  return Number(value.toPrecision(3));
}
