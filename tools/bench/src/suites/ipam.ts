/**
 * Addresses per second, and what each costs in etcd. The peer, at the same concurrency and on the same etcd in turns, is
 * the least that any allocator on etcd does: one transaction that compares and writes two keys of the same sizes.
 */
import { openEtcd, type Store, type TxnResult } from "@calico/datastore";
import { startEtcd } from "@calico/datastore/testing";
import { factPrefixes, makeIpam, openMirror, type IpamLibrary } from "@calico/ipam";
import { blockKey, formatCidr, keyOf, nthIp, parseCidr } from "@calico/model";
import { percentile, plain, type Row, type Suite, type SuiteOptions } from "../row.ts";

export const ipam: Suite = {
  description:
    "addresses per second of 1, 16 and 100 nodes, etcd transactions per address, conflicts; one address among 100 pools and 10,000 blocks",
  async run(options) {
    const rows: Row[] = [];
    for (const nodes of [1, 16, 100]) rows.push(...(await throughput(nodes, options)));
    rows.push(...(await crowded(options)));
    return rows;
  },
};

/** Few connections, as many nodes share one etcd but not one socket, and this process is one. */
const CONNECTIONS = 4;

type World = { readonly stores: readonly Store[]; readonly end: AbortController } & AsyncDisposable;

async function openWorld(): Promise<World> {
  const etcd = await startEtcd();
  const stores = Array.from({ length: CONNECTIONS }, () => openEtcd({ endpoints: etcd.endpoints }));
  const end = new AbortController();
  return {
    stores,
    end,
    async [Symbol.asyncDispose]() {
      end.abort();
      await Promise.all(stores.map((s) => s.close()));
      await etcd.stop();
    },
  };
}

type Counts = { txns: number; conflicts: number; reads: number; isOn: boolean };

type Node = { readonly name: string; readonly ipam: IpamLibrary };

/** A node as its daemon is: the library over a mirror of what it decides on. */
async function openNode(world: World, name: string, store: Store, counts: Counts): Promise<Node> {
  const synced = Promise.withResolvers<void>();
  const mirror = openMirror(store, {
    prefixes: factPrefixes(name),
    signal: world.end.signal,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    onChange: () => mirror.inSync() && synced.resolve(),
  });
  await synced.promise;
  const counted = {
    get: (key: string) => ((counts.reads += counts.isOn ? 1 : 0), store.get(key)),
    list: (prefix: string) => ((counts.reads += counts.isOn ? 1 : 0), store.list(prefix)),
    async txn(txn: Parameters<Store["txn"]>[0]): Promise<TxnResult> {
      const done = await mirror.txn(txn);
      counts.txns += counts.isOn ? 1 : 0;
      counts.conflicts += counts.isOn && !done.succeeded ? 1 : 0;
      return done;
    },
  };
  return { name, ipam: makeIpam({ store: counted, reader: mirror }) };
}

const POOL = { cidr: "10.0.0.0/12", blockSize: 26 };

async function putPool(store: Store, name: string, spec: object): Promise<void> {
  await store.put(
    keyOf({ kind: "IPPool", name }),
    JSON.stringify({ kind: "IPPool", apiVersion: "projectcalico.org/v3", metadata: { name }, spec }),
  );
}

async function throughput(count: number, { quick, progress, signal }: SuiteOptions): Promise<readonly Row[]> {
  await using world = await openWorld();
  await putPool(world.stores[0]!, "p", POOL);
  const counts: Counts = { txns: 0, conflicts: 0, reads: 0, isOn: true };
  const nodes = await Promise.all(
    Array.from({ length: count }, (_, i) => openNode(world, `node-${i}`, world.stores[i % CONNECTIONS]!, counts)),
  );
  const peers = nodes.map((node, i) => makePeer(world.stores[i % CONNECTIONS]!, node.name));
  const rounds = quick ? 2 : 6;
  const perNode = Math.min(250, Math.max(10, Math.ceil((quick ? 200 : 1600) / count)));
  const [ours, theirs]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    progress(`${count} nodes: round ${round + 1} of ${rounds}`);
    signal.throwIfAborted();
    ours.push(await rateOf(nodes, perNode, (node, i) => assign(node, `r${round}-${i}`)));
    theirs.push(await rateOf(peers, perNode, (peer, i) => peer(`r${round}-${i}`)));
    counts.isOn = false; // a node has at most 20 blocks: make room for the next round
    await rateOf(nodes, perNode, (node, i) => release(node, `r${round}-${i}`));
    counts.isOn = true;
  }
  const given = rounds * perNode * count;
  const value = percentile(ours, 50);
  const peer = percentile(theirs, 50);
  const label = `${count} node${count === 1 ? "" : "s"}`;
  const ratio = value / peer;
  return [
    {
      name: `${label}: addresses per second`,
      value: Math.round(value),
      unit: "1/s",
      peer: Math.round(peer),
      ratio: Number(ratio.toFixed(2)),
      goal: "≥ 0.5 × plain transactions",
      ok: ratio >= 0.5,
    },
    plain(
      `${label}: etcd transactions per address, claims of blocks included`,
      counts.txns / given,
      "",
      1 + 6 / Math.min(64, rounds * perNode),
    ),
    plain(`${label}: conflicts per address`, counts.conflicts / given, "", 0.01),
    plain(`${label}: etcd reads per address`, counts.reads / given, ""),
  ];
}

async function release(node: Node, id: string): Promise<void> {
  const done = await node.ipam.releaseByHandle(`k8s-pod-network.${node.name}-${id}`);
  if (!done.ok) throw new Error(`Cannot measure: ${done.error.message}`);
}

async function assign(node: Node, id: string): Promise<void> {
  const attrs = { pod: `pod-${id}`, namespace: "default", node: node.name, timestamp: "2026-01-01 00:00:00 +0000 UTC" };
  const got = await node.ipam.autoAssign({ node: node.name, num4: 1, num6: 0, handle: `k8s-pod-network.${node.name}-${id}`, attrs });
  if (!got.ok) throw new Error(`Cannot measure: ${got.error.message}`);
  if (got.value.v4.ips.length !== 1) throw new Error(`Cannot measure: ${got.value.v4.messages.join("; ")}`);
}

/** A worker with a key of its own of a half full block's size, which it compares and writes together with a new handle's. */
function makePeer(store: Store, name: string): (id: string) => Promise<void> {
  const value = "x".repeat(4600);
  let revision = 0;
  return async (id) => {
    const key = `/peer/block/${name}`;
    const handle = `/peer/handle/${name}-${id}`;
    const done = await store.txn({
      compares: [
        { key, target: "modRevision", is: "==", revision },
        { key: handle, target: "modRevision", is: "==", revision: 0 },
      ],
      success: [
        { do: "put", key, value },
        { do: "put", key: handle, value: '{"block":{"10.0.0.0/26":1},"deleted":false}' },
      ],
      failure: [{ do: "get", key }],
    });
    if (!done.succeeded) throw new Error("Cannot measure: the peer met a conflict on its own key");
    revision = done.revision;
  };
}

async function rateOf<W>(workers: readonly W[], each: number, act: (worker: W, i: number) => Promise<void>): Promise<number> {
  const start = performance.now();
  await Promise.all(
    workers.map(async (worker) => {
      for (let i = 0; i < each; i++) await act(worker, i);
    }),
  );
  return (workers.length * each * 1000) / (performance.now() - start);
}

const POOLS = 100;
const BLOCKS_PER_POOL = 100;

/** One address where there is much already: by a node that has a block, by one that has none, and by a process that knows nothing. */
async function crowded({ quick, progress }: SuiteOptions): Promise<readonly Row[]> {
  await using world = await openWorld();
  const store = world.stores[0]!;
  const total = await fill(store, progress);
  const counts: Counts = { txns: 0, conflicts: 0, reads: 0, isOn: true };
  const node = await openNode(world, "measured", store, counts);
  await assign(node, "first");
  const peer = makePeer(store, "measured");
  const [known, plainTxn, fresh, cold]: number[][] = [[], [], [], []];
  for (let i = 0; i < (quick ? 30 : 300); i++) {
    known?.push(await timed(() => assign(node, `k${i}`)));
    plainTxn?.push(await timed(() => peer(`k${i}`)));
  }
  for (let i = 0; i < (quick ? 5 : 30); i++) {
    progress(`new nodes and cold processes: ${i}`);
    const newcomer = await openNode(world, `new-${i}`, store, counts);
    fresh?.push(await timed(() => assign(newcomer, `n${i}`)));
    cold?.push(await timed(() => assign({ name: "measured", ipam: makeIpam({ store }) }, `c${i}`)));
  }
  const [value, base] = [percentile(known ?? [], 50), percentile(plainTxn ?? [], 50)];
  const where = `among ${POOLS} pools and ${total} blocks`;
  return [
    {
      name: `one address of a known block ${where}, p50`,
      value: Number(value.toPrecision(4)),
      unit: "ms",
      peer: Number(base.toPrecision(4)),
      ratio: Number((value / base).toFixed(2)),
      goal: "≤ 2 × a plain transaction",
      ok: value <= 2 * base,
    },
    plain("the same, p99", percentile(known ?? [], 99), "ms"),
    plain(`a node's first address, with the claim of a block, ${where}, p50`, percentile(fresh ?? [], 50), "ms"),
    plain(`one address by a process that has nothing in memory ${where}, p50`, percentile(cold ?? [], 50), "ms"),
  ];
}

async function timed(act: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await act();
  return performance.now() - start;
}

/** Pools, and in each so many empty blocks of other nodes. */
async function fill(store: Store, progress: (text: string) => void): Promise<number> {
  let total = 0;
  for (let p = 0; p < POOLS; p++) {
    progress(`pool ${p + 1} of ${POOLS}`);
    const cidr = parseCidr(`10.${p}.0.0/16`);
    if (!cidr.ok) throw new Error(cidr.error);
    await putPool(store, `pool-${String(p).padStart(3, "0")}`, { cidr: formatCidr(cidr.value), blockSize: 26 });
    for (let b = 0; b < BLOCKS_PER_POOL; b += 50) {
      const ops = Array.from({ length: 50 }, (_, i) => {
        const block = formatCidr({ ...nthIp(cidr.value, BigInt(b + i) * 64n), len: 26 });
        return { do: "put" as const, key: blockKey(block), value: emptyBlock(block, `other-${(b + i) % 50}`) };
      });
      await store.txn({ compares: [], success: ops });
      total += ops.length;
    }
  }
  return total;
}

function emptyBlock(cidr: string, node: string): string {
  return JSON.stringify({
    ...{ cidr, affinity: `host:${node}`, affinity_claim_time: "2026-01-01T00:00:00Z" },
    ...{ allocations: Array<null>(64).fill(null), unallocated: Array.from({ length: 64 }, (_, i) => i), attributes: [] },
    ...{ sequenceNumber: 1, sequenceNumberForAllocation: {}, deleted: false },
  });
}
