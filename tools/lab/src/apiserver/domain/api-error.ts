/** Kubernetes' `Status` answers, one function per reason. Source: Kubernetes API conventions, "Response Status Kind"; apimachinery api/errors. */
import type { ApiKind } from "./kinds.ts";

export interface Status {
  readonly kind: "Status";
  readonly apiVersion: "v1";
  readonly metadata: Record<string, never>;
  readonly status: "Success" | "Failure";
  readonly message?: string;
  readonly reason?: string;
  readonly details?: StatusDetails;
  readonly code: number;
}

interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly Cause[];
  readonly retryAfterSeconds?: number;
}

interface Cause {
  readonly reason: string;
  readonly message: string;
  readonly field?: string;
}

/** A request that is answered with a failure. */
export class ApiError extends Error {
  readonly status: Status;

  constructor(code: number, reason: string, message: string, details?: StatusDetails) {
    super(message);
    this.name = "ApiError";
    this.status = {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message,
      reason,
      ...(details === undefined ? {} : { details }),
      code,
    };
  }
}

export function success(details: StatusDetails): Status {
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details, code: 200 };
}

const resource = (kind: ApiKind) => (kind.group === "" ? kind.plural : `${kind.plural}.${kind.group}`);
const about = (kind: ApiKind, name: string) => ({ name, ...(kind.group === "" ? {} : { group: kind.group }), kind: kind.plural });

export const badRequest = (message: string) => new ApiError(400, "BadRequest", message);
export const unauthorized = () => new ApiError(401, "Unauthorized", "Unauthorized");
export const forbidden = (kind: ApiKind, name: string, why: string) =>
  new ApiError(403, "Forbidden", `${resource(kind)} "${name}" is forbidden: ${why}`, about(kind, name));
export const notFound = (kind: ApiKind, name: string) =>
  new ApiError(404, "NotFound", `${resource(kind)} "${name}" not found`, about(kind, name));
export const noSuchPath = () => new ApiError(404, "NotFound", "the server could not find the requested resource", {});
export const methodNotAllowed = () =>
  new ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {});
export const notAcceptable = () =>
  new ApiError(406, "NotAcceptable", "only the following media types are accepted: application/json, application/json;stream=watch");
export const alreadyExists = (kind: ApiKind, name: string) =>
  new ApiError(409, "AlreadyExists", `${resource(kind)} "${name}" already exists`, about(kind, name));
export const conflict = (kind: ApiKind, name: string, why = MODIFIED) =>
  new ApiError(409, "Conflict", `Operation cannot be fulfilled on ${resource(kind)} "${name}": ${why}`, about(kind, name));
export const expired = (at: string, oldest: string) => new ApiError(410, "Expired", `too old resource version: ${at} (${oldest})`);
export const tooLarge = (limit: number) => new ApiError(413, "RequestEntityTooLarge", `Request entity too large: limit is ${limit}`);
export const unsupportedMedia = (type: string, accepted: readonly string[]) =>
  new ApiError(
    415,
    "UnsupportedMediaType",
    `the body of the request was in an unknown format "${type}" - accepted media types include: ${accepted.join(", ")}`,
  );
export const notImplemented = (what: string) => new ApiError(501, "NotImplemented", `${what} is not implemented by the lab's API server`);

/** 504: a watch or list asks for a version that the store has not reached. Clients then list afresh. */
export const tooNew = (asked: string, current: number) =>
  new ApiError(504, "Timeout", `Too large resource version: ${asked}, current: ${current}`, {
    causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
    retryAfterSeconds: 1,
  });

const MODIFIED = "the object has been modified; please apply your changes to the latest version and try again";

export interface FieldProblem {
  readonly field: string;
  readonly message: string;
  readonly reason?: "FieldValueInvalid" | "FieldValueRequired" | "FieldValueForbidden" | "FieldValueDuplicate";
}

/** 422 with one cause per problem. */
export function invalid(kind: ApiKind, name: string, problems: readonly FieldProblem[]): ApiError {
  const list = problems.map((p) => `${p.field}: ${p.message}`);
  const text = list.length === 1 ? list[0] : `[${list.join(", ")}]`;
  const causes = problems.map((p) => ({ reason: p.reason ?? "FieldValueInvalid", message: p.message, field: p.field }));
  const details = { name, ...(kind.group === "" ? {} : { group: kind.group }), kind: kind.kind, causes };
  return new ApiError(422, "Invalid", `${kind.kind}${kind.group === "" ? "" : `.${kind.group}`} "${name}" is invalid: ${text}`, details);
}
