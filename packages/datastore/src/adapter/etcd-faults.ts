/**
 * What a failed call means for its caller.
 * - `notSent`: no connection could be made, so the request never left.
 * - `broken`: it may have been sent; the answer was lost. Safe to repeat for reads only.
 * - `refused`: etcd answered that it will not (no permission, bad request); repeating changes nothing.
 * - `lapsed`: etcd no longer takes the token; it did nothing, and will after another login.
 */
export type Fault = "notSent" | "broken" | "refused" | "lapsed";

/** The one place that looks at etcd3's and gRPC's message texts. */
export function faultOf(error: unknown): Fault {
  const { name, message } =
    error instanceof Error ? { name: error.constructor.name, message: error.message } : { name: "", message: String(error) };
  if (/No connection established|Name resolution failed|ECONNREFUSED/.test(message)) return "notSent";
  if (BROKEN.has(name) || /etcdserver: (request timed out|leader changed|no leader|server stopped|not ready)/.test(message))
    return "broken";
  return isLapsed(message) ? "lapsed" : "refused";
}

/** A token ends with its time, with etcd's restart, and (a JWT) with any change of users and roles; without one etcd has no user's name. */
export function isLapsed(message: string): boolean {
  return /invalid auth token|revision of auth store is old|auth: revision in header is old|user name is empty/.test(message);
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

/** The text of a fault for people: gRPC's own, and what to do about it where TLS is the cause. */
export function reasonOf(error: unknown, secure = false): string {
  const message = error instanceof Error ? error.message : String(error);
  const login = LOGIN_ADVICE.find(({ when }) => when.test(message));
  if (login !== undefined) return `${login.advice} (${message})`;
  const tls = TLS_ADVICE.find(({ when }) => when.test(message));
  if (tls !== undefined) return `${tls.advice} (${message})`;
  return secure && CUT.test(message) ? `${CUT_ADVICE} (${message})` : message;
}

const DENIED = /permission denied/;
const LOGIN_ADVICE: readonly { readonly when: RegExp; readonly advice: string }[] = [
  {
    when: DENIED,
    advice: "the role of this user (--etcd-user, or else the common name of --etcd-cert) does not allow it; see docs/operations.md",
  },
  { when: /authentication failed/, advice: "etcd does not take the user or the password of --etcd-user" },
  { when: /user name is empty/, advice: "etcd wants to know the user; see --etcd-user and --etcd-cert" },
];

/** TLS 1.3 tells a client of a refusal after the handshake: often all it sees is that the connection ends. */
const CUT = /EPIPE|ECONNRESET|ECONNABORTED|Connection (dropped|closed)|socket hang up|Protocol error/i;
const CUT_ADVICE = "etcd cut the connection, as it does with a client whose certificate it does not take; see --etcd-cert and --etcd-key";

const TLS_ADVICE: readonly { readonly when: RegExp; readonly advice: string }[] = [
  {
    when: /self.signed|unable to (verify|get)|UNKNOWN_CA|UnknownIssuer|invalid peer certificate|issuer/i,
    advice: "etcd's certificate was not issued by the authority in --etcd-ca",
  },
  {
    when: /certificate ?required|bad ?certificate|unknown ?ca|handshake ?failure/i,
    advice: "etcd refused this client's certificate; see --etcd-cert and --etcd-key",
  },
  { when: /altname|NotValidForName/i, advice: "etcd's certificate is not for the name or address in --etcd" },
];

/** Whether the user may not do that. */
export function isDenied(error: unknown): boolean {
  return error instanceof Error && DENIED.test(error.message);
}

/** Whether the call ran out of time: says nothing of why. */
export function isDeadline(error: unknown): boolean {
  return error instanceof Error && error.constructor.name === "GRPCDeadlineExceededError";
}
