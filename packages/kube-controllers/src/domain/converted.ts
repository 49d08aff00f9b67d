import type { ObjectKind } from "@calico/model";
import type { ResourceInput } from "@calico/datastore";

/** What a Kubernetes object becomes in the datastore. */
export type Converted<K extends ObjectKind> =
  /** `problems` names what was left out. */
  | { readonly kind: "wanted"; readonly object: ResourceInput<K>; readonly problems: readonly string[] }
  /** There is to be nothing in the datastore for it. */
  | { readonly kind: "unwanted" }
  /** It cannot be said what it means. What the datastore holds for it stays as it is: removing a policy would open what it closed. */
  | { readonly kind: "refused"; readonly problems: readonly string[] };
