/**
 * The states between a connection and a session: OPENs are crossing, and a second connection may collide with the first.
 *
 * Source: RFC 4271 §8.2.2 (OpenSent, OpenConfirm), §6.8 (collision).
 */
import { CEASE_COLLISION, FSM_ERROR, HOLD_TIMER_EXPIRED, isCease, nameNotification } from "../codec/error.ts";
import type { Message } from "../codec/message.ts";
import type { Open } from "../codec/open.ts";
import { clearTimers, DIAL_TIMEOUT_MS, fail, notify, OPEN_WAIT_MS, retryAfter, stay } from "./moves.ts";
import { collisionWinner, localOpen, negotiate } from "./negotiate.ts";
import type { Link, PeerConfig, PeerEffect, PeerEvent, PeerState, Session, Transition } from "./state.ts";

type Opening = PeerState & { at: "openSent" | "openConfirm" };

export function stepOpening(state: Opening, event: PeerEvent, config: PeerConfig): Transition {
  switch (event.kind) {
    case "transportOpened":
      return addRival(state, event, config);
    case "dialFailed":
      return stay({ ...state, dialing: false });
    case "transportClosed":
      return connectionLost(state, event.conn, event.cause);
    case "messageBroken":
      if (event.conn !== state.link.conn) return dropRival(state, event.conn);
      return fail(state, { code: event.error.code, data: event.error.data, cause: event.error.reason, graceful: false, told: true });
    case "messageReceived":
      return event.conn === state.link.conn ? onMessage(state, event.message, config) : onRivalMessage(state, event, config);
    case "timerFired":
      return onTimer(state, event.timer);
    default:
      return stay(state);
  }
}

/** A later connection of the same origin replaces the earlier one: its maker has given that up. */
function addRival(state: Opening, fresh: Link, config: PeerConfig): Transition {
  const link: Link = { conn: fresh.conn, origin: fresh.origin };
  const hello: PeerEffect = { do: "send", conn: link.conn, message: { type: "open", open: localOpen(config) } };
  const dialing = state.dialing && link.origin !== "dialed";
  if (link.origin === state.link.origin && link.origin === "accepted") {
    const next: Opening = { at: "openSent", link, dialing, attempts: state.attempts, ...(state.rival ? { rival: state.rival } : {}) };
    return stay(next, [{ do: "close", conn: state.link.conn }, hello, { do: "setTimer", timer: "hold", ms: OPEN_WAIT_MS }]);
  }
  const old: readonly PeerEffect[] = state.rival === undefined ? [] : [{ do: "close", conn: state.rival.conn }];
  return stay({ ...state, rival: link, dialing }, [...old, hello, { do: "setTimer", timer: "rivalHold", ms: OPEN_WAIT_MS }]);
}

function connectionLost(state: Opening, conn: number, cause: string): Transition {
  if (conn === state.rival?.conn) return dropRival(state, conn);
  if (conn !== state.link.conn) return stay(state);
  if (state.rival !== undefined) return promote(state, state.rival, []);
  if (state.dialing) {
    const still: PeerState = { at: "connect", attempts: state.attempts, cause };
    return stay(still, [...clearTimers(), { do: "setTimer", timer: "connectRetry", ms: DIAL_TIMEOUT_MS }]);
  }
  const next = retryAfter(state, cause);
  return { state: next.state, effects: [{ do: "clearTimer", timer: "hold" }, { do: "clearTimer", timer: "keepalive" }, ...next.effects] };
}

function dropRival(state: Opening, conn: number): Transition {
  const { rival, ...rest } = state;
  if (rival?.conn !== conn) return stay(state);
  return stay(rest, [
    { do: "close", conn },
    { do: "clearTimer", timer: "rivalHold" },
  ]);
}

/** The rival takes the first connection's place; its OPEN was sent when it came. */
function promote(state: Opening, rival: Link, effects: readonly PeerEffect[]): Transition {
  return {
    state: { at: "openSent", link: rival, dialing: state.dialing, attempts: state.attempts },
    effects: [
      ...effects,
      { do: "clearTimer", timer: "rivalHold" },
      { do: "clearTimer", timer: "keepalive" },
      { do: "setTimer", timer: "hold", ms: OPEN_WAIT_MS },
    ],
  };
}

function onMessage(state: Opening, message: Message, config: PeerConfig): Transition {
  if (message.type === "notification") {
    const cause = `peer closed: ${nameNotification(message.code)}`;
    if (state.rival !== undefined) return promote(state, state.rival, [{ do: "close", conn: state.link.conn }]);
    return fail(state, { cause, graceful: false, told: !isCease(message.code) });
  }
  if (state.at === "openSent" && message.type === "open") return onOpen(state, message.open, config);
  if (state.at === "openConfirm" && message.type === "keepalive") return establish(state);
  const cause = `${message.type} message in state ${state.at}`;
  return fail(state, { code: [FSM_ERROR[0], state.at === "openSent" ? 1 : 2], cause, graceful: false, told: true });
}

function onOpen(state: Opening, open: Open, config: PeerConfig): Transition {
  const session = negotiate(open, config);
  if (!session.ok) return fail(state, { code: session.error.code, cause: session.error.cause, graceful: false, told: true });
  const winner = collisionWinner(config, open.routerId);
  if (state.rival !== undefined && state.link.origin !== winner) {
    return promote(state, state.rival, notify(state.link.conn, CEASE_COLLISION));
  }
  const loser = state.rival === undefined ? [] : [...notify(state.rival.conn, CEASE_COLLISION), clearRival];
  const giveUpDial = state.dialing && winner === "accepted";
  const next = confirm(state, state.link, session.value);
  return {
    state: { ...next.state, dialing: state.dialing && !giveUpDial },
    effects: [...loser, ...(giveUpDial ? [{ do: "abandonDial" as const }] : []), ...next.effects],
  };
}

const clearRival: PeerEffect = { do: "clearTimer", timer: "rivalHold" };

function confirm(so: Opening | (PeerState & { at: "established" }), link: Link, session: Session) {
  const effects: PeerEffect[] = [{ do: "send", conn: link.conn, message: { type: "keepalive" } }, ...sessionTimers(session)];
  const state = { at: "openConfirm" as const, link, session, dialing: false, attempts: so.attempts };
  return { state, effects };
}

/** The timers that a session runs by; a hold time of zero means none. */
export function sessionTimers(session: Session): readonly PeerEffect[] {
  if (session.holdTimeSec === 0)
    return [
      { do: "clearTimer", timer: "hold" },
      { do: "clearTimer", timer: "keepalive" },
    ];
  return [
    { do: "setTimer", timer: "hold", ms: session.holdTimeSec * 1000 },
    { do: "setTimer", timer: "keepalive", ms: session.keepaliveSec * 1000 },
  ];
}

/** From established, when a restarted peer's new connection takes over. */
export function takeOver(state: PeerState & { at: "established" }, link: Link, session: Session): Transition {
  return confirm(state, link, session);
}

/** The rival's OPEN says who the peer is; the identifiers decide which connection stays. */
function onRivalMessage(state: Opening, event: { conn: number; message: Message }, config: PeerConfig): Transition {
  if (state.rival?.conn !== event.conn) return stay(state);
  if (event.message.type !== "open") return dropRival(state, event.conn);
  const session = negotiate(event.message.open, config);
  if (!session.ok) return withBye(dropRival(state, event.conn), notify(event.conn, session.error.code));
  if (state.rival.origin !== collisionWinner(config, event.message.open.routerId)) {
    return withBye(dropRival(state, event.conn), notify(event.conn, CEASE_COLLISION));
  }
  const next = confirm(state, state.rival, session.value);
  return { state: next.state, effects: [...notify(state.link.conn, CEASE_COLLISION), clearRival, ...next.effects] };
}

function withBye(next: Transition, bye: readonly PeerEffect[]): Transition {
  return { state: next.state, effects: [...bye, ...next.effects.filter((e) => e.do !== "close")] };
}

function onTimer(state: Opening, timer: string): Transition {
  if (timer === "hold")
    return fail(state, { code: HOLD_TIMER_EXPIRED, cause: "peer was silent: hold timer expired", graceful: false, told: false });
  if (timer === "rivalHold" && state.rival !== undefined) return dropRival(state, state.rival.conn);
  if (timer === "keepalive" && state.at === "openConfirm") {
    return stay(state, [
      { do: "send", conn: state.link.conn, message: { type: "keepalive" } },
      { do: "setTimer", timer: "keepalive", ms: state.session.keepaliveSec * 1000 },
    ]);
  }
  return stay(state);
}

function establish(state: PeerState & { at: "openConfirm" }): Transition {
  const rival = state.rival === undefined ? [] : [...notify(state.rival.conn, CEASE_COLLISION), clearRival];
  const hold: readonly PeerEffect[] =
    state.session.holdTimeSec === 0 ? [] : [{ do: "setTimer", timer: "hold", ms: state.session.holdTimeSec * 1000 }];
  return {
    state: { at: "established", link: state.link, session: state.session, attempts: 0 },
    effects: [
      ...rival,
      ...(state.dialing ? [{ do: "abandonDial" as const }] : []),
      ...hold,
      { do: "sessionUp", conn: state.link.conn, session: state.session },
    ],
  };
}
