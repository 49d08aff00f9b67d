import { type FieldError, formatFieldErrors } from "@calico/model";

/** Names an object in an error; looser than ObjectRef, so that a wrong request can be named too. */
export interface Identifier {
  readonly kind: string;
  readonly namespace?: string | undefined;
  readonly name: string;
}

/** Why an operation on a resource did nothing. `message` is Calico's wording, for people. */
export type DatastoreError =
  | {
      readonly kind: "alreadyExists" | "doesNotExist" | "updateConflict" | "notSupported" | "unparsable" | "partiallyFailed";
      readonly ref: Identifier;
      readonly message: string;
    }
  | { readonly kind: "invalid"; readonly ref: Identifier; readonly message: string; readonly fields: readonly FieldError[] };

/** `Kind(name)` or `Kind(namespace/name)`. */
export function formatId({ kind, namespace, name }: Identifier): string {
  return `${kind}(${namespace === undefined ? "" : `${namespace}/`}${name})`;
}

/** What stands at a foreign key may be a megabyte. */
function shorten(value: string): string {
  return value.length > 1000 ? `${value.slice(0, 1000)}…` : value;
}

/** Source: calico libcalico-go/lib/errors (errors.go), facts §2.2.10. */
export const datastoreErrors = {
  alreadyExists: (ref: Identifier, why: string): DatastoreError => ({
    kind: "alreadyExists",
    ref,
    message: `resource already exists: ${formatId(ref)} with error: ${why}`,
  }),
  doesNotExist: (ref: Identifier, why: string): DatastoreError => ({
    kind: "doesNotExist",
    ref,
    message: `resource does not exist: ${formatId(ref)} with error: ${why}`,
  }),
  updateConflict: (ref: Identifier): DatastoreError => ({ kind: "updateConflict", ref, message: `update conflict: ${formatId(ref)}` }),
  notSupported: (operation: string, ref: Identifier, reason: string): DatastoreError => ({
    kind: "notSupported",
    ref,
    message: `operation ${operation} is not supported on ${formatId(ref)}: ${reason}`,
  }),
  partiallyFailed: (ref: Identifier, why: string): DatastoreError => ({
    kind: "partiallyFailed",
    ref,
    message: `operation partially failed: ${formatId(ref)} ${why}`,
  }),
  unparsable: (ref: Identifier, key: string, value: string, why: string): DatastoreError => ({
    kind: "unparsable",
    ref,
    message: `failed to parse datastore entry key=${key}; value=${shorten(value)}: ${why}`,
  }),
  invalid: (ref: Identifier, fields: readonly FieldError[]): DatastoreError => ({
    kind: "invalid",
    ref,
    fields,
    message: formatFieldErrors(fields),
  }),
};
