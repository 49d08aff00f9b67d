/**
 * Dispatch by interface: from the one place where workloads' packets pass to the chain of the right workload.
 *
 * A new workload is one rule put in between, so that nothing is taken out: the kernel makes whoever takes a rule out wait for every
 * reader of the tables, some 15 ms, and CNI's ADD with it.
 *
 * Interfaces that share the character after the prefix share a sub-chain, so that a packet meets some sixteenth of the rules and
 * a new workload rewrites one small chain. An interface without an entry is dropped: a veth carries nothing before its
 * policy is there.
 *
 * Source: Calico felix/rules/dispatch.go (buildSingleDispatchChains).
 * Deviation: the shared prefix is the interface prefix, not the longest one of the moment, so that chains do not move as workloads come and go.
 */
import { DISPATCH, INTERFACE_PREFIX } from "../names.ts";
import type { RenderedChain, Rule } from "../program.ts";
import { renderChain } from "./chain.ts";
import { endpointChainName } from "./endpoint-chains.ts";

export type DispatchSide = keyof typeof DISPATCH;
const FLAG = { from: "-i", to: "-o" } as const;

/** The bucket of an interface: its first character after the prefix. */
export function bucketOf(iface: string): string {
  return iface.startsWith(INTERFACE_PREFIX) ? (iface[INTERFACE_PREFIX.length] ?? "") : "";
}

export function subChainName(side: DispatchSide, bucket: string): string {
  return `${DISPATCH[side]}-${bucket}`;
}

/** A sub-chain, or undefined when the bucket is so small that its rules stand in the root. */
export function renderSubChain(side: DispatchSide, bucket: string, ifaces: readonly string[]): RenderedChain | undefined {
  if (!needsSubChain(bucket, ifaces)) return undefined;
  const rules = [...ifaces.toSorted().map((iface) => gotoEndpoint(side, iface)), unknown(side)];
  return renderChain(subChainName(side, bucket), rules, { marks: "each" });
}

export function renderRoot(side: DispatchSide, buckets: ReadonlyMap<string, ReadonlySet<string>>): RenderedChain {
  const rules = [...buckets]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([bucket, ifaces]) => {
      const names = [...ifaces].toSorted();
      if (!needsSubChain(bucket, names)) return names.map((iface) => gotoEndpoint(side, iface));
      return [{ match: `${FLAG[side]} ${INTERFACE_PREFIX}${bucket}+`, action: `--goto ${subChainName(side, bucket)}` }];
    });
  return renderChain(DISPATCH[side], [...rules, unknown(side)], { marks: "each" });
}

function needsSubChain(bucket: string, ifaces: readonly string[]): boolean {
  return bucket !== "" && ifaces.length > 1;
}

function gotoEndpoint(side: DispatchSide, iface: string): Rule {
  return { match: `${FLAG[side]} ${iface}`, action: `--goto ${endpointChainName[side](iface)}` };
}

function unknown(_side: DispatchSide): Rule {
  return { action: "--jump DROP", comments: ["Unknown interface"] };
}
