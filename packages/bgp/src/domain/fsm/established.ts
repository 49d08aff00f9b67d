/**
 * A session that is up, and the one case in which a second connection is listened to: the peer says that it has restarted.
 *
 * Source: RFC 4271 §8.2.2 (Established), RFC 4724 §4.2.
 */
import { CEASE_COLLISION, FSM_ERROR, HOLD_TIMER_EXPIRED, isCease, nameNotification } from "../codec/error.ts";
import type { Message } from "../codec/message.ts";
import { fail, notify, OPEN_WAIT_MS, stay } from "./moves.ts";
import { localOpen, negotiate } from "./negotiate.ts";
import { takeOver } from "./opening.ts";
import type { ConnId, Link, PeerConfig, PeerEffect, PeerEvent, PeerState, TimerName, Transition } from "./state.ts";

type Established = PeerState & { at: "established" };

export function stepEstablished(state: Established, event: PeerEvent, config: PeerConfig): Transition {
  switch (event.kind) {
    case "transportOpened":
      return addChallenger(state, event, config);
    case "transportClosed":
      if (event.conn === state.rival?.conn) return dropChallenger(state);
      if (event.conn !== state.link.conn) return stay(state);
      if (state.rival !== undefined) return waitForChallenger(state, state.rival, event.cause);
      return fail(state, { cause: event.cause, graceful: canRestart(state), told: false });
    case "messageBroken":
      if (event.conn !== state.link.conn) return dropChallenger(state);
      return fail(state, { code: event.error.code, data: event.error.data, cause: event.error.reason, graceful: false, told: true });
    case "messageReceived":
      return event.conn === state.link.conn ? onMessage(state, event.message) : onChallenge(state, event, config);
    case "timerFired":
      return onTimer(state, event.timer);
    default:
      return stay(state);
  }
}

function canRestart(state: Established): boolean {
  return (state.session.gracefulRestart?.families.length ?? 0) > 0;
}

function addChallenger(state: Established, fresh: Link, config: PeerConfig): Transition {
  if (fresh.origin === "dialed" || !canRestart(state)) return stay(state, notify(fresh.conn, CEASE_COLLISION));
  const old: readonly PeerEffect[] = state.rival === undefined ? [] : [{ do: "close", conn: state.rival.conn }];
  return stay({ ...state, rival: { conn: fresh.conn, origin: fresh.origin } }, [
    ...old,
    { do: "send", conn: fresh.conn, message: { type: "open", open: localOpen(config) } },
    { do: "setTimer", timer: "rivalHold", ms: OPEN_WAIT_MS },
  ]);
}

/** The old connection went first: the new one's OPEN decides the rest. */
function waitForChallenger(state: Established, rival: Link, cause: string): Transition {
  const { attempts } = state;
  return stay({ at: "openSent", link: rival, dialing: false, attempts, cause }, [
    { do: "sessionDown", graceful: canRestart(state), cause },
    { do: "clearTimer", timer: "rivalHold" },
    { do: "clearTimer", timer: "keepalive" },
    { do: "setTimer", timer: "hold", ms: OPEN_WAIT_MS },
  ]);
}

function dropChallenger(state: Established): Transition {
  const { rival, ...rest } = state;
  return rival === undefined
    ? stay(state)
    : stay(rest, [
        { do: "close", conn: rival.conn },
        { do: "clearTimer", timer: "rivalHold" },
      ]);
}

/** Only an OPEN that says "I have restarted" ends a living session; anything else is an ordinary collision and loses. */
function onChallenge(state: Established, event: { conn: ConnId; message: Message }, config: PeerConfig): Transition {
  if (state.rival === undefined || state.rival.conn !== event.conn) return stay(state);
  const open = event.message.type === "open" ? event.message.open : undefined;
  const session = open === undefined ? undefined : negotiate(open, config);
  if (!session?.ok || !session.value.gracefulRestart?.restarted) {
    const { rival: _lost, ...rest } = state;
    return stay(rest, [...notify(event.conn, CEASE_COLLISION), { do: "clearTimer", timer: "rivalHold" }]);
  }
  const next = takeOver(state, state.rival, session.value);
  return {
    state: next.state,
    effects: [
      { do: "close", conn: state.link.conn },
      { do: "clearTimer", timer: "rivalHold" },
      { do: "sessionDown", graceful: true, cause: "peer restarted" },
      ...next.effects,
    ],
  };
}

function onMessage(state: Established, message: Message): Transition {
  const { holdTimeSec } = state.session;
  const hold: readonly PeerEffect[] = holdTimeSec === 0 ? [] : [{ do: "setTimer", timer: "hold", ms: holdTimeSec * 1000 }];
  switch (message.type) {
    case "keepalive":
      return stay(state, hold);
    case "update":
      return stay(state, [...hold, { do: "takeUpdate", update: message.update }]);
    case "routeRefresh":
      return stay(state, message.family === undefined ? hold : [...hold, { do: "resendRoutes", family: message.family }]);
    case "notification":
      return fail(state, { cause: `peer closed: ${nameNotification(message.code)}`, graceful: false, told: !isCease(message.code) });
    case "open":
      return fail(state, { code: [FSM_ERROR[0], 3], cause: "open message in state established", graceful: false, told: true });
  }
}

function onTimer(state: Established, timer: TimerName): Transition {
  if (timer === "hold")
    return fail(state, { code: HOLD_TIMER_EXPIRED, cause: "peer was silent: hold timer expired", graceful: false, told: false });
  if (timer === "rivalHold") return dropChallenger(state);
  if (timer !== "keepalive") return stay(state);
  return stay(state, [
    { do: "send", conn: state.link.conn, message: { type: "keepalive" } },
    { do: "setTimer", timer: "keepalive", ms: state.session.keepaliveSec * 1000 },
  ]);
}
