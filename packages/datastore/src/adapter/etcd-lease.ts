import { performance } from "node:perf_hooks";
import type { EtcdClient } from "./etcd-client.ts";
import { faultOf } from "./etcd-faults.ts";
import type { WatchLog } from "./etcd-watch.ts";
import { pause } from "./pause.ts";

export interface Lease {
  readonly id: string;
  /** Fires no later than the lease's end as etcd counts it. */
  readonly lost: AbortSignal;
  /** Stop renewing and give it back. Never throws: a lease that cannot be revoked ends by itself. */
  release(): Promise<void>;
}

/** How much earlier than etcd we take a lease for ended. */
const MARGIN_MS = 250;

/**
 * Grant a lease and renew it until it is released or lost.
 *
 * The end is counted from when a renewal was *sent*: etcd counts from when it arrived, which is later.
 */
export async function keepLease(
  client: EtcdClient,
  options: { readonly ttlSec: number; readonly log?: WatchLog | undefined },
): Promise<Lease> {
  const sentAt = performance.now();
  const grant = await client.call("grant a lease", "write", (etcd, o) => etcd.leaseClient.leaseGrant({ TTL: options.ttlSec }, o));
  const ttlMs = Number(grant.TTL) * 1000;
  const lost = new AbortController();
  const released = new AbortController();
  const lose = (reason: string) => lost.abort(new Error(`lease ${grant.ID} was lost: ${reason}`));
  const expiry = makeExpiry(() => lose("it could not be renewed in time"));
  expiry.at(sentAt + ttlMs - MARGIN_MS);

  const stop = AbortSignal.any([lost.signal, released.signal, client.closed]);
  void renewUntil(client, { id: grant.ID, everyMs: ttlMs / 4, stop, log: options.log }, (sent, ttlSec) => {
    if (ttlSec <= 0) lose("etcd no longer knows it");
    else expiry.at(sent + ttlSec * 1000 - MARGIN_MS);
  });
  return {
    id: grant.ID,
    lost: lost.signal,
    async release() {
      if (released.signal.aborted) return;
      released.abort();
      expiry.clear();
      lose("it was released");
      try {
        await client.call(`revoke lease ${grant.ID}`, "write", (etcd, o) => etcd.leaseClient.leaseRevoke({ ID: grant.ID }, shorten(o)));
      } catch (error) {
        options.log?.warn("lease not revoked, it ends by itself", { lease: grant.ID, error });
      }
    },
  };
}

/** Giving a lease back is a courtesy; it must not hold up a shutdown. */
function shorten({ deadline }: { deadline: Date }): { deadline: Date } {
  return { deadline: new Date(Math.min(deadline.getTime(), Date.now() + 1000)) };
}

function makeExpiry(onExpired: () => void): { at(whenMs: number): void; clear(): void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return {
    at(whenMs) {
      clearTimeout(timer);
      timer = setTimeout(onExpired, Math.max(0, whenMs - performance.now()));
    },
    clear: () => clearTimeout(timer),
  };
}

interface Renewal {
  readonly id: string;
  readonly everyMs: number;
  readonly stop: AbortSignal;
  readonly log?: WatchLog | undefined;
}

/** Renew over one stream; open another whenever it breaks. */
async function renewUntil(client: EtcdClient, renewal: Renewal, onRenewed: (sentAt: number, ttlSec: number) => void): Promise<void> {
  const { stop, everyMs, log, id } = renewal;
  while (!stop.aborted) {
    try {
      await renewOverOneStream(client, renewal, onRenewed);
    } catch (error) {
      if (faultOf(error) === "lapsed") client.relogin();
      if (!stop.aborted) log?.warn("lease renewal failed, trying again", { lease: id, error });
      await pause(Math.min(everyMs, 200), stop);
    }
  }
}

async function renewOverOneStream(
  client: EtcdClient,
  { id, everyMs, stop }: Renewal,
  onRenewed: (sentAt: number, ttlSec: number) => void,
): Promise<void> {
  const etcd = await client.raw();
  const stream = await etcd.leaseClient.leaseKeepAlive();
  const sent: number[] = [];
  const broken = new AbortController();
  stream.on("error", (error) => broken.abort(error));
  stream.on("end", () => broken.abort(new Error("the renewal stream ended")));
  stream.on("data", (response) => onRenewed(sent.shift() ?? 0, Number(response.TTL)));
  const over = AbortSignal.any([stop, broken.signal]);
  try {
    while (!over.aborted) {
      sent.push(performance.now());
      stream.write({ ID: id });
      await pause(everyMs, over);
    }
  } finally {
    stream.end(); // before cancel: etcd3 takes an error on a writable stream for a dead host
    stream.cancel();
  }
  if (broken.signal.aborted) throw broken.signal.reason;
}
