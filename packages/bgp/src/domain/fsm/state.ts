/**
 * The vocabulary of the peer machine: what happens (`kind`), what to do (`do`), where it stands (`at`).
 *
 * Source: RFC 4271 §8.1 and §8.2.2, RFC 4724 §3.
 */
import type { GracefulRestart } from "../codec/capability.ts";
import type { NotificationCode, WireError } from "../codec/error.ts";
import type { Message } from "../codec/message.ts";
import type { Open } from "../codec/open.ts";
import type { Family } from "../codec/prefix.ts";
import type { Update } from "../codec/update.ts";

export type ConnId = number;
export type TimerName = "connectRetry" | "hold" | "keepalive" | "rivalHold";
export type Origin = "dialed" | "accepted";

/** What is configured for one peer. `restarting`: this process is recovering routes that the kernel kept. */
export type PeerConfig = {
  readonly localAs: number;
  readonly peerAs: number;
  readonly routerId: string;
  readonly passive: boolean;
  readonly families: readonly Family[];
  readonly holdTimeSec: number;
  /** Undefined: a third of the hold time. */
  readonly keepaliveTimeSec?: number;
  readonly restartTimeSec: number;
  readonly restarting: boolean;
};

/** What both ends agreed on. */
export type Session = {
  readonly peerAs: number;
  readonly peerRouterId: string;
  readonly ibgp: boolean;
  readonly as4: boolean;
  /** 0: neither keepalives nor a hold timer. */
  readonly holdTimeSec: number;
  readonly keepaliveSec: number;
  readonly families: readonly Family[];
  readonly routeRefresh: boolean;
  /** What the peer said about its own restarts. */
  readonly gracefulRestart?: GracefulRestart;
};

export type Link = { readonly conn: ConnId; readonly origin: Origin };

/** Why there is no session now, for people; `attempts` since the last session. */
export type Trouble = { readonly cause?: string; readonly attempts: number };

export type PeerState =
  | ({ readonly at: "idle"; readonly admin: "up" | "down" } & Trouble)
  | ({ readonly at: "connect" } & Trouble)
  | ({ readonly at: "active" } & Trouble)
  /** `rival` is a second connection that got in while the first was undecided; `dialing` may still become one. */
  | ({ readonly at: "openSent"; readonly link: Link; readonly rival?: Link; readonly dialing: boolean } & Trouble)
  | ({
      readonly at: "openConfirm";
      readonly link: Link;
      readonly rival?: Link;
      readonly dialing: boolean;
      readonly session: Session;
    } & Trouble)
  | ({ readonly at: "established"; readonly link: Link; readonly rival?: Link; readonly session: Session } & Trouble);

export type PeerEvent =
  | { readonly kind: "started" }
  | { readonly kind: "stopped"; readonly code: NotificationCode }
  | { readonly kind: "transportOpened"; readonly conn: ConnId; readonly origin: Origin }
  | { readonly kind: "dialFailed"; readonly cause: string }
  | { readonly kind: "transportClosed"; readonly conn: ConnId; readonly cause: string }
  | { readonly kind: "messageReceived"; readonly conn: ConnId; readonly message: Message }
  | { readonly kind: "messageBroken"; readonly conn: ConnId; readonly error: WireError }
  | { readonly kind: "timerFired"; readonly timer: TimerName };

export type PeerEffect =
  | { readonly do: "dial" }
  | { readonly do: "abandonDial" }
  | { readonly do: "send"; readonly conn: ConnId; readonly message: Message }
  | { readonly do: "close"; readonly conn: ConnId }
  | { readonly do: "setTimer"; readonly timer: TimerName; readonly ms: number }
  | { readonly do: "clearTimer"; readonly timer: TimerName }
  | { readonly do: "sessionUp"; readonly conn: ConnId; readonly session: Session }
  /** `graceful`: the peer may be back, and its kernel forwards meanwhile. */
  | { readonly do: "sessionDown"; readonly graceful: boolean; readonly cause: string }
  | { readonly do: "takeUpdate"; readonly update: Update }
  | { readonly do: "resendRoutes"; readonly family: Family };

export type Transition = { readonly state: PeerState; readonly effects: readonly PeerEffect[] };

export type OpenReceived = { readonly conn: ConnId; readonly open: Open };

export const INITIAL_STATE: PeerState = { at: "idle", admin: "down", attempts: 0 };
