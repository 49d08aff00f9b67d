import { keyOf } from "@calico/model";
import type { LogEntry } from "../ports.ts";

const IDENTITY_KEY = keyOf({ kind: "ClusterInformation", name: "default" });

/**
 * Whether the store is another one than the log tells of, or was emptied: an initialised store always has ClusterInformation `default`.
 *
 * To publish such a store would take every node's policies, endpoints and routes away. What is known stays (design §4.1), until somebody
 * says what the new store is by initialising it.
 */
export function isStoreLost(
  entries: ReadonlyMap<string, LogEntry>,
  store: { readonly puts: readonly { readonly key: string }[]; readonly refused: ReadonlySet<string> },
): boolean {
  const known = entries.get(IDENTITY_KEY)?.op === "put";
  return known && !store.refused.has(IDENTITY_KEY) && !store.puts.some((p) => p.key === IDENTITY_KEY);
}
