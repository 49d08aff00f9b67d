/** Pods and namespaces from the API server that the configuration names. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { isNotFound, KubeError, loadConfig, loadKubeconfig, openKubeClient, RESOURCES, tokenExpiresAtMs } from "@calico/kube-client";
import type { KubeClient, KubeConfig, KubeObject, ResourceType } from "@calico/kube-client";
import { CniFault } from "../domain/fault.ts";
import type { Netconf } from "../domain/netconf.ts";
import type { TokenExpiry } from "../domain/token-health.ts";
import { podCidrs, podFacts, podOnNode, vmiFacts } from "../domain/pod.ts";
import type { NamespaceFacts, PodFacts, PodOnNode } from "../domain/pod.ts";
import type { Ports } from "../ports.ts";

const TIMEOUT_MS = 10_000;
const MAX_CLIENTS = 4;

export interface KubeClients extends Disposable {
  podOf(conf: Netconf, o: { readonly namespace: string; readonly name: string }): Promise<PodFacts>;
  namespaceOf(conf: Netconf, namespace: string): Promise<NamespaceFacts | undefined>;
  readonly vmiOf: Ports["vmiOf"];
  readonly vmOf: Ports["vmOf"];
  podCidrsOf(conf: Netconf, node: string): Promise<readonly string[]>;
  /** Of the token in the agent's own kubeconfig, as its file is now; without one, of the configuration last used. */
  tokenExpiry(): TokenExpiry;
}

/** Clients are kept by what they were made of, files too, so that a new token or a kubeconfig written anew makes a new one. */
export function openKubeClients(o: { readonly agentKubeconfig: string | undefined }): KubeClients {
  const clients = new Map<string, KubeClient>();
  let lastUsed: Netconf | undefined;
  const clientOf = (conf: Netconf): KubeClient => {
    lastUsed = conf;
    const key = JSON.stringify([conf.policy, conf.kubernetes, writtenAt(o.agentKubeconfig ?? conf.kubernetes?.kubeconfig)]);
    const client = clients.get(key) ?? openKubeClient(configOf(conf, o.agentKubeconfig), { timeoutMs: TIMEOUT_MS });
    clients.delete(key);
    clients.set(key, client);
    for (const [oldest, old] of clients) {
      if (clients.size <= MAX_CLIENTS) break;
      clients.delete(oldest);
      old.close();
    }
    return client;
  };
  return {
    async podOf(conf, place) {
      try {
        return podFacts(await clientOf(conf).get(RESOURCES.pods, place));
      } catch (e) {
        if (isNotFound(e)) throw new CniFault("tryAgain", `the API server knows no pod ${place.namespace}/${place.name}`, String(e));
        throw e;
      }
    },
    async namespaceOf(conf, namespace) {
      if (conf.policy?.type !== "k8s") return undefined;
      const { metadata } = await clientOf(conf).get(RESOURCES.namespaces, { name: namespace });
      return { labels: metadata.labels ?? {}, annotations: metadata.annotations ?? {} };
    },
    async vmiOf(conf, place) {
      const vmi = await kubevirt(clientOf(conf), RESOURCES.virtualMachineInstances, place);
      return vmi && vmiFacts(vmi);
    },
    async vmOf(conf, place) {
      const vm = await kubevirt(clientOf(conf), RESOURCES.virtualMachines, place);
      return vm && { isDeleting: vm.metadata.deletionTimestamp !== undefined };
    },
    async podCidrsOf(conf, node) {
      return podCidrs(await clientOf(conf).get(RESOURCES.nodes, { name: node }));
    },
    tokenExpiry() {
      const [own, conf] = [o.agentKubeconfig, lastUsed];
      if (own !== undefined) return expiryOf(() => loadKubeconfig(own));
      return conf === undefined ? { at: "none" } : expiryOf(() => configOf(conf, undefined));
    },
    [Symbol.dispose]() {
      for (const client of clients.values()) client.close();
    },
  };
}

/** The node's pods; `kubeconfig` undefined: the service account of the pod that this runs in. */
export async function podsOn(kubeconfig: string | undefined, node: string): Promise<readonly PodOnNode[]> {
  const client = openKubeClient(loadConfig(kubeconfig), { timeoutMs: TIMEOUT_MS });
  try {
    const { items } = await client.list(RESOURCES.pods, { fieldSelector: `spec.nodeName=${node}` });
    return items.flatMap((pod) => podOnNode(pod) ?? []);
  } finally {
    client.close();
  }
}

type Place = { readonly namespace: string; readonly name: string };

/** Undefined where there is no such object, or no such kind. */
async function kubevirt(client: KubeClient, type: ResourceType, place: Place): Promise<KubeObject | undefined> {
  try {
    return await client.get(type, place);
  } catch (e) {
    if (isNotFound(e)) return undefined;
    if (!(e instanceof KubeError && e.status === 403)) throw e;
    throw new CniFault(
      "tryAgain",
      `the API server does not let the CNI plugin look at ${type.kind} ${place.namespace}/${place.name}`,
      `${e.message}; its account needs the verb get on virtualmachines and virtualmachineinstances of kubevirt.io`,
    );
  }
}

/** Different after each writing of the file; undefined if there is none. */
function writtenAt(file: string | undefined): string | undefined {
  const stat = file === undefined ? undefined : statSync(file, { throwIfNoEntry: false });
  return stat === undefined ? undefined : `${stat.ino} ${stat.mtimeMs} ${stat.size}`;
}

/** Reads the files anew: health is asked for rarely. */
function expiryOf(load: () => KubeConfig): TokenExpiry {
  try {
    const token = load().token?.();
    if (!token) return { at: "none" };
    const expiresAtMs = tokenExpiresAtMs(token);
    return expiresAtMs === undefined ? { at: "unknown" } : { at: "known", expiresAtMs };
  } catch (e) {
    return { at: "unreadable", why: e instanceof Error ? e.message : String(e) };
  }
}

/**
 * The agent's own kubeconfig where it has one: then no token of the network configuration is used, and none that expired can keep a pod
 * from starting. Otherwise the configuration's kubeconfig, with what the policy section says laid over it.
 *
 * Source: calico cni-plugin/pkg/k8s/k8s.go (NewK8sClient). Deviation: the agent's own comes first.
 */
function configOf(conf: Netconf, agentKubeconfig: string | undefined): KubeConfig {
  if (agentKubeconfig !== undefined) return loadKubeconfig(agentKubeconfig);
  const file = conf.kubernetes?.kubeconfig;
  const policy = conf.policy ?? {};
  const root = conf.kubernetes?.k8s_api_root || policy.k8s_api_root;
  const base = file !== undefined && existsSync(file) ? loadKubeconfig(file) : undefined;
  const server = root?.replace(/\/api\/v1\/?$/, "") || base?.server;
  if (server === undefined) {
    throw new CniFault(
      "invalidConfig",
      "invalid network configuration: no API server",
      `kubernetes.kubeconfig ${file ?? "(none)"} does not exist and policy.k8s_api_root is not set`,
    );
  }
  const pem = (path: string | undefined) => (path ? readFileSync(path, "utf8") : undefined);
  const ca = pem(policy.k8s_certificate_authority) ?? base?.ca;
  const token = policy.k8s_auth_token;
  return {
    ...base,
    server,
    namespace: base?.namespace ?? "default",
    insecureSkipTlsVerify: base?.insecureSkipTlsVerify ?? false,
    ...(ca === undefined ? {} : { ca }),
    ...(policy.k8s_client_certificate ? { cert: pem(policy.k8s_client_certificate) } : {}),
    ...(policy.k8s_client_key ? { key: pem(policy.k8s_client_key) } : {}),
    ...(token ? { token: () => token } : {}),
  };
}
