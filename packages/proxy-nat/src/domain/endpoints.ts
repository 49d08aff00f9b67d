import { compareIp, formatIp, type Ip } from "@calico/model";
import type { Family } from "./names.ts";
import type { Service, ServicePort } from "./service.ts";
import type { Slice, SliceEndpoint } from "./slice.ts";

export interface Target {
  readonly ip: string;
  readonly port: number;
}

/** What becomes of a new connection to one port: balanced, refused (nobody serves it), or dropped (nobody here serves it). */
export type Verdict = { readonly do: "balance"; readonly targets: readonly Target[] } | { readonly do: "reject" } | { readonly do: "drop" };

/**
 * The endpoints that serve one port of a service on this node, in the order of their addresses.
 *
 * Ready ones; if there are none, those that still serve while terminating. With internalTrafficPolicy Local the same
 * choice among this node's own; a port that is served elsewhere only is dropped, so that the client may retry elsewhere.
 *
 * Source: kube-proxy topology.go (CategorizeEndpoints), KEP-1669, KEP-2086.
 */
export function chooseEndpoints(
  service: Service,
  port: ServicePort,
  at: { slices: readonly Slice[]; node: string; family: Family },
): Verdict {
  const candidates = collect(port, at.slices, at.family);
  const everywhere = readyOrDraining(candidates);
  if (everywhere.length === 0) return { do: "reject" };
  if (!service.localOnly) return { do: "balance", targets: everywhere.map(targetOf) };
  const here = readyOrDraining(candidates.filter((c) => c.endpoint.node === at.node));
  return here.length === 0 ? { do: "drop" } : { do: "balance", targets: here.map(targetOf) };
}

interface Candidate {
  readonly endpoint: SliceEndpoint;
  readonly port: number;
}

/** One candidate per address and port, though several slices may list it: a ready mention wins, then a draining one. */
function collect(port: ServicePort, slices: readonly Slice[], family: Family): readonly Candidate[] {
  const found = new Map<string, Candidate>();
  for (const slice of slices)
    for (const p of slice.ports) {
      if (p.name !== port.name || p.protocol !== port.protocol) continue;
      for (const endpoint of slice.endpoints) {
        if (endpoint.ip.family !== family) continue;
        const key = `${endpoint.ip.value}|${p.port}`;
        const known = found.get(key);
        if (known === undefined || rank(endpoint) > rank(known.endpoint)) found.set(key, { endpoint, port: p.port });
      }
    }
  return [...found.values()].toSorted((a, b) => compareIp(a.endpoint.ip, b.endpoint.ip) || a.port - b.port);
}

function rank(e: SliceEndpoint): number {
  return e.ready ? 2 : e.draining ? 1 : 0;
}

function readyOrDraining(candidates: readonly Candidate[]): readonly Candidate[] {
  const ready = candidates.filter((c) => c.endpoint.ready);
  return ready.length > 0 ? ready : candidates.filter((c) => c.endpoint.draining);
}

function targetOf({ endpoint, port }: { endpoint: { ip: Ip }; port: number }): Target {
  return { ip: formatIp(endpoint.ip), port };
}
