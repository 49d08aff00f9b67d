/** The moves that several states of the peer machine share. Source: RFC 4271 §8.2.2. */
import type { NotificationCode } from "../codec/error.ts";
import { localOpen } from "./negotiate.ts";
import type { ConnId, Link, PeerConfig, PeerEffect, PeerEvent, PeerState, TimerName, Transition, Trouble } from "./state.ts";

export const DIAL_TIMEOUT_MS = 5_000;
export const OPEN_WAIT_MS = 30_000;
/** Between two dials: short at first, since a restarted peer is back soon. */
export const RETRY_MS = { soon: 1_000, late: 5_000, soonAttempts: 60 } as const;
/** After an error that a NOTIFICATION told of, 5 s and then doubling up to 30 s. Source: facts §6.1.5 (error wait 5,30). */
export const ERROR_WAIT_MS = { least: 5_000, most: 30_000 } as const;

const ALL_TIMERS: readonly TimerName[] = ["connectRetry", "hold", "keepalive", "rivalHold"];

export function stay(state: PeerState, effects: readonly PeerEffect[] = []): Transition {
  return { state, effects };
}

export function dial(so: Trouble): Transition {
  return {
    state: { at: "connect", attempts: so.attempts, ...(so.cause === undefined ? {} : { cause: so.cause }) },
    effects: [{ do: "dial" }, { do: "setTimer", timer: "connectRetry", ms: DIAL_TIMEOUT_MS }],
  };
}

export function listen(so: Trouble): Transition {
  return { state: { at: "active", attempts: so.attempts, ...(so.cause === undefined ? {} : { cause: so.cause }) }, effects: [] };
}

/** Wait for the peer to dial us, or for the time to dial again. */
export function retryAfter(so: Trouble, cause: string): Transition {
  const attempts = so.attempts + 1;
  const ms = attempts <= RETRY_MS.soonAttempts ? RETRY_MS.soon : RETRY_MS.late;
  return { state: { at: "active", attempts, cause }, effects: [{ do: "setTimer", timer: "connectRetry", ms }] };
}

/** A new connection: say who we are and wait for the peer to do the same. */
export function openLink(so: Trouble, link: Link, config: PeerConfig, dialing: boolean): Transition {
  return {
    state: {
      at: "openSent",
      link: { conn: link.conn, origin: link.origin },
      dialing,
      attempts: so.attempts,
      ...(so.cause ? { cause: so.cause } : {}),
    },
    effects: [
      { do: "clearTimer", timer: "connectRetry" },
      { do: "send", conn: link.conn, message: { type: "open", open: localOpen(config) } },
      { do: "setTimer", timer: "hold", ms: OPEN_WAIT_MS },
    ],
  };
}

export function notify(conn: ConnId, code: NotificationCode, data: Uint8Array = new Uint8Array(0)): readonly PeerEffect[] {
  return [
    { do: "send", conn, message: { type: "notification", code, data } },
    { do: "close", conn },
  ];
}

/** What a state that expects nothing does with a stray event: new connections are closed, the rest is passed over. */
export function refuse(state: PeerState, event: PeerEvent): Transition {
  return stay(state, event.kind === "transportOpened" ? [{ do: "close", conn: event.conn }] : []);
}

export function clearTimers(): readonly PeerEffect[] {
  return ALL_TIMERS.map((timer): PeerEffect => ({ do: "clearTimer", timer }));
}

/** Idle until someone starts the peer. */
export function idleFor(effects: readonly PeerEffect[], why: { readonly cause: string }): Transition {
  return { state: { at: "idle", admin: "down", attempts: 0, cause: why.cause }, effects: [...effects, ...clearTimers()] };
}

/** `code`: the NOTIFICATION to send, if any; `told`: one side told the other of an error, so wait before trying again; a Cease is none. */
export type Failure = {
  readonly code?: NotificationCode;
  readonly data?: Uint8Array;
  readonly cause: string;
  readonly graceful: boolean;
  readonly told: boolean;
};

/** The end of the connection that counts, in any state that has one. A rival, if there is one, is closed too. */
export function fail(state: PeerState & { at: "openSent" | "openConfirm" | "established" }, why: Failure): Transition {
  const bye = why.code === undefined ? [{ do: "close" as const, conn: state.link.conn }] : notify(state.link.conn, why.code, why.data);
  const rival = state.rival === undefined ? [] : [{ do: "close" as const, conn: state.rival.conn }];
  const dialing = "dialing" in state && state.dialing ? [{ do: "abandonDial" as const }] : [];
  const down = state.at === "established" ? [{ do: "sessionDown" as const, graceful: why.graceful, cause: why.cause }] : [];
  const effects: readonly PeerEffect[] = [...bye, ...rival, ...dialing, ...down, ...clearTimers()];
  if (!why.told) {
    const next = retryAfter(state, why.cause);
    return { state: next.state, effects: [...effects, ...next.effects] };
  }
  const attempts = state.at === "established" ? 1 : state.attempts + 1;
  const ms = Math.min(ERROR_WAIT_MS.least * 2 ** Math.min(attempts - 1, 4), ERROR_WAIT_MS.most);
  return {
    state: { at: "idle", admin: "up", attempts, cause: why.cause },
    effects: [...effects, { do: "setTimer", timer: "connectRetry", ms }],
  };
}
