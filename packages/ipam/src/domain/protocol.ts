/**
 * The service's socket protocol: one JSON object per line each way, matched by `id`. A request names an operation of
 * `Ipam`, its arguments in order, and the datastore to use, unless it is the daemon's own. Bigints travel as `"123n"`.
 */
import { z } from "zod";
import type { Ipam } from "../ports.ts";

export const OPERATIONS = [
  "autoAssign",
  "assignIp",
  "releaseIps",
  "releaseByHandle",
  "ipsByHandle",
  "own",
  "disown",
  "ownerOf",
  "utilization",
  "releaseHostAffinities",
  "ensureTunnelAddresses",
] as const satisfies readonly (keyof Ipam)[];
export type Operation = (typeof OPERATIONS)[number];

/** Where the datastore is. Files rather than their content, so that no key crosses the socket. */
export const targetSchema = z.object({
  endpoints: z.array(z.string()).min(1),
  keyFile: z.string().optional(),
  certFile: z.string().optional(),
  caFile: z.string().optional(),
});
export type EtcdTarget = z.output<typeof targetSchema>;

export const requestSchema = z.object({
  id: z.number().int(),
  op: z.enum(OPERATIONS),
  args: z.array(z.unknown()),
  etcd: targetSchema.optional(),
});
export type WireRequest = z.output<typeof requestSchema>;

/** `fault`: the operation threw; the datastore is away, or the request was not understood. */
export const answerSchema = z.union([
  z.object({ id: z.number().int(), value: z.unknown() }),
  z.object({ id: z.number().int(), fault: z.object({ message: z.string(), unavailable: z.boolean() }) }),
]);
export type WireAnswer = z.output<typeof answerSchema>;

export function renderLine(message: WireRequest | WireAnswer): string {
  return `${JSON.stringify(message, (_key, value: unknown) => (typeof value === "bigint" ? `${value}n` : value))}\n`;
}

/** JSON with bigints restored; undefined if it is not JSON. */
export function parseLine(line: string): unknown {
  try {
    return JSON.parse(line, (_key, value: unknown) =>
      typeof value === "string" && /^\d{1,20}n$/.test(value) ? BigInt(value.slice(0, -1)) : value,
    );
  } catch {
    return undefined;
  }
}

/** One key per datastore, whatever the order of its endpoints. */
export function targetKey(target: EtcdTarget): string {
  return JSON.stringify([target.endpoints.toSorted(), target.keyFile, target.certFile, target.caFile]);
}

/** A datastore from the text of `etcd_endpoints`: a comma separated list. */
export function endpointsOf(text: string): readonly string[] {
  return text
    .split(",")
    .map((s) => s.trim())
    .filter((s) => s !== "");
}
