/**
 * The record of a host's claim on a block.
 *
 * Source: calico libcalico-go/lib/backend/model/block_affinity.go; facts about the two phases in libcalico-go/lib/ipam/ipam_block_reader_writer.go.
 */
export type AffinityState = "pending" | "confirmed" | "pendingDeletion";

/** An empty value, an empty state, and what does not parse as JSON (data of older versions) count as confirmed. */
export function parseAffinity(text: string): AffinityState {
  try {
    const json: unknown = JSON.parse(text === "" ? "{}" : text);
    const state = typeof json === "object" && json !== null && "state" in json ? json.state : undefined;
    return state === "pending" || state === "pendingDeletion" ? state : "confirmed";
  } catch {
    return "confirmed";
  }
}

export function renderAffinity(state: AffinityState): string {
  return JSON.stringify({ state, deleted: false });
}

/** Whose affinity: a node's, or that of an owner which is no node, such as `load-balancer`. */
export type Claimant = { readonly type: "host" | "virtual"; readonly name: string };

export function claimantText(c: Claimant): string {
  return `${c.type}:${c.name}`;
}

export function parseClaimant(text: string | undefined): Claimant | undefined {
  const m = /^(host|virtual):(.+)$/.exec(text ?? "");
  return m?.[2] === undefined ? undefined : { type: m[1] as "host" | "virtual", name: m[2] };
}
