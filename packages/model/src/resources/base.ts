/** What the schemas of all kinds share: loose objects, metadata, and the error that names a field. */
import { z } from "zod";

/** `field` is a path such as `spec.ingress[0].action`; `at` the offset in a selector's text. */
export type FieldError = { readonly field: string; readonly value: unknown; readonly reason: string; readonly at?: number };

/**
 * An object whose unknown fields are kept, so that reading and writing back loses nothing that a newer Calico wrote.
 * The type shows the known fields only; calicoctl refuses unknown ones with `unknownFields`.
 */
export function object<S extends z.ZodRawShape>(shape: S): z.ZodObject<S, z.core.$strip> {
  return z.looseObject(shape) as unknown as z.ZodObject<S, z.core.$strip>;
}

/** Schemas are built at their first use: a daemon reads a few kinds, and each field of each kind is some kilobytes. */
export function once<S>(make: () => S): () => S {
  let made: S | undefined;
  return () => (made ??= make());
}

const stringMap = once(() => z.record(z.string(), z.string()));

export const metadataSchema = once(() =>
  object({
    name: z.string().min(1, "field is required"),
    namespace: z.string().optional(),
    labels: stringMap().optional(),
    annotations: stringMap().optional(),
    uid: z.string().optional(),
    creationTimestamp: z.string().optional(),
    deletionTimestamp: z.string().optional(),
    /** The decimal etcd revision. Set on read, never stored. */
    resourceVersion: z.string().optional(),
    generateName: z.string().optional(),
    generation: z.number().optional(),
    finalizers: z.array(z.string()).optional(),
    ownerReferences: z.array(z.unknown()).optional(),
  }),
);

/** The schema of one kind. */
export function resource<const K extends string, S extends z.ZodType>(kind: K, spec: S) {
  return object({ kind: z.literal(kind), apiVersion: z.string(), metadata: metadataSchema(), spec });
}

/** As resource, for kinds that have a status. */
export function resourceWithStatus<const K extends string, S extends z.ZodType, T extends z.ZodType>(kind: K, spec: S, status: T) {
  return object({ kind: z.literal(kind), apiVersion: z.string(), metadata: metadataSchema(), spec, status: status.optional() });
}

export type DeepReadonly<T> = T extends (infer E)[]
  ? readonly DeepReadonly<E>[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;
