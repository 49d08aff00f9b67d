/** The part of the API's `Status` object that a client acts on. */
export interface StatusDetail {
  readonly reason: string;
  readonly message: string;
  readonly code: number;
  readonly details?: unknown;
}

/** The API server answered, and the answer was an error. `status` is the HTTP status, `reason` the Status object's word for it. */
export class KubeError extends Error {
  readonly status: number;
  readonly reason: string;
  readonly details: unknown;

  constructor(what: string, detail: StatusDetail) {
    super(`Cannot ${what}: ${detail.message} (${detail.code} ${detail.reason})`);
    this.name = "KubeError";
    this.status = detail.code;
    this.reason = detail.reason;
    this.details = detail.details;
  }
}

/** No answer: the connection could not be made, or broke. */
export class KubeConnectionError extends Error {
  constructor(what: string, cause: unknown) {
    super(`Cannot ${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.name = "KubeConnectionError";
  }
}

export const isNotFound = (e: unknown): boolean => e instanceof KubeError && e.status === 404;
export const isConflict = (e: unknown): boolean => e instanceof KubeError && e.status === 409 && e.reason === "Conflict";
export const isAlreadyExists = (e: unknown): boolean => e instanceof KubeError && e.status === 409 && e.reason === "AlreadyExists";

/**
 * Whether a watch cannot go on from its resourceVersion and needs a new list: it is compacted (410), or it is ahead of the
 * store, because that one was replaced (504 with the cause ResourceVersionTooLarge).
 *
 * Source: Kubernetes API concepts, "410 Gone responses"; client-go tools/cache/reflector.go (isTooLargeResourceVersionError).
 */
export function needsRelist(e: unknown): boolean {
  if (!(e instanceof KubeError)) return false;
  return (
    e.status === 410 ||
    (e.status === 504 && /Too large resource version|ResourceVersionTooLarge/.test(`${e.message} ${JSON.stringify(e.details ?? "")}`))
  );
}

const REASONS: Readonly<Record<number, string>> = {
  400: "BadRequest",
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  409: "Conflict",
  410: "Expired",
  422: "Invalid",
  429: "TooManyRequests",
  500: "InternalError",
  503: "ServiceUnavailable",
  504: "Timeout",
};

/** Read an error body: a Status object, or, from proxies and the like, any text. */
export function statusDetail(code: number, body: string): StatusDetail {
  const parsed = parseObject(body);
  if (parsed?.["kind"] === "Status") {
    const { reason, message, details } = parsed;
    return {
      code,
      reason: typeof reason === "string" && reason !== "" ? reason : (REASONS[code] ?? "Unknown"),
      message: typeof message === "string" && message !== "" ? message : `HTTP ${code}`,
      details,
    };
  }
  return { code, reason: REASONS[code] ?? "Unknown", message: body.trim() === "" ? `HTTP ${code}` : body.trim().slice(0, 200) };
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined; // not JSON: the caller shows the text itself
  }
}
