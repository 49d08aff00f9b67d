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

const RECORDED = 100;
/** Timers that both ends would otherwise fire in step. Source: RFC 4271 §10. */
const JITTERED: ReadonlySet<TimerName> = new Set<TimerName>(["connectRetry", "keepalive"]);

export class PeerRunner {
  readonly plan: PeerPlan;
  readonly #options: PeerRunnerOptions;
  readonly #conns = new Map<ConnId, Conn>();
  readonly #timers = new Map<TimerName, Cancel>();
  readonly #recorder = makeRecorder(RECORDED);
  readonly #queue: PeerEvent[] = [];
  #state: PeerState = INITIAL_STATE;
  #sinceMs: number;
  #cancelDial: Cancel | undefined;
  #lastConn = 0;
  #draining = false;
  #loggedCause: string | undefined;

  constructor(options: PeerRunnerOptions) {
    this.plan = options.plan;
    this.#options = options;
    this.#sinceMs = options.clock.now();
  }

  get state(): PeerState {
    return this.#state;
  }

  /** When the state became what it is. */
  get sinceMs(): number {
    return this.#sinceMs;
  }

  get history(): readonly Entry[] {
    return this.#recorder.entries();
  }

  start(): void {
    this.#handle({ kind: "started" });
  }

  stop(code: NotificationCode): void {
    this.#handle({ kind: "stopped", code });
  }

  /** End without a word: connections close, so that peers keep our routes until we are back. */
  abandon(): void {
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    this.#cancelDial?.();
    for (const conn of this.#conns.values()) conn.close();
    this.#conns.clear();
  }

  accept(conn: Conn): void {
    this.#adopt(conn, "accepted");
  }

  /** Tell the peer; dropped if there is no session. */
  send(updates: readonly Update[]): void {
    const at = this.#state;
    if (at.at === "established") for (const update of updates) this.#write(at.link.conn, { type: "update", update });
  }

  /** Effects may cause events; each is handled whole before the next. */
  #handle(event: PeerEvent): void {
    this.#queue.push(event);
    if (this.#draining) return;
    this.#draining = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) this.#advance(next);
    } finally {
      this.#draining = false;
    }
  }

  #advance(event: PeerEvent): void {
    const before = this.#state;
    const { state: after, effects } = step(before, event, this.#options.config());
    this.#state = after;
    if (after.at !== before.at) this.#sinceMs = this.#options.clock.now();
    this.#record(before, event, effects);
    this.#logCause(after);
    for (const effect of effects) this.#run(effect);
  }

  #record(before: PeerState, event: PeerEvent, effects: readonly PeerEffect[]): void {
    const what = describeEvent(event);
    if (what === undefined) return;
    const did = effects.filter((e) => e.do !== "setTimer" && e.do !== "clearTimer").map(describeEffect);
    const at = new Date(this.#options.clock.now()).toISOString();
    this.#recorder.add({ at, state: `${before.at} → ${this.#state.at}`, what, did });
  }

  /** A cause is worth a line when it is another one than the last. */
  #logCause({ at, cause }: PeerState): void {
    if (at === "established") this.#loggedCause = undefined;
    else if (cause !== undefined && cause !== this.#loggedCause) {
      this.#loggedCause = cause;
      this.#options.log.warn("peer is not up", { peer: this.plan.id, cause });
    }
  }

  #run(effect: PeerEffect): void {
    const { hooks } = this.#options;
    switch (effect.do) {
      case "dial":
        return this.#dial();
      case "abandonDial":
        this.#cancelDial?.();
        this.#cancelDial = undefined;
        return;
      case "send":
        return this.#write(effect.conn, effect.message);
      case "close":
        this.#conns.get(effect.conn)?.close();
        this.#conns.delete(effect.conn);
        return;
      case "setTimer":
        return this.#setTimer(effect.timer, effect.ms);
      case "clearTimer":
        this.#timers.get(effect.timer)?.();
        this.#timers.delete(effect.timer);
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

  #dial(): void {
    const { address, port, bindSource } = this.plan;
    const target = { address, port, ...(bindSource ? { source: this.#options.source } : {}) };
    this.#cancelDial = this.#options.transport.dial(target, {
      opened: (conn) => {
        this.#cancelDial = undefined;
        this.#adopt(conn, "dialed");
      },
      failed: (cause) => {
        this.#cancelDial = undefined;
        this.#handle({ kind: "dialFailed", cause });
      },
    });
  }

  #adopt(conn: Conn, origin: "dialed" | "accepted"): void {
    const id = ++this.#lastConn;
    this.#conns.set(id, conn);
    this.#handle({ kind: "transportOpened", conn: id, origin });
    let rest: Uint8Array = new Uint8Array(0);
    conn.attach({
      received: (octets) => {
        rest = this.#receive(id, joined(rest, octets));
      },
      closed: (cause) => {
        if (this.#conns.delete(id)) this.#handle({ kind: "transportClosed", conn: id, cause });
      },
    });
  }

  /** Handles the whole messages at the start of `octets`; what is left. */
  #receive(id: ConnId, octets: Uint8Array): Uint8Array {
    const { frames, rest, error } = splitFrames(octets);
    for (const frame of frames) {
      if (!this.#conns.has(id)) return new Uint8Array(0);
      this.#options.hooks.counted("messagesIn");
      const message = decodeMessage(frame, this.#contextOf(id));
      if (message.ok) this.#noteFaults(message.value);
      this.#handle(
        message.ok
          ? { kind: "messageReceived", conn: id, message: message.value }
          : { kind: "messageBroken", conn: id, error: message.error },
      );
    }
    if (error !== undefined && this.#conns.has(id)) this.#handle({ kind: "messageBroken", conn: id, error });
    return rest;
  }

  #noteFaults(message: Message): void {
    if (message.type !== "update") return;
    for (const { reason, disposition } of message.faults ?? []) {
      this.#options.hooks.counted("faults");
      this.#options.log.warn("update was faulty", { peer: this.plan.id, reason, disposition });
    }
  }

  #contextOf(id: ConnId): SessionContext {
    const at = this.#state;
    const known = (at.at === "established" || at.at === "openConfirm") && at.link.conn === id;
    return known ? at.session : { as4: false, ibgp: false };
  }

  #write(id: ConnId, message: Message): void {
    const conn = this.#conns.get(id);
    if (conn === undefined) return;
    for (const frame of encodeMessage(message, this.#contextOf(id))) {
      this.#options.hooks.counted("messagesOut");
      conn.write(frame);
    }
  }

  #setTimer(timer: TimerName, ms: number): void {
    const { clock } = this.#options;
    this.#timers.get(timer)?.();
    const wait = JITTERED.has(timer) ? ms * (0.75 + clock.random() / 4) : ms;
    const fire = () => {
      this.#timers.delete(timer);
      this.#handle({ kind: "timerFired", timer });
    };
    this.#timers.set(timer, clock.after(wait, fire));
  }
}

function joined(rest: Uint8Array, octets: Uint8Array): Uint8Array {
  if (rest.length === 0) return octets;
  const out = new Uint8Array(rest.length + octets.length);
  out.set(rest);
  out.set(octets, rest.length);
  return out;
}
