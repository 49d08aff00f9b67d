/**
 * The chains that every node has, and the hooks that lead into ours.
 *
 * Source: kube-proxy pkg/proxy/iptables (KUBE-MARK-MASQ, KUBE-POSTROUTING, iptablesJumpChains).
 */
import { formatCidr, type Cidr } from "@calico/model";
import { commented, makeChain, type Chain, type Rule } from "./chain.ts";
import { MASQUERADE_MARK, OURS, ruleHash, type Family, type TableName } from "./names.ts";

export interface StaticConfig {
  /** Where pods live. A client from elsewhere is masqueraded, so that the answer comes back through this node. */
  readonly clusterCidrs: readonly Cidr[];
}

/** The service-independent chains of one family. */
export function renderStatics(family: Family, config: StaticConfig): readonly Chain[] {
  const chain = (name: string, rules: readonly Rule[]) => makeChain({ family, table: "nat", name }, rules);
  return [
    chain(OURS.markMasq, [{ body: `-j MARK --set-xmark ${MASQUERADE_MARK}` }]),
    chain(OURS.sourceMasq, sourceRules(config.clusterCidrs.filter((c) => c.family === family))),
    chain(OURS.postrouting, [
      { body: `-m mark ! --mark ${MASQUERADE_MARK} -j RETURN` },
      // Cleared, so that a packet that comes by again (a tunnel's outer packet) is not masqueraded twice.
      { body: "-j MARK --set-xmark 0x4000/0x0" },
      { body: "-j MASQUERADE --random-fully" },
    ]),
  ];
}

/**
 * Which clients of a service are masqueraded. Without a known cluster CIDR only the node's own processes: their source address was chosen for
 * the way to the service address, which is another than the way to the pod.
 */
function sourceRules(cidrs: readonly Cidr[]): readonly Rule[] {
  if (cidrs.length === 0) return [{ body: `-m addrtype --src-type LOCAL -j ${OURS.markMasq}` }];
  return [...cidrs.map((c): Rule => ({ body: `-s ${formatCidr(c)} -j RETURN` })), { body: `-j ${OURS.markMasq}` }];
}

/** A rule of ours in a chain that is the kernel's. It must be there, anywhere in the chain; it is put at the top. */
export interface Hook {
  readonly table: TableName;
  readonly chain: string;
  readonly hash: string;
  /** What follows `-I CHAIN` or `-D CHAIN`. */
  readonly rule: string;
}

function hook(table: TableName, chain: string, body: string): Hook {
  const hash = ruleHash(`${table}/${chain}`, body);
  return { table, chain, hash, rule: commented({ body }, hash) };
}

/** Services nobody serves are refused in filter: nat can only translate. */
export const HOOKS: readonly Hook[] = [
  hook("nat", "PREROUTING", `-j ${OURS.services}`),
  hook("nat", "OUTPUT", `-j ${OURS.services}`),
  hook("nat", "POSTROUTING", `-j ${OURS.postrouting}`),
  hook("filter", "FORWARD", `-m conntrack --ctstate NEW -j ${OURS.unserved}`),
  hook("filter", "OUTPUT", `-m conntrack --ctstate NEW -j ${OURS.unserved}`),
];
