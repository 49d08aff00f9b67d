/**
 * What a failed call means for its caller.
 * - `notSent`: no connection could be made, so the request never left.
 * - `broken`: it may have been sent; the answer was lost. Safe to repeat for reads only.
 * - `refused`: etcd answered that it will not (no permission, bad request); repeating changes nothing.
 */
export type Fault = "notSent" | "broken" | "refused";

/** The one place that looks at etcd3's and gRPC's message texts. */
export function faultOf(error: unknown): Fault {
  const { name, message } =
    error instanceof Error ? { name: error.constructor.name, message: error.message } : { name: "", message: String(error) };
  if (/No connection established|Name resolution failed|ECONNREFUSED/.test(message)) return "notSent";
  if (BROKEN.has(name) || /etcdserver: (request timed out|leader changed|no leader|server stopped|not ready)/.test(message))
    return "broken";
  return "refused";
}

const BROKEN: ReadonlySet<string> = new Set([
  "GRPCUnavailableError",
  "GRPCCancelledError",
  "GRPCDeadlineExceededError",
  "GRPCInternalError",
  "GRPCUnknownError",
  "GRPCAbortedError",
  "ClientClosedError",
]);
