import { distrust, wentBack } from "../domain/ipam-gc-trust.ts";
import type { Judged } from "../domain/ipam-gc-ledger.ts";
import { isNodeGone, judge } from "../domain/ipam-gc.ts";
import type { GcPorts } from "./ipam-gc.ts";
import { look, type Look } from "./ipam-gc-look.ts";

export interface Observer {
  /** Look, and judge every address; rejects when what is seen is no evidence. */
  observe(): Promise<{ readonly seen: Look; readonly judged: readonly Judged[] }>;
  /** Whether a look since the last restore saw this node: its absence is a deletion then, not a late registration. */
  sawNode(node: string): boolean;
}

/** `onRestored`: the API's history is older than it was; what was concluded from what was seen before is void. */
export function makeObserver(ports: Pick<GcPorts, "kube" | "store" | "ipam" | "log" | "signal">, onRestored: () => void): Observer {
  const nodes = new Set<string>();
  let newest: string | undefined;
  return {
    sawNode: (node) => nodes.has(node),
    async observe() {
      const seen = await look(ports);
      const { census, world } = seen;
      const problem = distrust(world, census.allocations);
      if (problem !== undefined) throw new Error(problem);
      if (wentBack(newest, world.nodesRevision)) {
        const revisions = { before: newest, now: world.nodesRevision };
        ports.log.warn("the kubernetes api's history is older than it was, all grace begins anew", revisions);
        nodes.clear();
        onRestored();
      }
      newest = world.podsRevision;
      for (const node of world.calicoNodes.keys()) if (!isNodeGone(node, world)) nodes.add(node);
      for (const node of world.kubeNodes) nodes.add(node);
      const judged = census.allocations.map((allocation) => ({ allocation, verdict: judge(allocation, world, (n) => nodes.has(n)) }));
      return { seen, judged };
    },
  };
}
