import { keyOf } from "@calico/model";

export const IDENTITY_KEY = keyOf({ kind: "ClusterInformation", name: "default" });

/** Whose objects these are, by ClusterInformation `default`; an initialised store always has one. */
export interface Identity {
  readonly clusterGuid: string | undefined;
}

/** `hold`: publish nothing, for this reason. `adopt`: the log is to be written anew, from this store. */
export type IdentityRuling = { readonly kind: "same" } | { readonly kind: "adopt" } | { readonly kind: "hold"; readonly reason: string };

/** From ClusterInformation's JSON; undefined where there is none. */
export function identityOf(json: string | undefined): Identity | undefined {
  if (json === undefined) return undefined;
  const { spec } = parsed(json) as { readonly spec?: { readonly clusterGUID?: unknown } };
  return { clusterGuid: typeof spec?.clusterGUID === "string" ? spec.clusterGUID : undefined };
}

function parsed(json: string): object {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}

/**
 * Whether the store is the one that the log tells of.
 *
 * To publish one that was emptied or replaced would take every node's policies, endpoints and routes away, and what initialises an empty
 * store starts by itself. So what is known stays (design §4.1) until etcd is restored, or somebody names the new cluster: `adopt`.
 */
export function judgeIdentity(o: {
  readonly log: Identity | undefined;
  readonly store: Identity | undefined;
  readonly adopt: string | undefined;
}): IdentityRuling {
  const { log, store, adopt } = o;
  if (log === undefined) return { kind: "same" };
  if (store === undefined)
    return { kind: "hold", reason: `the datastore has no ClusterInformation default any more: ${ADVICE} the clusterGUID that it then has` };
  if (log.clusterGuid === undefined || log.clusterGuid === store.clusterGuid) return { kind: "same" };
  if (store.clusterGuid !== undefined && store.clusterGuid === adopt) return { kind: "adopt" };
  const [theirs, ours] = [store.clusterGuid ?? "without a clusterGUID", log.clusterGuid];
  return { kind: "hold", reason: `the datastore is cluster ${theirs}, the log tells of cluster ${ours}: ${ADVICE} ${theirs}` };
}

const ADVICE =
  "etcd was emptied or replaced. Nothing is published, the nodes keep what they have. Restore etcd from a backup; or, to begin anew, initialise it (calicoctl node init) and start the syncer with --adopt and";
