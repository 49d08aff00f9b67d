/** A packet as the filter sees it, and the node's own knowledge of it. */
export type Packet = {
  readonly in?: string;
  readonly out?: string;
  readonly src: string;
  readonly dst: string;
  /** Lower-case name or number. */
  readonly protocol: string | number;
  readonly sport?: number;
  readonly dport?: number;
  readonly icmp?: { readonly type: number; readonly code: number };
  /** Default NEW. */
  readonly state?: "NEW" | "ESTABLISHED" | "RELATED" | "INVALID";
};
