/** The Kubernetes API as the controllers see it: every list and every watch is preceded or followed by the question whether it is still the same cluster. */
import { type KubeClient, RESOURCES } from "@calico/kube-client";
import type { Logger, Metrics } from "@calico/daemon";
import type { ResourceClient } from "@calico/datastore";
import { API_VERSION } from "@calico/model";
import { compareKubernetes, KUBERNETES_UID } from "../domain/same-kubernetes.ts";
import type { Controller } from "../ports.ts";

export interface WitnessPorts {
  readonly kube: Pick<KubeClient, "get" | "list" | "watch">;
  readonly datastore: Pick<ResourceClient, "get" | "update">;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, "set">;
}

export interface Witness extends Controller {
  /** Lists and watches that throw when the API is another cluster's. */
  readonly kube: Pick<KubeClient, "list" | "watch">;
}

const INFO = { kind: "ClusterInformation", name: "default" } as const;

export function makeWitness(ports: WitnessPorts, { adopt }: { readonly adopt?: string | undefined } = {}): Witness {
  let trusted: string | undefined;
  let problem: string | undefined;
  let asking: Promise<void> | undefined;

  async function ask(signal: AbortSignal | undefined): Promise<void> {
    const found = (await ports.kube.get(RESOURCES.namespaces, { name: "kube-system" }, { signal })).metadata.uid;
    if (found === undefined || found === "") throw new Error("Cannot follow the Kubernetes API: its namespace kube-system has no uid");
    if (found !== trusted) await settle(found);
  }

  async function settle(found: string): Promise<void> {
    const info = await ports.datastore.get(INFO);
    if (!info.ok) throw new Error(info.error.message);
    const { metadata } = info.value;
    const same = compareKubernetes({ found, recorded: metadata.annotations?.[KUBERNETES_UID], adopt });
    ports.metrics.set("kube_controllers_kubernetes_trusted", same.kind === "other" ? 0 : 1);
    if (same.kind === "other") {
      if (problem !== same.reason) ports.log.error("kubernetes api is another cluster's, nothing is mirrored, removed or released", same);
      problem = same.reason;
      trusted = undefined;
      throw new Error(same.reason);
    }
    if (same.kind === "adopted") {
      const annotations = { ...metadata.annotations, [KUBERNETES_UID]: found };
      const written = await ports.datastore.update({ ...info.value, apiVersion: API_VERSION, metadata: { ...metadata, annotations } });
      if (!written.ok) throw new Error(written.error.message);
      ports.log.info("kubernetes cluster recorded", { uid: found, before: metadata.annotations?.[KUBERNETES_UID] });
    }
    trusted = found;
    problem = undefined;
  }

  /** Many ask at once when a connection broke; one question answers them. */
  const verify = (signal: AbortSignal | undefined): Promise<void> => (asking ??= ask(signal).finally(() => (asking = undefined)));

  return {
    name: "kubernetes-api",
    kube: {
      async list(type, options) {
        const found = await ports.kube.list(type, options);
        await verify(options?.signal);
        return found;
      },
      async *watch(type, options) {
        await verify(options.signal);
        yield* ports.kube.watch(type, options);
      },
    },
    run: async () => {},
    status: () => ({
      inSync: trusted !== undefined,
      pending: 0,
      failing: problem === undefined ? 0 : 1,
      problems: problem === undefined ? [] : [problem],
    }),
  };
}
