/**
 * The collector of addresses that nobody has any more. It looks at everything, notes who has no owner and since when, and
 * after the grace looks again, live, before it releases; with the handle and the sequence number of what it saw, so that
 * an address that was given anew is never taken. Every release says why, in the log and on the bus.
 *
 * Source: facts §4.8, §7.6.1.
 */
import type { IpamLibrary } from "@calico/ipam";
import type { KubeClient } from "@calico/kube-client";
import { RESOURCES } from "@calico/kube-client";
import { type Logger, type Metrics, pause } from "@calico/daemon";
import type { Store } from "@calico/datastore";
import { type Gauge, gaugesOf } from "../domain/ipam-gc-gauges.ts";
import { hostsDue, restMs } from "../domain/ipam-gc-hosts.ts";
import { DEFAULT_GRACE_MS, dueHandles, type Judged, type Ledger, nextLedger } from "../domain/ipam-gc-ledger.ts";
import { hostsOf } from "../domain/ipam-gc.ts";
import { namedFacts } from "../domain/facts.ts";
import type { Controller, ControllerPorts, ControllerStatus } from "../ports.ts";
import { follow } from "./follow.ts";
import type { Look } from "./ipam-gc-look.ts";
import { makeObserver } from "./ipam-gc-observer.ts";
import { removeStrays } from "./ipam-gc-strays.ts";
import { giveBackBlocks, releaseHandle, removeHost, sayChanges } from "./ipam-gc-release.ts";

export interface GcPorts {
  readonly kube: Pick<KubeClient, "list" | "watch">;
  readonly store: Pick<Store, "list" | "delete">;
  readonly ipam: Pick<IpamLibrary, "releaseIps" | "utilization" | "removeHost" | "releaseBlockAffinity" | "collectCold">;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, "inc" | "set">;
  /** Says on the bus what was released. */
  readonly event: (subject: string, body: object) => void;
  readonly clock: () => number;
  readonly signal: AbortSignal;
}

export interface GcOptions {
  readonly graceMs: number;
  /** At least this for addresses of virtual machines. */
  readonly machineGraceMs?: number;
  readonly dryRun: boolean;
}

export interface GcStatus extends ControllerStatus {
  readonly lastScan: string | undefined;
  readonly allocations: number;
}

export interface IpamGc extends Controller {
  status(): GcStatus;
  /** One look and what follows from it; rejects when the API or etcd is away, having released nothing on that account. */
  scan(): Promise<void>;
}

const PERIOD_WITHOUT_GRACE_MS = 5 * 60_000;
const RETRY_MS = 10_000;
/** Nodes mostly go several at a time. */
const AFTER_NODE_MS = 1000;

export function makeIpamGc(ports: GcPorts, options: GcOptions): IpamGc {
  let ledger: Ledger = new Map();
  let emptySince: ReadonlyMap<string, number> = new Map();
  let goneSince: ReadonlyMap<string, number> = new Map();
  let straySince: ReadonlyMap<string, number> = new Map();
  let status: GcStatus = { inSync: false, pending: 0, failing: 0, lastScan: undefined, allocations: 0 };
  const { observe, sawNode } = makeObserver(ports, () => {
    ledger = new Map();
    goneSince = new Map();
    straySince = new Map();
  });
  const board = makeBoard(ports.metrics);
  const wake = makeAlarm();
  const periodMs = options.graceMs > 0 ? options.graceMs / 2 : PERIOD_WITHOUT_GRACE_MS;

  async function scan(): Promise<void> {
    const { seen, judged } = await observe();
    const nowMs = ports.clock();
    const before = ledger;
    ledger = nextLedger(ledger, judged, nowMs);
    sayChanges(ports, { before, judged, nowMs });
    const due = dueHandles(judged, { ...options, ledger, nowMs });
    const released =
      due.length === 0
        ? new Set<string>()
        : await confirmAndRelease(new Set(due.map((d) => d.handle ?? `/${d.allocations[0]?.allocation.ip}`)));
    straySince = await removeStrays(ports, { seen, since: straySince, nowMs, ...options });
    emptySince = await giveBackBlocks(ports, { seen, released, emptySince, nowMs, ...options });
    await removeHosts(seen, released, nowMs);
    if (seen.census.cooling > 0 && !options.dryRun) await ports.ipam.collectCold();
    report(seen, judged, released);
  }

  /** Look again: only what has still no owner is released, on what both looks saw. */
  async function confirmAndRelease(suspects: ReadonlySet<string>): Promise<ReadonlySet<string>> {
    const { seen, judged } = await observe();
    const nowMs = ports.clock();
    const due = dueHandles(judged, { ...options, ledger, nowMs });
    const released = new Set<string>();
    for (const handle of due) {
      if (!suspects.has(handle.handle ?? `/${handle.allocations[0]?.allocation.ip}`)) continue;
      for (const id of await releaseHandle(ports, { due: handle, ledger, world: seen.world, nowMs, ...options })) released.add(id);
    }
    return released;
  }

  /** A block that cannot be read may hold anybody's address. */
  async function removeHosts(seen: Look, released: ReadonlySet<string>, nowMs: number): Promise<void> {
    const { allocations, blocks, broken } = seen.census;
    const found = hostsDue(seen.world, {
      ...{ goneSince, nowMs, graceMs: options.graceMs || DEFAULT_GRACE_MS, sawNode },
      claimants: blocks.flatMap((b) => b.host ?? []),
      inUse: new Set(allocations.flatMap((a) => (released.has(a.id) ? [] : hostsOf(a, seen.world)))),
    });
    goneSince = found.goneSince;
    if (broken.length > 0) return;
    for (const host of found.due) await removeHost(ports, { host, since: goneSince.get(host) ?? nowMs, seen, nowMs, ...options });
  }

  function report(seen: Look, judged: readonly Judged[], released: ReadonlySet<string>): void {
    const left = judged.filter(({ allocation }) => !released.has(allocation.id));
    const candidates = new Set(left.flatMap(({ allocation: a, verdict: v }) => (v.kind === "unowned" ? [a.id] : [])));
    const gauges = gaugesOf({ ...seen.census, allocations: left.map((j) => j.allocation) }, { candidates, pools: seen.utilization });
    board.show(gauges);
    const lastScan = new Date(ports.clock()).toISOString();
    status = { inSync: true, pending: candidates.size, failing: 0, lastScan, allocations: left.length };
  }

  const failed = (problem: string) => void (status = { ...status, failing: 1, problems: [problem] });

  return {
    name: "ipam-gc",
    status: () => status,
    scan,
    run: async () =>
      void (await Promise.all([
        scanOften(ports, { scan, failed, restMs: () => restMs(goneSince, { nowMs: ports.clock(), periodMs }), wake }),
        watchNodes(ports, wake),
      ])),
  };
}

type Alarm = ReturnType<typeof makeAlarm>;

type Scanning = {
  readonly scan: () => Promise<void>;
  readonly failed: (problem: string) => void;
  readonly restMs: () => number;
  readonly wake: Alarm;
};

async function scanOften(ports: GcPorts, o: Scanning): Promise<void> {
  while (!ports.signal.aborted) {
    let delayMs: number;
    try {
      await o.scan();
      ports.metrics.inc("ipam_gc_scans_total", { outcome: "ok" });
      delayMs = o.restMs();
    } catch (error) {
      if (ports.signal.aborted) return;
      ports.metrics.inc("ipam_gc_scans_total", { outcome: "failed" });
      o.failed(error instanceof Error ? error.message : String(error));
      delayMs = Math.min(RETRY_MS, o.restMs());
      ports.log.warn("addresses not looked at, nothing released, retrying", { delayMs, error });
    }
    await o.wake.wait(delayMs, ports.signal);
  }
}

async function watchNodes(ports: GcPorts, wake: Alarm): Promise<void> {
  const nodePorts = ports as unknown as ControllerPorts;
  for await (const event of follow(nodePorts, "ipam-gc", { resource: RESOURCES.nodes, project: namedFacts }))
    if (event.kind === "deleted") wake.ring(AFTER_NODE_MS);
}

/** Gauges with labels: those that are not there any more show 0. */
function makeBoard(metrics: GcPorts["metrics"]): { show(gauges: readonly Gauge[]): void } {
  const keyOf = (g: Pick<Gauge, "name" | "labels">) => `${g.name} ${JSON.stringify(g.labels)}`;
  const shown = new Map<string, Pick<Gauge, "name" | "labels">>();
  return {
    show(gauges) {
      const now = new Set(gauges.map(keyOf));
      for (const [key, { name, labels }] of shown) if (!now.has(key)) metrics.set(name, 0, labels);
      for (const gauge of gauges) {
        metrics.set(gauge.name, gauge.value, gauge.labels);
        shown.set(keyOf(gauge), gauge);
      }
    },
  };
}

/** A wait that can be cut short, to a given rest. */
function makeAlarm() {
  let rest: number | undefined;
  let cut: (() => void) | undefined;
  return {
    ring(ms: number) {
      rest = ms;
      cut?.();
    },
    async wait(ms: number, signal: AbortSignal): Promise<void> {
      if (rest === undefined) {
        const rung = new AbortController();
        cut = () => rung.abort();
        await pause(ms, AbortSignal.any([signal, rung.signal]));
      }
      const left = rest;
      rest = undefined;
      cut = undefined;
      if (left !== undefined) await pause(left, signal);
    },
  };
}
