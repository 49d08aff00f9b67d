/**
 * The routing core: sessions and their updates in, updates to send and changed prefixes out. Synchronous and pure of I/O;
 * it holds the tables and knows graceful restart from both sides.
 *
 * Helper side: a peer's routes stay, marked stale, from the loss of a session until its End-of-RIB or its restart time.
 * Deviation: a second loss before End-of-RIB does not drop the stale routes (RFC 4724 §4.2 says it must): a speaker that
 * restarts twice would take its node's traffic down though its kernel forwards. A deadline counted from the first loss
 * bounds the whole.
 *
 * Source: RFC 4724 §4, RFC 4271 §9.
 */
import type { Family, Prefix } from "../codec/prefix.ts";
import type { Update } from "../codec/update.ts";
import type { Session } from "../fsm/state.ts";
import { makeAdjRibOut } from "./adj-rib-out.ts";
import type { AdjRibOut } from "./adj-rib-out.ts";
import type { ExportFilter, ExportPeer } from "./export.ts";
import { refuseImport } from "./import.ts";
import type { ImportRules } from "./import.ts";
import type { Path, PathSource, PeerId } from "./path.ts";
import { makeRib } from "./rib.ts";
import type { Rib } from "./rib.ts";

/** What routing has to know of a peer when its session comes up. */
export type PeerRoutingConfig = {
  readonly export: ExportPeer;
  readonly imports: ImportRules;
  readonly address: string;
  readonly client: boolean;
};

export type Outgoing = { readonly peer: PeerId; readonly updates: readonly Update[] };

/** What to do after a flush: tell peers, and look again at prefixes in the kernel. */
export type Flush = { readonly outgoing: readonly Outgoing[]; readonly changed: ReadonlySet<Prefix> };

/** When a peer's stale routes go: never, or after so many seconds from now. */
export type StaleTimer = { readonly do: "keep" } | { readonly do: "clear" } | { readonly do: "start"; readonly sec: number };

/** After a peer is back, how long its stale routes may wait for End-of-RIB. */
export const STALE_SEC = 360;

type Live = {
  readonly session: Session;
  readonly config: PeerRoutingConfig;
  readonly out: AdjRibOut;
  /** Families that need the whole table, and an End-of-RIB after it. */
  readonly fresh: Set<Family>;
  readonly owedEndOfRib: Set<Family>;
};

/** Families that have stale routes, and when they go at the latest. */
type Stale = { readonly families: readonly Family[]; readonly untilMs: number };

export class Routing {
  readonly rib: Rib = makeRib();
  readonly #live = new Map<PeerId, Live>();
  readonly #stale = new Map<PeerId, Stale>();
  #filter: ExportFilter = () => false;
  #filterChanged = false;
  #holdEndOfRib: boolean;

  /** `holdEndOfRib`: we restart and may pass routes of others on, so End-of-RIB waits for releaseEndOfRib. */
  constructor(options: { readonly holdEndOfRib: boolean }) {
    this.#holdEndOfRib = options.holdEndOfRib;
  }

  setOriginated(prefixes: ReadonlySet<Prefix>): void {
    this.rib.setLocal(prefixes);
  }

  setExportFilter(filter: ExportFilter): void {
    this.#filter = filter;
    this.#filterChanged = true;
  }

  sessionUp(peer: PeerId, session: Session, config: PeerRoutingConfig, nowMs: number): StaleTimer {
    const out = makeAdjRibOut(config.export, session.families);
    this.#live.set(peer, { session, config, out, fresh: new Set(session.families), owedEndOfRib: new Set(session.families) });
    const stale = this.#stale.get(peer);
    if (stale === undefined) return { do: "keep" };
    const kept = (session.gracefulRestart?.families ?? []).filter((f) => f.forwarding).map((f) => f.family);
    const lost = stale.families.filter((family) => !kept.includes(family));
    const ended = this.#endStale(peer, lost);
    return ended.do === "clear" ? ended : startStale(stale, STALE_SEC, nowMs);
  }

  sessionDown(peer: PeerId, graceful: boolean, nowMs: number): StaleTimer {
    const restart = this.#live.get(peer)?.session.gracefulRestart;
    this.#live.delete(peer);
    const kept = graceful && restart !== undefined ? restart.families.map((f) => f.family) : [];
    this.rib.drop(peer, kept);
    if (kept.length === 0 || restart === undefined) {
      this.#stale.delete(peer);
      return { do: "clear" };
    }
    this.rib.markStale(peer, kept);
    const untilMs = this.#stale.get(peer)?.untilMs ?? nowMs + 1000 * (restart.timeSec + STALE_SEC);
    const stale = { families: kept, untilMs };
    this.#stale.set(peer, stale);
    return startStale(stale, restart.timeSec, nowMs);
  }

  /** The peer is configured no more. */
  forget(peer: PeerId): void {
    this.#live.delete(peer);
    this.#stale.delete(peer);
    this.rib.drop(peer);
  }

  take(peer: PeerId, update: Update): { readonly refused?: string; readonly endOfRib?: Family; readonly timer: StaleTimer } {
    const from = this.#live.get(peer);
    if (from === undefined) return { timer: { do: "keep" } };
    const refused = takeRoutes(this.rib, from, update);
    const { endOfRib } = update;
    const timer: StaleTimer = endOfRib === undefined ? { do: "keep" } : this.#endStale(peer, [endOfRib]);
    return { timer, ...(refused === undefined ? {} : { refused }), ...(endOfRib === undefined ? {} : { endOfRib }) };
  }

  /** How many routes went. */
  staleExpired(peer: PeerId): number {
    const swept = this.rib.sweepStale(peer, this.#stale.get(peer)?.families ?? []);
    this.#stale.delete(peer);
    return swept;
  }

  /** Tell the peer the whole table of a family again. */
  resend(peer: PeerId, family: Family): void {
    this.#live.get(peer)?.fresh.add(family);
  }

  releaseEndOfRib(): void {
    this.#holdEndOfRib = false;
  }

  flush(): Flush {
    const changed = this.rib.takeChanged();
    const outgoing = [...this.#live].flatMap(([peer, to]) => this.#flushPeer(peer, to, changed) ?? []);
    this.#filterChanged = false;
    return { outgoing, changed };
  }

  /** How many prefixes each peer has been told. */
  told(): ReadonlyMap<PeerId, number> {
    return new Map([...this.#live].map(([peer, to]) => [peer, to.out.size()]));
  }

  #flushPeer(peer: PeerId, to: Live, changed: ReadonlySet<Prefix>): Outgoing | undefined {
    for (const family of to.fresh) to.out.reset(family);
    const whole = to.fresh.size > 0 || this.#filterChanged;
    const updates = [...to.out.update(whole ? allOf(this.rib, changed) : changed, (prefix) => this.rib.best(prefix)[0], this.#filter)];
    to.fresh.clear();
    if (!this.#holdEndOfRib) {
      for (const family of to.owedEndOfRib) updates.push({ unreach: [], reach: [], attributes: {}, endOfRib: family });
      to.owedEndOfRib.clear();
    }
    return updates.length === 0 ? undefined : { peer, updates };
  }

  #endStale(peer: PeerId, families: readonly Family[]): StaleTimer {
    const waiting = this.#stale.get(peer);
    if (waiting === undefined) return { do: "keep" };
    this.rib.sweepStale(peer, families);
    const left = waiting.families.filter((family) => !families.includes(family));
    if (left.length > 0) this.#stale.set(peer, { ...waiting, families: left });
    else this.#stale.delete(peer);
    return { do: left.length > 0 ? "keep" : "clear" };
  }
}

/** Wait so long, but no longer than the deadline counted from the first loss. */
function startStale(stale: Stale, sec: number, nowMs: number): StaleTimer {
  return { do: "start", sec: Math.max(0, Math.min(sec, (stale.untilMs - nowMs) / 1000)) };
}

function* allOf(rib: Rib, changed: ReadonlySet<Prefix>): Iterable<Prefix> {
  yield* rib.prefixes();
  for (const prefix of changed) if (rib.best(prefix).length === 0) yield prefix;
}

function sourceOf({ session, config }: Live): PathSource {
  return { peer: config.export.id, address: config.address, routerId: session.peerRouterId, ibgp: session.ibgp, client: config.client };
}

/** Withdrawals, then announcements. A refused announcement still ends what the peer said of those prefixes before. */
function takeRoutes(rib: Rib, from: Live, update: Update): string | undefined {
  const peer = from.config.export.id;
  const source = sourceOf(from);
  let refused: string | undefined;
  for (const { prefixes } of update.unreach) for (const prefix of prefixes) rib.withdraw(prefix, peer);
  for (const { nextHop, prefixes } of update.reach) {
    refused = refuseImport(update.attributes, nextHop, from.config.imports) ?? refused;
    const path: Path = { from: source, nextHop, attributes: update.attributes, stale: false };
    for (const prefix of prefixes) {
      if (refused === undefined) rib.announce(prefix, path);
      else rib.withdraw(prefix, peer);
    }
  }
  return refused;
}
