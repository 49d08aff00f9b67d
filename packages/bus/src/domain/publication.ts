import type { Publication } from "../ports.ts";
import { useOfKey } from "./subject.ts";

/** A key as the store shows it: a value, or a delete. */
export type Change =
  | { readonly kind: "put"; readonly key: string; readonly value: string; readonly modRevision: number; readonly seenAt?: number }
  | { readonly kind: "delete"; readonly key: string; readonly modRevision: number; readonly seenAt?: number };

/** What becomes of a change. `refused` ones are counted, logged with their key, and passed over. */
export type Ruling =
  { readonly kind: "publish"; readonly publication: Publication } | { readonly kind: "ignore" } | ({ readonly kind: "refuse" } & Refusal);

export interface Refusal {
  readonly key: string;
  readonly revision: number;
  readonly reason: RefusalReason;
  /** A key that was refused may go, too. */
  readonly op: "put" | "delete";
}

export type RefusalReason = "unknownKey" | "notJson" | "tooLarge";

/** What etcd takes in one request as it comes; a value above it is refused wherever it is read. */
export const MAX_DATA_OCTETS = 1.5 * 2 ** 20;
/** A message's headers count against the server's max_payload, which is 1 MiB unless it is configured. */
const HEADERS_OCTETS = 2048;
const DEFAULT_MAX_PAYLOAD = 2 ** 20;

/** The largest value that a log on such a server carries. A reader of the store refuses the same ones. */
export function maxDataOctets(maxPayload = DEFAULT_MAX_PAYLOAD): number {
  return Math.min(MAX_DATA_OCTETS, maxPayload - HEADERS_OCTETS);
}

/** `nowMs` stands for the time of a change that does not bring its own. */
export function ruleOn(change: Change, { maxDataOctets, nowMs }: { readonly maxDataOctets: number; readonly nowMs: number }): Ruling {
  const { key, modRevision: revision, seenAt = nowMs } = change;
  const use = useOfKey(key);
  if (use.kind === "ignored") return { kind: "ignore" };
  if (use.kind === "unknown") return { kind: "refuse", op: change.kind, key, revision, reason: "unknownKey" };
  const base = { key, subject: use.subject, revision, seenAt };
  if (change.kind === "delete") return { kind: "publish", publication: { ...base, op: "delete", data: "" } };
  // An affinity written in the v2 era has an empty value, which means {}. Source: facts §2.3.2.
  const data = change.value === "" && use.ref.ref.kind === "BlockAffinity" ? "{}" : change.value;
  if (octets(data) > maxDataOctets) return { kind: "refuse", op: "put", key, revision, reason: "tooLarge" };
  if (!isJsonObject(data)) return { kind: "refuse", op: "put", key, revision, reason: "notJson" };
  return { kind: "publish", publication: { ...base, op: "put", data } };
}

function octets(text: string): number {
  return new TextEncoder().encode(text).length;
}

function isJsonObject(text: string): boolean {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === "object" && json !== null && !Array.isArray(json);
  } catch {
    return false;
  }
}
