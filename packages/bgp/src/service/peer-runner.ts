/**
 * One peer, alive: feeds the machine with what its connections and timers do, and does what the machine says.
 * Everything that is decided is decided in domain/fsm.
 */
import type { Logger } from "@calico/daemon";
import { decodeMessage, encodeMessage, splitFrames } from "../domain/codec/message.ts";
import type { Message } from "../domain/codec/message.ts";
import type { SessionContext } from "../domain/codec/attribute.ts";
import type { NotificationCode } from "../domain/codec/error.ts";
import type { Family } from "../domain/codec/prefix.ts";
import type { Update } from "../domain/codec/update.ts";
import type { PeerPlan } from "../domain/config/topology.ts";
import { INITIAL_STATE } from "../domain/fsm/state.ts";
import type { ConnId, PeerConfig, PeerEffect, PeerEvent, PeerState, Session, TimerName } from "../domain/fsm/state.ts";
import { step } from "../domain/fsm/step.ts";
import { describeEffect, describeEvent, makeRecorder } from "../domain/recorder.ts";
import type { Entry } from "../domain/recorder.ts";
import type { Cancel, Clock, Conn, Transport } from "../ports.ts";

export type PeerHooks = {
  readonly sessionUp: (session: Session) => void;
  readonly sessionDown: (graceful: boolean, cause: string) => void;
  readonly update: (update: Update) => void;
  readonly refresh: (family: Family) => void;
  readonly counted: (what: "messagesIn" | "messagesOut" | "faults") => void;
};

export type PeerRunnerOptions = {
  readonly plan: PeerPlan;
  readonly source: string;
  /** Asked anew for each event: whether we restart changes with time. */
  readonly config: () => PeerConfig;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Logger;
  readonly hooks: PeerHooks;
};

export interface PeerRunner {
  readonly plan: PeerPlan;
  start(): void;
  stop(code: NotificationCode): void;
  /** End without a word: connections close, so that peers keep our routes until we are back. */
  abandon(): void;
  accept(conn: Conn): void;
  /** Tell the peer; dropped if there is no session. */
  send(updates: readonly Update[]): void;
  state(): PeerState;
  /** When the state became what it is. */
  sinceMs(): number;
  history(): readonly Entry[];
}

const RECORDED = 100;
/** Timers that both ends would otherwise fire in step. Source: RFC 4271 §10. */
const JITTERED: ReadonlySet<TimerName> = new Set<TimerName>(["connectRetry", "keepalive"]);

export function makePeerRunner(options: PeerRunnerOptions): PeerRunner {
  const { plan, clock, log, hooks } = options;
  const conns = new Map<ConnId, Conn>();
  const timers = new Map<TimerName, Cancel>();
  const recorder = makeRecorder(RECORDED);
  const queue: PeerEvent[] = [];
  let state: PeerState = INITIAL_STATE;
  let sinceMs = clock.now();
  let cancelDial: Cancel | undefined;
  let lastConn = 0;
  let draining = false;
  let loggedCause: string | undefined;

  /** Effects may cause events; each is handled whole before the next. */
  function handle(event: PeerEvent): void {
    queue.push(event);
    if (draining) return;
    draining = true;
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) advance(next);
    draining = false;
  }

  function advance(event: PeerEvent): void {
    const before = state;
    const { state: after, effects } = step(before, event, options.config());
    state = after;
    if (after.at !== before.at) sinceMs = clock.now();
    const what = describeEvent(event);
    const did = effects.filter((e) => e.do !== "setTimer" && e.do !== "clearTimer").map(describeEffect);
    if (what !== undefined) recorder.add({ at: new Date(clock.now()).toISOString(), state: `${before.at} → ${after.at}`, what, did });
    logCause(after);
    for (const effect of effects) run(effect);
  }

  function logCause(after: PeerState): void {
    if (after.at !== "established" && after.cause !== undefined && after.cause !== loggedCause) {
      log.warn("peer is not up", { peer: plan.id, cause: after.cause });
    }
    loggedCause = after.at === "established" ? undefined : (after.cause ?? loggedCause);
  }

  function run(effect: PeerEffect): void {
    switch (effect.do) {
      case "dial":
        return dial();
      case "abandonDial":
        cancelDial?.();
        cancelDial = undefined;
        return;
      case "send":
        return write(effect.conn, effect.message);
      case "close":
        conns.get(effect.conn)?.close();
        conns.delete(effect.conn);
        return;
      case "setTimer":
        return setTimer(effect.timer, effect.ms);
      case "clearTimer":
        timers.get(effect.timer)?.();
        timers.delete(effect.timer);
        return;
      case "sessionUp":
        return hooks.sessionUp(effect.session);
      case "sessionDown":
        return hooks.sessionDown(effect.graceful, effect.cause);
      case "takeUpdate":
        return hooks.update(effect.update);
      case "resendRoutes":
        return hooks.refresh(effect.family);
    }
  }

  function dial(): void {
    const { address, port, bindSource } = plan;
    cancelDial = options.transport.dial(
      { address, port, ...(bindSource ? { source: options.source } : {}) },
      {
        opened: (conn) => {
          cancelDial = undefined;
          adopt(conn, "dialed");
        },
        failed: (cause) => {
          cancelDial = undefined;
          handle({ kind: "dialFailed", cause });
        },
      },
    );
  }

  function adopt(conn: Conn, origin: "dialed" | "accepted"): void {
    const id = ++lastConn;
    conns.set(id, conn);
    handle({ kind: "transportOpened", conn: id, origin });
    let rest: Uint8Array = new Uint8Array(0);
    conn.attach({
      received: (octets) => {
        rest = receive(id, joined(rest, octets));
      },
      closed: (cause) => {
        if (conns.delete(id)) handle({ kind: "transportClosed", conn: id, cause });
      },
    });
  }

  /** Handles the whole messages at the start of `octets`; what is left. */
  function receive(id: ConnId, octets: Uint8Array): Uint8Array {
    const { frames, rest, error } = splitFrames(octets);
    for (const frame of frames) {
      if (!conns.has(id)) return new Uint8Array(0);
      hooks.counted("messagesIn");
      const message = decodeMessage(frame, contextOf(id));
      if (message.ok) noteFaults(message.value);
      handle(
        message.ok
          ? { kind: "messageReceived", conn: id, message: message.value }
          : { kind: "messageBroken", conn: id, error: message.error },
      );
    }
    if (error !== undefined && conns.has(id)) handle({ kind: "messageBroken", conn: id, error });
    return rest;
  }

  function noteFaults(message: Message): void {
    if (message.type !== "update") return;
    for (const fault of message.faults ?? []) {
      hooks.counted("faults");
      log.warn("update was faulty", { peer: plan.id, reason: fault.reason, disposition: fault.disposition });
    }
  }

  function contextOf(id: ConnId): SessionContext {
    const at = state;
    const known = (at.at === "established" || at.at === "openConfirm") && at.link.conn === id;
    return known ? at.session : { as4: false, ibgp: false };
  }

  function write(id: ConnId, message: Message): void {
    const conn = conns.get(id);
    if (conn === undefined) return;
    for (const frame of encodeMessage(message, contextOf(id))) {
      hooks.counted("messagesOut");
      conn.write(frame);
    }
  }

  function setTimer(timer: TimerName, ms: number): void {
    timers.get(timer)?.();
    const wait = JITTERED.has(timer) ? ms * (0.75 + clock.random() / 4) : ms;
    timers.set(
      timer,
      clock.after(wait, () => {
        timers.delete(timer);
        handle({ kind: "timerFired", timer });
      }),
    );
  }

  function abandon(): void {
    for (const cancel of timers.values()) cancel();
    timers.clear();
    cancelDial?.();
    for (const conn of conns.values()) conn.close();
    conns.clear();
  }

  return {
    plan,
    start: () => handle({ kind: "started" }),
    stop: (code) => handle({ kind: "stopped", code }),
    abandon,
    accept: (conn) => adopt(conn, "accepted"),
    send(updates) {
      const at = state;
      if (at.at === "established") for (const update of updates) write(at.link.conn, { type: "update", update });
    },
    state: () => state,
    sinceMs: () => sinceMs,
    history: () => recorder.entries(),
  };
}

function joined(rest: Uint8Array, octets: Uint8Array): Uint8Array {
  if (rest.length === 0) return octets;
  const out = new Uint8Array(rest.length + octets.length);
  out.set(rest);
  out.set(octets, rest.length);
  return out;
}
