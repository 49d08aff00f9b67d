import { Buffer } from "node:buffer";
import { ELECTION_PREFIX } from "../domain/election-prefix.ts";
import type { KeyValue, Leadership } from "../ports.ts";
import type { EtcdClient } from "./etcd-client.ts";
import { decodeKeyValue, rangeEnd } from "./etcd-kv.ts";
import { keepLease, type Lease } from "./etcd-lease.ts";
import { watchEtcd, type WatchLog } from "./etcd-watch.ts";
import { pause } from "./pause.ts";

/** etcd looks for dead leases twice a second, so a standby has won 2.0 to 2.5 s after a leader's death. */
const TTL_SEC = 2;
const RETRY_MS = 300;

interface Candidacy {
  readonly name: string;
  readonly id: string;
  readonly signal: AbortSignal;
  readonly log?: WatchLog | undefined;
}

/**
 * Leader election: a key per candidate, bound to a lease; the oldest key leads.
 *
 * Source: etcd client/v3/concurrency (election.go): the order of create revisions is the queue.
 */
export async function electEtcd(client: EtcdClient, candidacy: Candidacy): Promise<Leadership> {
  const { name, signal, log } = candidacy;
  for (;;) {
    signal.throwIfAborted();
    try {
      const won = await campaign(client, candidacy);
      if (won !== undefined) return won;
      log?.warn("candidacy lapsed, trying again", { election: name });
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      log?.warn("election failed, trying again", { election: name, error });
    }
    await pause(RETRY_MS, signal);
  }
}

/** One lease's candidacy, from grant to victory; undefined if the lease ended first. */
async function campaign(client: EtcdClient, { name, id, signal, log }: Candidacy): Promise<Leadership | undefined> {
  const prefix = `${ELECTION_PREFIX}${name}/`;
  const lease = await keepLease(client, { ttlSec: TTL_SEC, log });
  let kept = false;
  try {
    const epoch = await enter(client, { key: `${prefix}${lease.id}`, id, lease });
    const stop = AbortSignal.any([signal, lease.lost]);
    await untilFirst(client, { prefix, id, epoch, stop, log });
    signal.throwIfAborted();
    if (lease.lost.aborted) return undefined;
    kept = true;
    return { lost: lease.lost, epoch, resign: () => lease.release() };
  } finally {
    if (!kept) await lease.release();
  }
}

async function enter(client: EtcdClient, o: { key: string; id: string; lease: Lease }): Promise<number> {
  const request = { key: Buffer.from(o.key), value: Buffer.from(o.id), lease: o.lease.id };
  const response = await client.call(`enter the election as ${o.key}`, "write", (etcd, options) => etcd.kv.put(request, options));
  return Number(response.header.revision);
}

/** Resolves when no older candidate is left, or `stop` fires. */
async function untilFirst(
  client: EtcdClient,
  { prefix, id, epoch, stop, log }: { prefix: string; id: string; epoch: number; stop: AbortSignal; log?: WatchLog | undefined },
): Promise<void> {
  for (;;) {
    if (stop.aborted) return;
    const { older, revision } = await olderCandidates(client, prefix, epoch);
    const others = older.filter((candidate) => candidate.value !== id);
    // An older one with our id is ourselves under a lease that we lost: nobody leads by it.
    for (const { key, value } of older) if (value === id) await withdraw(client, key);
    if (others.length === 0) return;
    const left = new AbortController();
    const changes = watchEtcd(client, prefix, { fromRevision: revision + 1, signal: AbortSignal.any([stop, left.signal]), log });
    for await (const change of changes) {
      if (change.kind === "delete" || change.kind === "compacted") break;
    }
    left.abort();
  }
}

async function olderCandidates(client: EtcdClient, prefix: string, epoch: number): Promise<{ older: KeyValue[]; revision: number }> {
  const request = { key: Buffer.from(prefix), range_end: rangeEnd(prefix), max_create_revision: epoch - 1 };
  const response = await client.call(`list the candidates of ${prefix}`, "read", (etcd, options) => etcd.kv.range(request, options));
  return { older: response.kvs.map(decodeKeyValue), revision: Number(response.header.revision) };
}

async function withdraw(client: EtcdClient, key: string): Promise<void> {
  await client.call(`withdraw the candidate ${key}`, "write", (etcd, options) => etcd.kv.deleteRange({ key: Buffer.from(key) }, options));
}
