/** The datastore's part of DEL when the datastore is away: put aside, and done when it is back. */
import { StoreUnavailable } from "@calico/datastore";
import type { KeyedLock } from "@calico/ipam";
import { CniFault } from "../domain/fault.ts";
import { parseCall } from "../domain/env.ts";
import { parseNetconf } from "../domain/netconf.ts";
import { queuedDelete, queueName } from "../domain/queued-delete.ts";
import type { QueuedDelete } from "../domain/queued-delete.ts";
import { hostVethOf } from "../domain/workload.ts";
import type { Log, Ports, Settings, WaitingDelete } from "../ports.ts";
import type { Job } from "./add.ts";
import { targetOf } from "./etcd-target.ts";
import { makeStopwatch } from "./stopwatch.ts";
import { containerTurn, deviceTurn } from "./turns.ts";
import { within } from "./within.ts";

/** A datastore that does not answer for this long is away, as far as DEL goes. */
const STORE_MS = 3000;

/** Do it now, or put it aside when the datastore cannot be reached. What goes on then is told to the job. True: done. */
export async function doOrQueue(
  ports: Pick<Ports, "deletes" | "clock">,
  job: Job,
  o: { readonly plugin: QueuedDelete["plugin"]; readonly action: () => Promise<void> },
): Promise<boolean> {
  let action: Promise<void> | undefined;
  try {
    await within(STORE_MS, () => (action = o.action()), tooLate);
    return true;
  } catch (e) {
    if (!(e instanceof StoreUnavailable)) throw e;
    const { conf, call, log } = job;
    const entry = queuedDelete({ plugin: o.plugin, conf, call, now: ports.clock.now() });
    putAside(ports, entry, e);
    log.warn("delete queued", { containerId: call.containerId, plugin: o.plugin, reason: e.message });
    if (action !== undefined) job.onLate?.(action.then(() => ports.deletes.remove(queueName(entry))));
    return false;
  }
}

function tooLate(): StoreUnavailable {
  return new StoreUnavailable(`no answer within ${STORE_MS} ms`, { outcome: "unknown" });
}

function putAside(ports: Pick<Ports, "deletes">, entry: QueuedDelete, why: Error): void {
  let isIn: boolean;
  try {
    isIn = ports.deletes.put(entry);
  } catch (e) {
    throw new CniFault("tryAgain", "the datastore cannot be reached, and the delete cannot be put aside", `${why.message}; ${said(e)}`);
  }
  if (!isIn) throw new CniFault("tryAgain", "the datastore cannot be reached, and too many deletes wait for it already", why.message);
}

export type Settled = { readonly settled: number; readonly left: number };

export type SettleOptions = {
  readonly settings: Settings;
  readonly log: Log;
  readonly locks: KeyedLock;
  readonly act: (plugin: QueuedDelete["plugin"], job: Job) => Promise<void>;
};

/** Try all that wait, each by `act`. One that cannot be done now keeps back only those for the same datastore, if that is away. */
export async function settleDeletes(ports: Pick<Ports, "deletes">, o: SettleOptions): Promise<Settled> {
  const away = new Set<string>();
  const count = { settled: 0, left: 0 };
  for (const waiting of ports.deletes.list()) {
    let isOver = false;
    try {
      isOver = await settleOne(ports, waiting, { ...o, away });
    } catch (e) {
      o.log.warn("queued delete not settled", { name: waiting.name, reason: said(e) });
    }
    count[isOver ? "settled" : "left"]++;
  }
  return count;
}

/** False: it waits on. */
async function settleOne(
  ports: Pick<Ports, "deletes">,
  { name, entry, problem }: WaitingDelete,
  o: SettleOptions & { readonly away: Set<string> },
): Promise<boolean> {
  if (problem !== undefined) throw problem;
  const job = entry === undefined ? undefined : jobOf(entry, o);
  if (entry === undefined || job instanceof Error || job === undefined) {
    giveUp(ports, { name, entry, log: o.log, reason: job ?? new Error("the file is not what was written") });
    return true;
  }
  const target = JSON.stringify(job.target ?? "the agent's own");
  const { call } = job;
  const container = containerTurn(entry.plugin, call.containerId);
  // Who is at work there may take long; an ADD makes the entry void.
  if (o.away.has(target) || o.locks.isHeld(container) || o.locks.isHeld(deviceTurn(hostVethOf(call)))) return false;
  try {
    await within(STORE_MS, () => o.locks.run(container, () => settleHeld(ports, { name, entry, job, ...o })), tooLate);
    return true;
  } catch (e) {
    if (e instanceof StoreUnavailable) o.away.add(target);
    else if (!isForLater(e)) throw e;
    return false;
  }
}

/** Under the container's lock, to the end: no ADD of it is under way, and if one was since the list was read, there is no such entry any more. */
async function settleHeld(
  ports: Pick<Ports, "deletes">,
  o: SettleOptions & { readonly name: string; readonly entry: QueuedDelete; readonly job: Job },
): Promise<void> {
  const { name, entry, job, log } = o;
  if (!ports.deletes.has(name)) return;
  try {
    await o.act(entry.plugin, job);
  } catch (e) {
    if (isForLater(e)) throw e;
    giveUp(ports, { name, entry, log, reason: e });
    return;
  }
  ports.deletes.remove(name);
  log.info("queued delete settled", { containerId: job.call.containerId, queuedAt: entry.queuedAt });
}

function isForLater(e: unknown): boolean {
  return e instanceof StoreUnavailable || (e instanceof CniFault && e.code === 11);
}

/** What can never work would wait for ever; GC finds what it leaves. */
function giveUp(
  ports: Pick<Ports, "deletes">,
  { name, entry, log, reason }: { name: string; entry: QueuedDelete | undefined; log: Log; reason: unknown },
): void {
  log.warn("queued delete given up", { containerId: entry?.env.CNI_CONTAINERID, name, reason: said(reason) });
  ports.deletes.remove(name);
}

function jobOf(entry: QueuedDelete, { settings, log, locks }: SettleOptions): (Job & { readonly target: object | undefined }) | Error {
  try {
    const conf = parseNetconf(JSON.stringify(entry.conf));
    const watch = makeStopwatch(Date.now);
    return { conf, call: parseCall(entry.env), settings, log, locks, watch, target: targetOf(conf) };
  } catch (e) {
    return e instanceof Error ? e : new Error(String(e));
  }
}

function said(e: unknown): string {
  return e instanceof Error ? e.message : String(e);
}
