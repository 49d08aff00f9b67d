import type { ResourceClient } from "@calico/datastore";

/**
 * The same client, where a `get` of an object that is being read joins that read: thirty pods that start at once look at the same
 * ClusterInformation and the same profile.
 */
export function shareReads(client: ResourceClient): ResourceClient {
  const underWay = new Map<string, Promise<unknown>>();
  const get: ResourceClient["get"] = (ref) => {
    const key = JSON.stringify([ref.kind, ref.namespace, ref.name]);
    const joined = underWay.get(key) as ReturnType<typeof client.get<typeof ref.kind>> | undefined;
    if (joined !== undefined) return joined;
    const read = client.get(ref).finally(() => underWay.delete(key));
    underWay.set(key, read);
    return read;
  };
  return { ...client, get };
}
