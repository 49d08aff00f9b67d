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
import type { Session } from "../domain/fsm/state.ts";
import { desireOf } from "../domain/kernel/desire.ts";
import { NO_REACHABILITY } from "../domain/kernel/next-hop.ts";
import type { Reachability } from "../domain/kernel/next-hop.ts";
import type { Entry } from "../domain/recorder.ts";
import { makeRestartTracker } from "../domain/restart.ts";
import { makeExportFilter } from "../domain/rib/export.ts";
import { machineConfigOf, passesOn, routingConfigOf } from "../domain/rib/peer-config.ts";
import { Routing } from "../domain/rib/routing.ts";
import type { SpeakerView } from "../domain/status.ts";
import type { Cancel, Clock, Conn, RouteKernel, Transport } from "../ports.ts";
import { KernelLoop } from "./kernel-loop.ts";
import { makeListening } from "./listening.ts";
import type { Listening } from "./listening.ts";
import { PeerRunner } from "./peer-runner.ts";
import type { PeerHooks } from "./peer-runner.ts";
import { makeRouteTable } from "./route-table.ts";
import type { ApplyReport, RouteTable } from "./route-table.ts";
import { StaleTimers } from "./stale-timers.ts";

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

/** Changes that come together are told together. */
const FLUSH_MS = 5;

export class Speaker {
  readonly #options: SpeakerOptions;
  readonly #routing = new Routing({ holdEndOfRib: true });
  readonly #table: RouteTable;
  readonly #loop: KernelLoop;
  readonly #listening: Listening;
  readonly #tracker = makeRestartTracker();
  readonly #peers = new Map<string, PeerRunner>();
  readonly #stale: StaleTimers;
  #plan: Plan | undefined;
  #reach: Reachability = NO_REACHABILITY;
  #flushing: Cancel | undefined;
  #deferral: Cancel | undefined;
  #restartOver = false;

  constructor(options: SpeakerOptions) {
    const { kernel, clock, log, transport, onApplied } = options;
    this.#options = options;
    this.#table = makeRouteTable(kernel, log);
    this.#listening = makeListening({ transport, clock, log, accepted: (conn) => this.#accept(conn) });
    this.#loop = new KernelLoop({ kernel, table: this.#table, clock, log, onReach: (reach) => this.#setReach(reach), onApplied });
    this.#stale = new StaleTimers(clock, (peer) => this.#staleExpired(peer));
  }

  /** First read of the kernel. Nothing is written before the first plan. */
  start(signal: AbortSignal): Promise<void> {
    return this.#loop.start(signal);
  }

  /** The whole of what is wanted now. */
  setPlan(plan: Plan): void {
    const before = this.#plan;
    this.#plan = plan;
    if (plan.disabled !== undefined && before?.disabled !== plan.disabled)
      this.#options.log.warn("bgp is not spoken", { cause: plan.disabled });
    this.#syncPeers(plan, before);
    if (plan.disabled === undefined) {
      if (this.#deferral === undefined) this.#beginRecovery(plan);
      this.#listening.want(plan.listen);
      this.#tracker.expect(plan.peers.filter((peer) => peer.blocked === undefined).map((peer) => peer.id));
    }
    this.#routing.setOriginated(plan.originated);
    this.#routing.setExportFilter(makeExportFilter(plan));
    if (!passesOn(plan)) this.#routing.releaseEndOfRib();
    this.#checkRestart();
    this.#wantAll();
    this.#flushSoon();
  }

  view(): SpeakerView {
    const peers = [...this.#peers.values()].map(({ plan, state, sinceMs }) => ({ plan, state, sinceMs, stale: this.#stale.runs(plan.id) }));
    return {
      plan: this.#plan,
      restarting: this.#tracker.restarting,
      waitingFor: this.#tracker.waitingFor(),
      listening: this.#listening.state(),
      peers,
      routing: this.#routing,
      kernel: { ...this.#table.counts(), failures: this.#table.failures() },
      wanted: (prefix) => this.#table.wanted(prefix),
      nowMs: this.#options.clock.now(),
    };
  }

  /** The last events of a peer, by id or address; undefined if there is no such peer. */
  history(address: string): readonly Entry[] | undefined {
    return (this.#peers.get(address) ?? this.#peerAt(address))?.history;
  }

  /** End as a restart begins: no farewell, no route touched, so that peers and kernel go on until we are back. */
  async close(): Promise<void> {
    this.#flushing?.();
    this.#deferral?.();
    this.#stale.stopAll();
    for (const runner of this.#peers.values()) runner.abandon();
    await this.#listening.close();
  }

  #syncPeers(plan: Plan, before: Plan | undefined): void {
    const wanted = new Map(plan.peers.map((peer) => [peer.id, peer]));
    const sameSelf = before?.routerId === plan.routerId && before.address === plan.address && before.clusterId === plan.clusterId;
    for (const [id, runner] of this.#peers) {
      if (sameSelf && deepEqual(wanted.get(id), runner.plan)) continue;
      this.#peers.delete(id);
      runner.stop(wanted.has(id) ? CEASE_ADMINISTRATIVE_SHUTDOWN : CEASE_PEER_DECONFIGURED);
      this.#stale.stop(id);
      this.#routing.forget(id);
      this.#options.log.info("peer removed", { peer: id });
    }
    for (const [id, peer] of wanted) if (!this.#peers.has(id)) this.#addPeer(peer, plan);
  }

  #addPeer(peer: PeerPlan, plan: Plan): void {
    const { transport, clock, log } = this.#options;
    const config = () => machineConfigOf(peer, this.#plan ?? plan, this.#tracker.restarting);
    const runner = new PeerRunner({ plan: peer, source: plan.address, config, transport, clock, log, hooks: this.#hooksOf(peer) });
    this.#peers.set(peer.id, runner);
    log.info("peer added", { peer: peer.id, type: peer.type, as: peer.peerAs, passive: peer.passive, blocked: peer.blocked });
    if (peer.blocked === undefined) runner.start();
  }

  #hooksOf(peer: PeerPlan): PeerHooks {
    const { id } = peer;
    return {
      sessionUp: (session) => this.#sessionUp(peer, session),
      sessionDown: (graceful, cause) => this.#sessionDown(id, graceful, cause),
      update: (update) => this.#takeUpdate(id, update),
      refresh: (family) => {
        this.#routing.resend(id, family);
        this.#flushSoon();
      },
      counted: (what) => this.#options.counted(what, id),
    };
  }

  #sessionUp(peer: PeerPlan, session: Session): void {
    const { log, clock, counted } = this.#options;
    if (this.#plan === undefined) return;
    log.info("session up", { peer: peer.id, routerId: session.peerRouterId, gracefulRestart: session.gracefulRestart !== undefined });
    counted("sessionUp", peer.id);
    const config = routingConfigOf(peer, this.#plan, this.#reach.ownAddresses);
    this.#stale.apply(peer.id, this.#routing.sessionUp(peer.id, session, config, clock.now()));
    if (session.gracefulRestart === undefined) this.#tracker.settled(peer.id);
    this.#checkRestart();
    this.#flushSoon();
  }

  #sessionDown(id: string, graceful: boolean, cause: string): void {
    this.#options.log.warn("session down", { peer: id, cause, routesKept: graceful });
    this.#options.counted("sessionDown", id);
    this.#stale.apply(id, this.#routing.sessionDown(id, graceful, this.#options.clock.now()));
    this.#flushSoon();
  }

  #takeUpdate(id: string, update: Update): void {
    const { refused, endOfRib, timer } = this.#routing.take(id, update);
    this.#stale.apply(id, timer);
    if (refused !== undefined) this.#options.log.debug("routes refused", { peer: id, why: refused });
    if (endOfRib === 4) this.#tracker.settled(id);
    this.#checkRestart();
    this.#flushSoon();
  }

  #staleExpired(id: string): void {
    this.#options.log.warn("stale routes removed", { peer: id, count: this.#routing.staleExpired(id) });
    this.#flushSoon();
  }

  /** No longer than peers keep our routes for. Source: RFC 4724 §4.1 (Selection_Deferral_Timer). */
  #beginRecovery(plan: Plan): void {
    const sec = Math.max(0, ...plan.peers.map((peer) => peer.restartTimeSec));
    this.#deferral = this.#options.clock.after(sec * 1000, () => this.#endRestart("time"));
  }

  #checkRestart(): void {
    if (!this.#tracker.restarting) this.#endRestart("complete");
  }

  /** Every peer has told its table, or the time for it is over: what nobody told of goes. */
  #endRestart(reason: "complete" | "time"): void {
    if (this.#restartOver || this.#plan?.disabled !== undefined) return;
    this.#restartOver = true;
    this.#options.log.info("routes recovered", { reason, waitingFor: this.#tracker.waitingFor() });
    this.#tracker.expire();
    this.#deferral?.();
    this.#flush();
    this.#table.releaseInherited();
    this.#routing.releaseEndOfRib();
    this.#flushSoon();
  }

  #setReach(reach: Reachability): void {
    if (deepEqual(reach, this.#reach)) return;
    this.#reach = reach;
    this.#wantAll();
  }

  #want(prefix: string): void {
    if (this.#plan === undefined) return;
    const desire = desireOf(prefix, this.#routing.rib.best(prefix), { plan: this.#plan, reach: this.#reach });
    const route = desire.kind === "route" ? desire.route : undefined;
    if (!deepEqual(route, this.#table.wanted(prefix))) this.#table.want(prefix, route);
  }

  #wantAll(): void {
    for (const prefix of this.#routing.rib.prefixes()) this.#want(prefix);
    if (this.#plan !== undefined) this.#loop.poke();
  }

  #flushSoon(): void {
    this.#flushing ??= this.#options.clock.after(FLUSH_MS, () => this.#flush());
  }

  #flush(): void {
    this.#flushing?.();
    this.#flushing = undefined;
    const { outgoing, changed } = this.#routing.flush();
    for (const prefix of changed) this.#want(prefix);
    for (const { peer, updates } of outgoing) this.#peers.get(peer)?.send(updates);
    if (this.#plan !== undefined) this.#loop.poke();
    this.#options.onChange();
  }

  #peerAt(address: string): PeerRunner | undefined {
    return [...this.#peers.values()].find(({ plan }) => plan.address === address);
  }

  #accept(conn: Conn): void {
    const runner = this.#peerAt(conn.remoteAddress);
    if (runner !== undefined && runner.plan.blocked === undefined) return runner.accept(conn);
    this.#options.log.warn("connection refused", { from: conn.remoteAddress, cause: "it is no peer of this node" });
    const bye = { type: "notification", code: CEASE_CONNECTION_REJECTED, data: new Uint8Array(0) } as const;
    for (const frame of encodeMessage(bye, { as4: true, ibgp: false })) conn.write(frame);
    conn.close();
  }
}
