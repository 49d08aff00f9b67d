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

/** `cali-tw-…` and `cali-fw-…`. */
export function renderEndpointChains(
  plan: EndpointPlan,
  options: { readonly marks: Marks; readonly vxlanPort: number },
): { readonly to: RenderedChain; readonly from: RenderedChain } {
  const { marks } = options;
  return {
    to: renderChain(endpointChainName.to(plan.iface), [...entry(marks), ...body(plan, "ingress", marks)]),
    from: renderChain(endpointChainName.from(plan.iface), [
      ...entry(marks),
      ...noTunnels(options.vxlanPort),
      ...body(plan, "egress", marks),
    ]),
  };
}

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

function body(plan: EndpointPlan, direction: TrafficDirection, marks: Marks): readonly Rule[] {
  const tiers = plan.tiers.filter((tier) => tier[direction].length > 0);
  return [
    ...tiers.flatMap((tier) => tierRules(tier, direction, marks)),
    ...plan.profiles.flatMap((profile): Rule[] => [
      { action: `--jump ${profileChainName(profile, direction)}` },
      { match: markSet(marks.accept), action: "--jump RETURN", comments: ["Return if profile accepted"] },
    ]),
    { action: "--jump DROP", comments: ["Drop if no profiles matched"] },
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
