/** A change as the bus brings it. Structurally the bus package's own type: the graph is fed by it, by tests and by replay alike. */
import type { ParsedKey } from "@calico/model";

export type FeedEvent =
  | {
      readonly kind: "updated";
      readonly key: string;
      readonly ref: ParsedKey;
      readonly value: unknown;
      readonly revision: number;
      readonly seenAt?: number;
    }
  | { readonly kind: "deleted"; readonly key: string; readonly ref: ParsedKey; readonly revision: number; readonly seenAt?: number }
  | { readonly kind: "inSync"; readonly revision: number };
