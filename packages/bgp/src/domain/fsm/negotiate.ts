/**
 * What two OPEN messages amount to.
 *
 * Source: RFC 4271 §6.2 and §6.8, RFC 4760 §8, RFC 6286 §2.1, RFC 6793 §4.1.
 */
import { err, ok } from "@calico/model";
import type { Result } from "@calico/model";
import { BAD_BGP_IDENTIFIER, BAD_PEER_AS } from "../codec/error.ts";
import type { NotificationCode } from "../codec/error.ts";
import { ip4Number } from "../codec/octets.ts";
import type { Open } from "../codec/open.ts";
import type { Origin, PeerConfig, Session } from "./state.ts";

export type Refusal = { readonly code: NotificationCode; readonly cause: string };

export function localOpen(config: PeerConfig): Open {
  return {
    as: config.localAs,
    holdTimeSec: config.holdTimeSec,
    routerId: config.routerId,
    capabilities: {
      families: config.families,
      routeRefresh: true,
      as4: config.localAs,
      gracefulRestart: {
        restarted: config.restarting,
        timeSec: config.restartTimeSec,
        families: config.families.map((family) => ({ family, forwarding: true })),
      },
    },
  };
}

/** The session that the peer's OPEN makes with ours, or why there can be none. */
export function negotiate(open: Open, config: PeerConfig): Result<Session, Refusal> {
  const ibgp = config.peerAs === config.localAs;
  if (open.as !== config.peerAs) {
    return err({ code: BAD_PEER_AS, cause: `peer's AS is ${open.as}, configured is ${config.peerAs}` });
  }
  if (open.routerId === config.routerId && ibgp) {
    return err({ code: BAD_BGP_IDENTIFIER, cause: `peer has our own router id ${open.routerId}: give each node its own` });
  }
  const holdTimeSec = Math.min(open.holdTimeSec, config.holdTimeSec);
  const theirs = open.capabilities.families ?? [4];
  return ok({
    peerAs: open.as,
    peerRouterId: open.routerId,
    ibgp,
    as4: open.capabilities.as4 !== undefined,
    holdTimeSec,
    keepaliveSec: Math.min(config.keepaliveTimeSec ?? Infinity, holdTimeSec / 3),
    families: config.families.filter((family) => theirs.includes(family)),
    routeRefresh: open.capabilities.routeRefresh === true,
    ...(open.capabilities.gracefulRestart ? { gracefulRestart: open.capabilities.gracefulRestart } : {}),
  });
}

/** Of two connections between the same speakers, the one that the speaker with the higher identifier dialed stays. */
export function collisionWinner(config: PeerConfig, peerRouterId: string): Origin {
  const ours = ip4Number(config.routerId);
  const theirs = ip4Number(peerRouterId);
  const weDial = ours === theirs ? config.localAs > config.peerAs : ours > theirs;
  return weDial ? "dialed" : "accepted";
}
