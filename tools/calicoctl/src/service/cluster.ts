/** `version`, and `datastore lock` and `unlock`: what ClusterInformation says. */
import { API_VERSION } from "@calico/model";
import { VERSION } from "../domain/version.ts";
import { mustOk } from "./write.ts";
import type { Context } from "../ports.ts";

export async function version(context: Context, options: { readonly client?: boolean }): Promise<void> {
  context.io.print(`Client Version:    ${VERSION}`);
  if (options.client) return;
  const client = await context.client();
  const { spec } = mustOk(await client.get({ kind: "ClusterInformation", name: "default" }), "unable to retrieve the cluster's version");
  context.io.print(`Cluster Version:   ${spec.calicoVersion ?? "unknown"}\nCluster Type:      ${spec.clusterType ?? "unknown"}`);
}

/** A locked datastore stops CNI from wiring pods and felix from starting, so that it can be migrated. */
export async function lockDatastore(context: Context, lock: boolean): Promise<void> {
  const client = await context.client();
  const info = mustOk(await client.get({ kind: "ClusterInformation", name: "default" }), "cannot read the cluster information");
  const spec = { ...info.spec, datastoreReady: !lock };
  mustOk(await client.update({ ...info, apiVersion: API_VERSION, spec }), "cannot write the cluster information");
  context.io.print(lock ? "Datastore locked." : "Datastore unlocked.");
}
