/** What proxy-nat needs of the world. */
import type { FeedEvent } from "@calico/bus";
import type { Applied, Result, Status } from "@calico/model";
import type { StaleFlow } from "./domain/core.ts";
import type { Family, TableName } from "./domain/names.ts";

/** The NAT and filter tables of one family. `@calico/linux`'s Iptables is one. */
export interface Tables {
  readonly family: Family;
  save(table: TableName): Promise<string>;
  restore(text: string, options: { readonly noflush: true }): Promise<Result<void, { readonly message: string }>>;
}

/** Makes the kernel forget UDP flows. Answers how many it forgot. */
export interface Conntrack {
  forget(flows: readonly StaleFlow[]): Promise<number>;
}

/** Says on the bus what was done; it knows who says it. */
export interface Reporter {
  status(body: Omit<Status, "component" | "node">): void;
  applied(body: Omit<Applied, "component" | "node">): void;
}

export interface Clock {
  /** Monotonic milliseconds. */
  nowMs(): number;
  /** The date, as ISO text, for reports. */
  timestamp(): string;
  /** Resolves after `ms`, at once when the signal fires. */
  pause(ms: number, signal: AbortSignal): Promise<void>;
}

export type Feed = AsyncIterable<readonly FeedEvent[]>;
