/** What a create and an update must and must not carry. Source: facts §1.1.3 (libcalico-go/lib/clientv3/resources.go). */
import type { FieldError } from "@calico/model";
import type { ResourceInput } from "./resource-input.ts";

type Rule = {
  readonly field: string;
  readonly of: (object: ResourceInput) => string | undefined;
  readonly want: "set" | "unset";
  readonly reason: string;
};

const CREATE: readonly Rule[] = [
  {
    field: "Metadata.Name",
    of: (o) => o.metadata.name,
    want: "set",
    reason: "field must be set for a Create request (GenerateName is not supported)",
  },
  {
    field: "Metadata.ResourceVersion",
    of: (o) => o.metadata.resourceVersion,
    want: "unset",
    reason: "field must not be set for a Create request",
  },
];

const UPDATE_REASON = "field must be set for an Update request";
const UPDATE: readonly Rule[] = [
  { field: "Metadata.Name", of: (o) => o.metadata.name, want: "set", reason: UPDATE_REASON },
  { field: "Metadata.ResourceVersion", of: (o) => o.metadata.resourceVersion, want: "set", reason: UPDATE_REASON },
  { field: "Metadata.CreationTimestamp", of: (o) => o.metadata.creationTimestamp, want: "set", reason: UPDATE_REASON },
  { field: "Metadata.UID", of: (o) => o.metadata.uid, want: "set", reason: UPDATE_REASON },
];

export function writeFaults(operation: "create" | "update", object: ResourceInput, namespaced: boolean): FieldError[] {
  const faults: FieldError[] = [];
  for (const { field, of, want, reason } of operation === "create" ? CREATE : UPDATE) {
    const value = of(object) ?? "";
    if ((value !== "") !== (want === "set")) faults.push({ field, value, reason });
  }
  const namespace = object.metadata.namespace ?? "";
  if (namespaced && namespace === "") {
    faults.push({ field: "Metadata.Namespace", value: "", reason: "namespace is not specified on namespaced resource" });
  }
  if (!namespaced && namespace !== "") {
    faults.push({
      field: "Metadata.Namespace",
      value: namespace,
      reason: "namespace should not be specified on a non-namespaced resource",
    });
  }
  return faults;
}
