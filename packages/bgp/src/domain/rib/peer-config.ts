/** What the plan means for one peer's machine and for one peer's routes. */
import type { Plan } from "../config/plan.ts";
import type { PeerPlan } from "../config/topology.ts";
import type { PeerConfig } from "../fsm/state.ts";
import type { PeerRoutingConfig } from "./routing.ts";

/** IPv6 sessions and routes are read and written by the codec, and not yet by the speaker. */
const FAMILIES = [4] as const;

export function machineConfigOf(peer: PeerPlan, plan: Plan, restarting: boolean): PeerConfig {
  const { localAs, peerAs, passive, holdTimeSec, keepaliveTimeSec, restartTimeSec } = peer;
  const { routerId } = plan;
  const keepalive = keepaliveTimeSec === undefined ? {} : { keepaliveTimeSec };
  return { localAs, peerAs, routerId, passive, families: FAMILIES, holdTimeSec, restartTimeSec, restarting, ...keepalive };
}

export function routingConfigOf(peer: PeerPlan, plan: Plan, ownAddresses: readonly string[]): PeerRoutingConfig {
  const { id, localAs, nextHopMode, rrClient, address, allowLocalAs } = peer;
  const clusterId = plan.clusterId === undefined ? {} : { clusterId: plan.clusterId };
  return {
    address,
    client: rrClient,
    export: { id, localAs, ibgp: localAs === peer.peerAs, localAddress: plan.address, nextHopMode, rrClient, ...clusterId },
    imports: { localAs, routerId: plan.routerId, localAddresses: [plan.address, ...ownAddresses], allowLocalAs, ...clusterId },
  };
}

/** Whether peers are told of other peers' routes: then our End-of-RIB has to wait for theirs. */
export function passesOn(plan: Plan): boolean {
  return plan.clusterId !== undefined || plan.peers.some((peer) => peer.peerAs !== peer.localAs);
}
