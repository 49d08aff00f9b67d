/**
 * The speaker of one node: its plan becomes peers and originated routes, sessions feed the tables, the tables feed peers
 * and the kernel. Sessions, tables and decisions are in domain/; this file connects them to time and to the world.
 */
import type { Logger } from "@calico/daemon";
import { encodeMessage } from "../domain/codec/message.ts";
import { CEASE_ADMINISTRATIVE_SHUTDOWN, CEASE_CONNECTION_REJECTED, CEASE_PEER_DECONFIGURED } from "../domain/codec/error.ts";
import type { Update } from "../domain/codec/update.ts";
import type { Plan } from "../domain/config/plan.ts";
import type { PeerPlan } from "../domain/config/topology.ts";
import { deepEqual } from "../domain/deep-equal.ts";
import type { PeerConfig, Session } from "../domain/fsm/state.ts";
import { desireOf } from "../domain/kernel/desire.ts";
import { NO_REACHABILITY } from "../domain/kernel/next-hop.ts";
import type { Reachability } from "../domain/kernel/next-hop.ts";
import type { Entry } from "../domain/recorder.ts";
import { makeRestartTracker } from "../domain/restart.ts";
import { makeExportFilter } from "../domain/rib/export.ts";
import { makeRouting } from "../domain/rib/routing.ts";
import type { PeerRoutingConfig, StaleTimer } from "../domain/rib/routing.ts";
import type { SpeakerView } from "../domain/status.ts";
import type { Cancel, Clock, Conn, RouteKernel, Transport } from "../ports.ts";
import { makeKernelLoop } from "./kernel-loop.ts";
import { makeListening } from "./listening.ts";
import { makePeerRunner } from "./peer-runner.ts";
import type { PeerRunner } from "./peer-runner.ts";
import { makeRouteTable } from "./route-table.ts";
import type { ApplyReport } from "./route-table.ts";

export type SpeakerOptions = {
  readonly transport: Transport;
  readonly kernel: RouteKernel;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onApplied: (report: ApplyReport, kernelMs: number, repaired: readonly string[]) => void;
  /** Something that status shows has changed. */
  readonly onChange: () => void;
  readonly counted: (what: "messagesIn" | "messagesOut" | "faults" | "sessionUp" | "sessionDown", peer: string) => void;
};

export interface Speaker {
  /** First read of the kernel. Nothing is written before the first plan. */
  start(signal: AbortSignal): Promise<void>;
  /** The whole of what is wanted now. */
  setPlan(plan: Plan): void;
  view(): SpeakerView;
  history(address: string): readonly Entry[] | undefined;
  /** End as a restart begins: no farewell, no route touched, so that peers and kernel go on until we are back. */
  close(): Promise<void>;
}

/** Changes that come together are told together. */
const FLUSH_MS = 5;

export function makeSpeaker(options: SpeakerOptions): Speaker {
  const { clock, log, transport } = options;
  const routing = makeRouting({ holdEndOfRib: true });
  const table = makeRouteTable(options.kernel, log);
  const tracker = makeRestartTracker();
  const peers = new Map<string, PeerRunner>();
  const staleTimers = new Map<string, Cancel>();
  const listening = makeListening({ transport, clock, log, accepted: acceptConn });
  const loop = makeKernelLoop({ kernel: options.kernel, table, clock, log, onReach: setReach, onApplied: options.onApplied });
  let plan: Plan | undefined;
  let reach: Reachability = NO_REACHABILITY;
  let flushing: Cancel | undefined;
  let deferral: Cancel | undefined;
  let restartOver = false;

  function setPlan(next: Plan): void {
    const before = plan;
    plan = next;
    if (next.disabled !== undefined && before?.disabled !== next.disabled) log.warn("bgp is not spoken", { cause: next.disabled });
    syncPeers(next, before);
    if (before === undefined)
      deferral = clock.after(1000 * Math.max(0, ...next.peers.map((p) => p.restartTimeSec)), () => endRestart("time"));
    if (next.disabled === undefined) {
      listening.want(next.listen);
      tracker.expect(next.peers.filter((peer) => peer.blocked === undefined).map((peer) => peer.id));
    }
    routing.setOriginated(next.originated);
    routing.setExportFilter(makeExportFilter(next));
    if (!passesOn(next)) routing.releaseEndOfRib();
    checkRestart();
    wantAll();
    flushSoon();
  }

  function syncPeers(next: Plan, before: Plan | undefined): void {
    const wanted = new Map(next.peers.map((peer) => [peer.id, peer]));
    const sameSelf = before?.routerId === next.routerId && before.address === next.address && before.clusterId === next.clusterId;
    for (const [id, runner] of peers) {
      if (sameSelf && deepEqual(wanted.get(id), runner.plan)) continue;
      peers.delete(id);
      runner.stop(wanted.has(id) ? CEASE_ADMINISTRATIVE_SHUTDOWN : CEASE_PEER_DECONFIGURED);
      stopStaleTimer(id);
      routing.forget(id);
      log.info("peer removed", { peer: id });
    }
    for (const [id, peer] of wanted) if (!peers.has(id)) addPeer(peer);
  }

  function addPeer(peer: PeerPlan): void {
    const { id } = peer;
    const runner = makePeerRunner({
      plan: peer,
      source: plan?.address ?? "",
      config: () => machineConfig(peer),
      transport,
      clock,
      log,
      hooks: {
        sessionUp: (session) => sessionUp(peer, session),
        sessionDown: (graceful, cause) => sessionDown(id, graceful, cause),
        update: (update) => takeUpdate(id, update),
        refresh: (family) => {
          routing.resend(id, family);
          flushSoon();
        },
        counted: (what) => options.counted(what, id),
      },
    });
    peers.set(id, runner);
    log.info("peer added", { peer: id, type: peer.type, as: peer.peerAs, passive: peer.passive, blocked: peer.blocked });
    if (peer.blocked === undefined) runner.start();
  }

  function machineConfig(peer: PeerPlan): PeerConfig {
    const { localAs, peerAs, passive, holdTimeSec, keepaliveTimeSec, restartTimeSec } = peer;
    return {
      localAs,
      peerAs,
      routerId: plan?.routerId ?? "",
      passive,
      families: [4],
      holdTimeSec,
      restartTimeSec,
      restarting: tracker.restarting,
      ...(keepaliveTimeSec === undefined ? {} : { keepaliveTimeSec }),
    };
  }

  function routingConfig(peer: PeerPlan): PeerRoutingConfig {
    const clusterId = plan?.clusterId === undefined ? {} : { clusterId: plan.clusterId };
    const localAddress = plan?.address ?? "";
    const { id, localAs, nextHopMode, rrClient, address, allowLocalAs } = peer;
    return {
      address,
      client: rrClient,
      export: { id, localAs, ibgp: localAs === peer.peerAs, localAddress, nextHopMode, rrClient, ...clusterId },
      imports: {
        localAs,
        routerId: plan?.routerId ?? "",
        localAddresses: [localAddress, ...reach.ownAddresses],
        allowLocalAs,
        ...clusterId,
      },
    };
  }

  function sessionUp(peer: PeerPlan, session: Session): void {
    log.info("session up", { peer: peer.id, routerId: session.peerRouterId, gracefulRestart: session.gracefulRestart !== undefined });
    options.counted("sessionUp", peer.id);
    setStaleTimer(peer.id, routing.sessionUp(peer.id, session, routingConfig(peer), clock.now()));
    if (!tracker.up(peer.id, session).tellsEnd) tracker.settled(peer.id);
    checkRestart();
    flushSoon();
  }

  function sessionDown(id: string, graceful: boolean, cause: string): void {
    log.warn("session down", { peer: id, cause, routesKept: graceful });
    options.counted("sessionDown", id);
    setStaleTimer(id, routing.sessionDown(id, graceful, clock.now()));
    flushSoon();
  }

  function takeUpdate(id: string, update: Update): void {
    const { refused, endOfRib, timer } = routing.take(id, update);
    setStaleTimer(id, timer);
    if (refused !== undefined) log.debug("routes refused", { peer: id, why: refused });
    if (endOfRib === 4) tracker.settled(id);
    checkRestart();
    flushSoon();
  }

  function setStaleTimer(id: string, timer: StaleTimer): void {
    if (timer.do === "keep") return;
    stopStaleTimer(id);
    if (timer.do === "clear") return;
    const expire = () => {
      staleTimers.delete(id);
      log.warn("stale routes removed", { peer: id, count: routing.staleExpired(id) });
      flushSoon();
    };
    staleTimers.set(id, clock.after(timer.sec * 1000, expire));
  }

  function stopStaleTimer(id: string): void {
    staleTimers.get(id)?.();
    staleTimers.delete(id);
  }

  function checkRestart(): void {
    if (!tracker.restarting) endRestart("complete");
  }

  /** Every peer has told its table, or the time for it is over: what nobody told of goes. */
  function endRestart(reason: "complete" | "time"): void {
    if (restartOver) return;
    restartOver = true;
    log.info("routes recovered", { reason, waitingFor: tracker.waitingFor() });
    tracker.expire();
    deferral?.();
    flush();
    table.releaseInherited();
    routing.releaseEndOfRib();
    flushSoon();
  }

  function setReach(next: Reachability): void {
    if (deepEqual(next, reach)) return;
    reach = next;
    wantAll();
  }

  function want(prefix: string): void {
    if (plan === undefined) return;
    const desire = desireOf(prefix, routing.rib.best(prefix), { plan, reach });
    const route = desire.kind === "route" ? desire.route : undefined;
    if (!deepEqual(route, table.wanted(prefix))) table.want(prefix, route);
  }

  function wantAll(): void {
    for (const prefix of routing.rib.prefixes()) want(prefix);
    loop.poke();
  }

  function flushSoon(): void {
    flushing ??= clock.after(FLUSH_MS, flush);
  }

  function flush(): void {
    flushing?.();
    flushing = undefined;
    const { outgoing, changed } = routing.flush();
    for (const prefix of changed) want(prefix);
    for (const { peer, updates } of outgoing) peers.get(peer)?.send(updates);
    if (plan !== undefined) loop.poke();
    options.onChange();
  }

  function acceptConn(conn: Conn): void {
    const runner = [...peers.values()].find((peer) => peer.plan.address === conn.remoteAddress && peer.plan.blocked === undefined);
    if (runner !== undefined) return runner.accept(conn);
    log.warn("connection refused", { from: conn.remoteAddress, cause: "it is no peer of this node" });
    const bye = { type: "notification", code: CEASE_CONNECTION_REJECTED, data: new Uint8Array(0) } as const;
    for (const frame of encodeMessage(bye, { as4: true, ibgp: false })) conn.write(frame);
    conn.close();
  }

  return {
    start: (signal) => loop.start(signal),
    setPlan,
    view: () => ({
      plan,
      restarting: tracker.restarting,
      waitingFor: tracker.waitingFor(),
      listening: listening.state(),
      peers: [...peers.values()].map((runner) => ({
        plan: runner.plan,
        state: runner.state(),
        sinceMs: runner.sinceMs(),
        stale: staleTimers.has(runner.plan.id),
      })),
      routing,
      kernel: { ...table.counts(), failures: table.failures() },
      wanted: (prefix) => table.wanted(prefix),
      nowMs: clock.now(),
    }),
    history: (address) => (peers.get(address) ?? [...peers.values()].find((p) => p.plan.address === address))?.history(),
    async close() {
      flushing?.();
      deferral?.();
      for (const cancel of staleTimers.values()) cancel();
      for (const runner of peers.values()) runner.abandon();
      await listening.close();
    },
  };
}

/** Whether peers are told of other peers' routes: then our End-of-RIB has to wait for theirs. */
function passesOn(plan: Plan): boolean {
  return plan.clusterId !== undefined || plan.peers.some((peer) => peer.peerAs !== peer.localAs);
}
