/** What the chains that do not belong to one workload or policy depend on. */
import type { Marks } from "../marks.ts";
import { CHAIN_PREFIX } from "../names.ts";
import type { Family } from "../names.ts";
import type { HookRule, RenderedChain, TableName } from "../program.ts";

export type StaticOptions = {
  readonly family: Family;
  readonly marks: Marks;
  /** A pool with VXLAN, or with IPIP, exists. */
  readonly vxlan: boolean;
  readonly ipip: boolean;
  readonly vxlanPort: number;
  readonly vxlanDevice: string;
  readonly ipipDevice: string;
  readonly endpointToHostAction: "DROP" | "ACCEPT" | "RETURN";
  /** Service networks that are advertised: traffic to them that comes back unresolved would loop. */
  readonly serviceCidrs: readonly string[];
};

export type StaticTable = { readonly table: TableName; readonly chains: readonly RenderedChain[]; readonly hooks: readonly HookRule[] };

/** Places where host endpoints' chains will hang. Empty, they return. */
export const HOST_CHAINS = {
  from: `${CHAIN_PREFIX}from-host-endpoint`,
  to: `${CHAIN_PREFIX}to-host-endpoint`,
  fromForward: `${CHAIN_PREFIX}from-hep-forward`,
  toForward: `${CHAIN_PREFIX}to-hep-forward`,
} as const;
