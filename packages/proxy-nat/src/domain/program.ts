/**
 * One service's NAT: a chain per port that balances over its endpoints, a chain per endpoint that translates, and where to hook them.
 *
 * Source: kube-proxy pkg/proxy/iptables (KUBE-SVC, KUBE-SEP); the probability of endpoint i of n is 1/(n-i), so that each gets 1/n.
 */
import type { Ip } from "@calico/model";
import { makeChain, type Chain, type Rule } from "./chain.ts";
import type { DispatchEntry } from "./dispatch.ts";
import { chooseEndpoints, type Target } from "./endpoints.ts";
import { endpointChain, OURS, serviceChain, type Family } from "./names.ts";
import type { Service, ServicePort } from "./service.ts";
import type { Slice } from "./slice.ts";

/** Everything that one service puts into the kernel, and the UDP endpoints that it then has (for conntrack). */
export interface Program {
  readonly chains: readonly Chain[];
  /** Into the nat table's dispatch: to a service chain. */
  readonly served: readonly DispatchEntry[];
  /** Into the filter table's dispatch: REJECT or DROP. */
  readonly unserved: readonly DispatchEntry[];
  readonly udp: readonly UdpPort[];
}

export interface UdpPort {
  readonly vip: Ip;
  readonly port: number;
  readonly targets: readonly Target[];
}

export const EMPTY_PROGRAM: Program = { chains: [], served: [], unserved: [], udp: [] };

/** What service `id` ("namespace/name") needs on `node`. A function of its arguments only. */
export function renderService(id: string, service: Service, at: { readonly slices: readonly Slice[]; readonly node: string }): Program {
  const parts = service.clusterIps.flatMap((vip) => service.ports.map((port) => renderPort(id, service, { vip, port, ...at })));
  return {
    chains: parts.flatMap((p) => p.chains),
    served: parts.flatMap((p) => p.served),
    unserved: parts.flatMap((p) => p.unserved),
    udp: parts.flatMap((p) => p.udp),
  };
}

interface PortContext {
  readonly vip: Ip;
  readonly port: ServicePort;
  readonly slices: readonly Slice[];
  readonly node: string;
}

function renderPort(id: string, service: Service, { vip, port, slices, node }: PortContext): Program {
  const { family } = vip;
  const why = port.name === "" ? id : `${id}:${port.name}`;
  const portId = `${why}/${port.protocol}`;
  const verdict = chooseEndpoints(service, port, { slices, node, family });
  const targets = verdict.do === "balance" ? verdict.targets : [];
  const udp = port.protocol === "udp" ? [{ vip, port: port.port, targets }] : [];
  const entry = (target: string): DispatchEntry => ({ ip: vip, protocol: port.protocol, port: port.port, target, why });
  if (verdict.do !== "balance") return { chains: [], served: [], unserved: [entry(REFUSALS[verdict.do])], udp };
  const chains = [
    renderBalance(portId, targets, { family, why, affinitySec: service.affinitySec }),
    ...targets.map((t) => renderTarget(portId, t, { family, why, protocol: port.protocol, affinity: service.affinitySec !== undefined })),
  ];
  return { chains, served: [entry(`-j ${serviceChain(portId)}`)], unserved: [], udp };
}

const REFUSALS = { reject: "-j REJECT", drop: "-j DROP" } as const;

function renderBalance(
  portId: string,
  targets: readonly Target[],
  o: { readonly family: Family; readonly why: string; readonly affinitySec: number | undefined },
): Chain {
  const to = (t: Target) => endpointChain(portId, formatTarget(t, o.family));
  const sticky = o.affinitySec === undefined ? [] : targets;
  const rules: Rule[] = [
    { body: `-j ${OURS.sourceMasq}`, why: o.why },
    ...sticky.map((t): Rule => ({
      body: `-m recent --name ${to(t)} --rcheck --seconds ${o.affinitySec} --reap --rsource -j ${to(t)}`,
      why: o.why,
    })),
    ...targets.map((t, i): Rule => ({ body: `${share(targets.length - i)}-j ${to(t)}`, why: o.why })),
  ];
  return makeChain({ family: o.family, table: "nat", name: serviceChain(portId) }, rules);
}

/** The match that takes one of the `left` remaining shares; the last takes all. */
function share(left: number): string {
  return left === 1 ? "" : `-m statistic --mode random --probability ${(1 / left).toFixed(10)} `;
}

function renderTarget(
  portId: string,
  target: Target,
  o: { readonly family: Family; readonly why: string; readonly protocol: string; readonly affinity: boolean },
): Chain {
  const to = formatTarget(target, o.family);
  const name = endpointChain(portId, to);
  const remember = o.affinity ? `-m recent --name ${name} --set --rsource ` : "";
  return makeChain({ family: o.family, table: "nat", name }, [
    // A pod that reaches itself through the service must see the answer come back through the node.
    { body: `-s ${target.ip}/${o.family === 4 ? 32 : 128} -j ${OURS.markMasq}`, why: o.why },
    { body: `-p ${o.protocol} ${remember}-j DNAT --to-destination ${to}`, why: o.why },
  ]);
}

function formatTarget(t: Target, family: Family): string {
  return family === 4 ? `${t.ip}:${t.port}` : `[${t.ip}]:${t.port}`;
}
