/**
 * The peer machine: one pure transition. Same state, event and configuration, same answer.
 *
 * One machine speaks for a peer, not for a connection: while two connections compete, the second is the `rival` of the first.
 *
 * Deviation: after a lost session the machine goes to active, not idle, and dials again within two seconds: a restarted
 * neighbour is back before its routes are missed. An error that a NOTIFICATION told of, other than Cease, still waits in idle.
 * Deviation: an OPEN is waited for 30 s, not 4 minutes.
 *
 * Source: RFC 4271 §8.2.2 and §6.8, RFC 4724 §4.2, RFC 6608 (FSM error subcodes).
 */
import { assertNever } from "../assert-never.ts";
import { CEASE_COLLISION } from "../codec/error.ts";
import { dial, fail, idleFor, listen, notify, openLink, refuse, retryAfter } from "./moves.ts";
import { stepEstablished } from "./established.ts";
import { stepOpening } from "./opening.ts";
import type { PeerConfig, PeerEvent, PeerState, Transition } from "./state.ts";

/** One transition. Source: RFC 4271 §8.2.2. */
export function step(state: PeerState, event: PeerEvent, config: PeerConfig): Transition {
  if (event.kind === "stopped") return stop(state, event.code);
  switch (state.at) {
    case "idle":
      return stepIdle(state, event, config);
    case "connect":
      return stepConnect(state, event, config);
    case "active":
      return stepActive(state, event, config);
    case "openSent":
    case "openConfirm":
      return stepOpening(state, event, config);
    case "established":
      return stepEstablished(state, event, config);
    default:
      return assertNever(state);
  }
}

function stepIdle(state: PeerState & { at: "idle" }, event: PeerEvent, config: PeerConfig): Transition {
  if (event.kind === "started" || (event.kind === "timerFired" && event.timer === "connectRetry" && state.admin === "up")) {
    return config.passive ? listen(state) : dial(state);
  }
  return refuse(state, event);
}

function stepConnect(state: PeerState & { at: "connect" }, event: PeerEvent, config: PeerConfig): Transition {
  if (event.kind === "transportOpened") return openLink(state, event, config, event.origin === "accepted");
  if (event.kind === "dialFailed") return retryAfter(state, event.cause);
  if (event.kind === "timerFired" && event.timer === "connectRetry") {
    const next = retryAfter(state, "no answer to the connection request");
    return { ...next, effects: [{ do: "abandonDial" }, ...next.effects] };
  }
  return refuse(state, event);
}

function stepActive(state: PeerState & { at: "active" }, event: PeerEvent, config: PeerConfig): Transition {
  if (event.kind === "transportOpened") return openLink(state, event, config, false);
  if (event.kind === "timerFired" && event.timer === "connectRetry") return config.passive ? listen(state) : dial(state);
  return refuse(state, event);
}

/** The operator's stop, from anywhere: a Cease on every open connection, then idle until started. */
function stop(state: PeerState, code: readonly [number, number]): Transition {
  const cause = "stopped";
  if (state.at === "established") {
    const closing = fail(state, { code, cause, graceful: false, told: true });
    return idleFor(closing.effects, { cause });
  }
  const links = "link" in state ? [state.link, ...(state.rival ? [state.rival] : [])] : [];
  const farewell = links.flatMap((link) => notify(link.conn, link === links[0] ? code : CEASE_COLLISION));
  return idleFor([...farewell, { do: "abandonDial" }], { cause });
}
