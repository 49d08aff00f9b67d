/** The Services of type LoadBalancer that kube-controllers mirrors into the datastore, as `namespace/name`. */
import type { Store } from "@calico/datastore";
import { prefixOf } from "@calico/model";

export async function loadBalancers(store: Pick<Store, "list">): Promise<ReadonlySet<string>> {
  const { items } = await store.list(prefixOf("KubernetesService"));
  return new Set(items.flatMap(({ key, value }) => (typeOf(value) === "LoadBalancer" ? key.split("/").slice(-2).join("/") : [])));
}

/** What does not parse is of no type. */
function typeOf(value: string): unknown {
  try {
    return (JSON.parse(value) as { spec?: { type?: unknown } } | null)?.spec?.type;
  } catch {
    return undefined;
  }
}
