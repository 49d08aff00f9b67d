/**
 * What the status socket answers: the fields that `calicoctl node status` shows, and more for people and tests.
 *
 * Source: facts §8.4.2, §1.9.6; BIRD's words for a protocol's state (up, start, down).
 */
import { assertNever } from "./assert-never.ts";
import type { Plan } from "./config/plan.ts";
import type { PeerPlan, PeerType } from "./config/topology.ts";
import { formatAsPath } from "./codec/as-path.ts";
import { formatCommunity } from "./codec/community.ts";
import type { PeerState } from "./fsm/state.ts";
import type { KernelRoute } from "./kernel/desire.ts";
import type { Routing } from "./rib/routing.ts";

export type SpeakerView = {
  readonly plan: Plan | undefined;
  readonly restarting: boolean;
  readonly waitingFor: readonly string[];
  readonly listening: { readonly where?: { readonly port: number; readonly address?: string }; readonly failed?: string };
  readonly peers: readonly PeerView[];
  readonly routing: Routing;
  readonly kernel: {
    readonly wanted: number;
    readonly present: number;
    readonly inherited: number;
    readonly failed: number;
    readonly failures: ReadonlyMap<string, string>;
  };
  readonly wanted: (prefix: string) => KernelRoute | undefined;
  readonly nowMs: number;
};

export type PeerView = { readonly plan: PeerPlan; readonly state: PeerState; readonly sinceMs: number; readonly stale: boolean };

export type PeerStatus = {
  readonly address: string;
  readonly port: number;
  readonly name: string;
  readonly type: PeerType;
  readonly as: number;
  readonly state: "up" | "start" | "down";
  readonly bgpState: BgpState;
  /** `HH:MM:SS` within a day, else `YYYY-MM-DD`, as BIRD prints it. */
  readonly since: string;
  readonly sinceAt: string;
  /** The state, and the cause if it is not the good one. */
  readonly info: string;
  readonly routesReceived: number;
  readonly routesSent: number;
  /** Its session is lost and its routes are kept meanwhile. */
  readonly routesStale: boolean;
};

export type BgpState = "Idle" | "Connect" | "Active" | "OpenSent" | "OpenConfirm" | "Established";

export type RouteStatus = {
  readonly destination: string;
  readonly type: "blackhole" | "unicast" | "none";
  readonly via: readonly string[];
  readonly learnedFrom: string;
  readonly nextHop?: string;
  readonly asPath?: string;
  readonly localPref?: number;
  readonly communities?: readonly string[];
  readonly stale: boolean;
  /** Why it is not in the kernel though it is wanted there. */
  readonly problem?: string;
};

export type BgpStatus = {
  readonly node: string;
  readonly inSync: boolean;
  readonly revision: number;
  readonly disabled?: string;
  readonly routerId?: string;
  readonly as?: number;
  readonly listening: SpeakerView["listening"];
  readonly restarting: boolean;
  readonly waitingFor: readonly string[];
  readonly peers: readonly PeerStatus[];
  readonly rib: {
    readonly prefixes: number;
    readonly paths: number;
    readonly stale: number;
    readonly originated: readonly string[];
    readonly kernel: { readonly wanted: number; readonly present: number; readonly inherited: number; readonly failed: number };
  };
  readonly routes: readonly RouteStatus[];
  /** Routes left out of `routes`, which is bounded. */
  readonly routesOmitted: number;
};

/** Enough for any cluster's blocks; a full Internet table would not fit one line. */
const MOST_ROUTES = 10_000;

export function deriveStatus(
  view: SpeakerView,
  about: { readonly node: string; readonly inSync: boolean; readonly revision: number },
): BgpStatus {
  const { plan, routing, kernel } = view;
  const counts = routing.rib.counts();
  const routes = [...take(routing.rib.prefixes(), MOST_ROUTES)].toSorted().map((prefix) => routeStatus(prefix, view));
  const { wanted, present, inherited, failed } = kernel;
  return {
    ...about,
    ...(plan?.disabled === undefined ? {} : { disabled: plan.disabled }),
    ...(plan === undefined ? {} : { routerId: plan.routerId, as: plan.localAs }),
    listening: view.listening,
    restarting: view.restarting,
    waitingFor: view.waitingFor,
    peers: derivePeerStatus(view),
    rib: { ...counts, originated: [...(plan?.originated ?? [])].toSorted(), kernel: { wanted, present, inherited, failed } },
    routes,
    routesOmitted: counts.prefixes - routes.length,
  };
}

function* take<T>(items: Iterable<T>, most: number): Iterable<T> {
  let left = most;
  for (const item of items) {
    if (left-- <= 0) return;
    yield item;
  }
}

export function derivePeerStatus(view: SpeakerView): readonly PeerStatus[] {
  const received = view.routing.rib.pathsOf();
  const sent = view.routing.told();
  return view.peers.map(({ plan, state, sinceMs, stale }) => {
    const bgpState = bgpStateOf(state);
    return {
      address: plan.address,
      port: plan.port,
      name: plan.name,
      type: plan.type,
      as: plan.peerAs,
      state: state.at === "established" ? "up" : state.at === "idle" && state.admin === "down" ? "down" : "start",
      bgpState,
      since: sinceText(sinceMs, view.nowMs),
      sinceAt: new Date(sinceMs).toISOString(),
      info: infoOf(bgpState, plan.blocked ?? state.cause, stale),
      routesReceived: received.get(plan.id) ?? 0,
      routesSent: sent.get(plan.id) ?? 0,
      routesStale: stale,
    };
  });
}

function infoOf(bgpState: BgpState, cause: string | undefined, stale: boolean): string {
  if (bgpState === "Established") return stale ? "Established (its former routes are kept until it has told all)" : "Established";
  const why = cause === undefined ? bgpState : `${bgpState}: ${cause}`;
  return stale ? `${why} (its routes are kept)` : why;
}

function bgpStateOf(state: PeerState): BgpState {
  switch (state.at) {
    case "idle":
      return "Idle";
    case "connect":
      return "Connect";
    case "active":
      return "Active";
    case "openSent":
      return "OpenSent";
    case "openConfirm":
      return "OpenConfirm";
    case "established":
      return "Established";
    default:
      return assertNever(state);
  }
}

function sinceText(sinceMs: number, nowMs: number): string {
  const text = new Date(sinceMs).toISOString();
  return nowMs - sinceMs < 86_400_000 ? text.slice(11, 19) : text.slice(0, 10);
}

function routeStatus(prefix: string, view: SpeakerView): RouteStatus {
  const path = view.routing.rib.best(prefix)[0];
  const route = view.wanted(prefix);
  const { asPath, localPref, communities } = path?.attributes ?? {};
  const problem = view.kernel.failures.get(prefix);
  return {
    destination: prefix,
    type: route?.type ?? "none",
    via: route?.type === "unicast" ? route.hops.map((hop) => `${hop.via} dev ${hop.dev}${hop.onlink ? " onlink" : ""}`) : [],
    learnedFrom: path?.from?.address ?? "local",
    ...(path?.nextHop === undefined ? {} : { nextHop: path.nextHop }),
    ...(asPath?.length ? { asPath: formatAsPath(asPath) } : {}),
    ...(localPref === undefined ? {} : { localPref }),
    ...(communities === undefined ? {} : { communities: communities.map(formatCommunity) }),
    stale: path?.stale ?? false,
    ...(problem === undefined ? {} : { problem }),
  };
}
