/** A policy rule as felix works with it: selectors are resolved to IP set ids, ports are numbers, names are in lower case. */

export type Action = "allow" | "deny" | "pass" | "log";
/** Inclusive. */
export type PortRange = { readonly min: number; readonly max: number };

/** A protocol by iptables' name or by number. */
export type Protocol = string | number;
export type Icmp = { readonly type?: number; readonly code?: number };

/** One side of a rule. All that is given must match; `sets` must all match, of `namedPortSets` and `ports` one. */
export type RuleSide = {
  readonly nets: readonly string[];
  readonly notNets: readonly string[];
  readonly sets: readonly string[];
  readonly notSets: readonly string[];
  readonly ports: readonly PortRange[];
  readonly notPorts: readonly PortRange[];
  readonly namedPortSets: readonly string[];
  readonly notNamedPortSets: readonly string[];
};

export type PolicyRule = {
  readonly action: Action;
  readonly ipVersion?: 4 | 6;
  readonly protocol?: Protocol;
  readonly notProtocol?: Protocol;
  readonly icmp?: Icmp;
  readonly notIcmp?: Icmp;
  readonly source: RuleSide;
  readonly destination: RuleSide;
  /** `key=value` of the rule's metadata annotations, sorted. */
  readonly comments: readonly string[];
};

export const ANY_SIDE: RuleSide = {
  nets: [],
  notNets: [],
  sets: [],
  notSets: [],
  ports: [],
  notPorts: [],
  namedPortSets: [],
  notNamedPortSets: [],
};
