/**
 * The two chains of one workload: what may reach it, and what may leave it.
 *
 * Source: Calico felix/rules/endpoints.go (endpointIptablesChain); order of evaluation: tiers, then profiles, then drop.
 */
import type { Marks } from "../marks.ts";
import { clearMark, markClear, markSet } from "../marks.ts";
import { ENDPOINT, chainName } from "../names.ts";
import type { PolicyId } from "../names.ts";
import type { RenderedChain, Rule } from "../program.ts";
import { renderChain } from "./chain.ts";
import { policyChainName, profileChainName } from "./policy-chains.ts";
import type { TrafficDirection } from "./policy-chains.ts";

/** One tier with the policies that apply to an endpoint, in order, by direction. */
export type EndpointTier = {
  readonly name: string;
  readonly defaultAction: "Deny" | "Pass";
  readonly ingress: readonly PolicyId[];
  readonly egress: readonly PolicyId[];
};

export type EndpointPlan = { readonly iface: string; readonly tiers: readonly EndpointTier[]; readonly profiles: readonly string[] };

export const endpointChainName = {
  from: (iface: string): string => chainName(ENDPOINT.from, iface),
  to: (iface: string): string => chainName(ENDPOINT.to, iface),
} as const;

export type EndpointRenderOptions = { readonly marks: Marks; readonly vxlanPort: number };

/** `cali-tw-…` and `cali-fw-…`. */
export type EndpointRenderer = (plan: EndpointPlan) => { readonly to: RenderedChain; readonly from: RenderedChain };

/** Rules that are alike in many chains are made once, so that a policy for a thousand workloads costs little more than its jumps. */
export function makeEndpointRenderer({ marks, vxlanPort }: EndpointRenderOptions): EndpointRenderer {
  const start = entry(marks);
  const tunnels = noTunnels(vxlanPort);
  const shared = new Map<string, readonly Rule[]>();
  const once = (key: string, make: () => readonly Rule[]): readonly Rule[] => {
    let rules = shared.get(key);
    if (rules === undefined) {
      if (shared.size > SHARED_MAX) shared.clear();
      shared.set(key, (rules = make()));
    }
    return rules;
  };
  const tierOf = (tier: EndpointTier, direction: TrafficDirection) =>
    once(JSON.stringify([direction, tier.name, tier.defaultAction, tier[direction]]), () => tierRules(tier, direction, marks));
  const profileOf = (name: string, direction: TrafficDirection) => once(`${direction} ${name}`, () => profileRules(name, direction, marks));
  const body = (plan: EndpointPlan, direction: TrafficDirection): readonly Rule[] => [
    ...plan.tiers.filter((tier) => tier[direction].length > 0).flatMap((tier) => tierOf(tier, direction)),
    ...plan.profiles.flatMap((name) => profileOf(name, direction)),
    NOTHING_MATCHED,
  ];
  return (plan) => ({
    to: renderChain(endpointChainName.to(plan.iface), [...start, ...body(plan, "ingress")]),
    from: renderChain(endpointChainName.from(plan.iface), [...start, ...tunnels, ...body(plan, "egress")]),
  });
}

/** More different lists of policies than this on one node are not worth keeping. */
const SHARED_MAX = 4096;

const NOTHING_MATCHED: Rule = { action: "--jump DROP", comments: ["Drop if no profiles matched"] };

function entry({ accept, pass }: Marks): readonly Rule[] {
  return [
    { match: "-m conntrack --ctstate RELATED,ESTABLISHED", action: "--jump ACCEPT" },
    { match: "-m conntrack --ctstate INVALID", action: "--jump DROP" },
    { action: clearMark(accept | pass) },
  ];
}

/** A workload that could send tunnelled packets could speak for the node. */
function noTunnels(vxlanPort: number): readonly Rule[] {
  return [
    {
      match: `-p udp -m multiport --destination-ports ${vxlanPort}`,
      action: "--jump DROP",
      comments: ["Drop VXLAN encapped packets originating in workloads"],
    },
    { match: "-p ipencap", action: "--jump DROP", comments: ["Drop IPinIP encapped packets originating in workloads"] },
  ];
}

function profileRules(name: string, direction: TrafficDirection, { accept }: Marks): readonly Rule[] {
  return [
    { action: `--jump ${profileChainName(name, direction)}` },
    { match: markSet(accept), action: "--jump RETURN", comments: ["Return if profile accepted"] },
  ];
}

function tierRules(tier: EndpointTier, direction: TrafficDirection, { accept, pass }: Marks): readonly Rule[] {
  const end: Rule = {
    match: markClear(pass),
    action: "--jump DROP",
    comments: [`End of tier ${tier.name}. Drop if no policies passed packet`],
  };
  return [
    { action: clearMark(pass), comments: [`Start of tier ${tier.name}`] },
    ...tier[direction].flatMap((id): Rule[] => [
      { match: markClear(pass), action: `--jump ${policyChainName(id, direction)}` },
      { match: markSet(accept), action: "--jump RETURN", comments: ["Return if policy accepted"] },
    ]),
    ...(tier.defaultAction === "Deny" ? [end] : []),
  ];
}
