/** One address where there is much already: by a node that has a block, by one that has none, and by a process that knows nothing. */
import type { Store } from "@calico/datastore";
import { makeIpam } from "@calico/ipam";
import { blockKey, formatCidr, nthIp, parseCidr } from "@calico/model";
import { percentile, plain, type Row, type SuiteOptions } from "../../row.ts";
import { assign, makePeer, noCounts, openNode, openWorld, putPool } from "./world.ts";

const POOLS = 100;
const BLOCKS_PER_POOL = 100;

export async function crowded({ quick, progress }: SuiteOptions): Promise<readonly Row[]> {
  await using world = await openWorld();
  const store = world.stores[0]!;
  const total = await fill(store, progress);
  const counts = noCounts();
  const node = await openNode(world, "measured", { store, counts });
  await assign(node, "first");
  const [known, plainTxn, fresh, cold]: number[][] = [[], [], [], []];
  const each = quick ? 30 : 300;
  counts.written = 0;
  for (let i = 0; i < each; i++) known?.push(await timed(() => assign(node, `k${i}`)));
  const peer = makePeer(store, "measured", counts.written / each);
  counts.reads = 0;
  for (let i = 0; i < each; i++) {
    known?.push(await timed(() => assign(node, `l${i}`)));
    plainTxn?.push(await timed(() => peer(`l${i}`)));
  }
  const readsPerAddress = counts.reads / each;
  for (let i = 0; i < (quick ? 5 : 30); i++) {
    progress(`new nodes and cold processes: ${i}`);
    const newcomer = await openNode(world, `new-${i}`, { store, counts });
    fresh?.push(await timed(() => assign(newcomer, `n${i}`)));
    cold?.push(await timed(() => assign({ name: "measured", ipam: makeIpam({ store }) }, `c${i}`)));
  }
  const measured = (known ?? []).slice(each);
  const [value, base] = [percentile(measured, 50), percentile(plainTxn ?? [], 50)];
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
    plain("the same, p99", percentile(measured, 99), "ms"),
    plain("the same, etcd reads per address, full blocks before the claim of another", readsPerAddress, ""),
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
