/** The datastore's part of DEL when the datastore is away: put aside, and done when it is back. */
import { StoreUnavailable } from "@calico/datastore";
import { CniFault } from "../domain/fault.ts";
import { parseCall } from "../domain/env.ts";
import { parseNetconf } from "../domain/netconf.ts";
import { queuedDelete } from "../domain/queued-delete.ts";
import type { QueuedDelete } from "../domain/queued-delete.ts";
import type { Log, Ports, Settings } from "../ports.ts";
import type { Job } from "./add.ts";
import { makeStopwatch } from "./stopwatch.ts";
import { within } from "./within.ts";

/** A datastore that does not answer for this long is away, as far as DEL goes. */
const STORE_MS = 3000;

/** Do it now, or put it aside when the datastore cannot be reached. True: done. */
export async function doOrQueue(
  ports: Pick<Ports, "deletes" | "clock">,
  { conf, call, log }: Job,
  o: { readonly plugin: QueuedDelete["plugin"]; readonly action: () => Promise<void> },
): Promise<boolean> {
  try {
    await within(STORE_MS, o.action, () => new StoreUnavailable(`no answer within ${STORE_MS} ms`, { outcome: "unknown" }));
    return true;
  } catch (e) {
    if (!(e instanceof StoreUnavailable)) throw e;
    if (!ports.deletes.put(queuedDelete({ plugin: o.plugin, conf, call, now: ports.clock.now() })))
      throw new CniFault("tryAgain", "the datastore cannot be reached, and too many deletes wait for it already", e.message);
    log.warn("delete queued", { containerId: call.containerId, plugin: o.plugin, reason: e.message });
    return false;
  }
}

export type Settled = { readonly settled: number; readonly left: number };

/** Try all that wait, each by `act`; the datastore being away ends the round. */
export async function settleDeletes(
  ports: Pick<Ports, "deletes">,
  o: { readonly settings: Settings; readonly log: Log; readonly act: (plugin: QueuedDelete["plugin"], job: Job) => Promise<void> },
): Promise<Settled> {
  let settled = 0;
  const waiting = ports.deletes.list();
  for (const { name, entry } of waiting) {
    const watch = makeStopwatch(Date.now);
    const containerId = entry?.env.CNI_CONTAINERID;
    try {
      if (entry === undefined) throw new Error("the file is not what was written");
      const job = { conf: parseNetconf(JSON.stringify(entry.conf)), call: parseCall(entry.env), settings: o.settings, log: o.log, watch };
      await within(
        STORE_MS,
        () => o.act(entry.plugin, job),
        () => new StoreUnavailable(`no answer within ${STORE_MS} ms`, { outcome: "unknown" }),
      );
      o.log.info("queued delete settled", { containerId, queuedAt: entry.queuedAt });
    } catch (e) {
      const reason = e instanceof Error ? e.message : String(e);
      if (e instanceof StoreUnavailable || (e instanceof CniFault && e.code === 11)) return { settled, left: waiting.length - settled };
      // What can never work would wait for ever; GC finds what it leaves.
      o.log.warn("queued delete given up", { containerId, name, reason });
    }
    ports.deletes.remove(name);
    settled++;
  }
  return { settled, left: 0 };
}
