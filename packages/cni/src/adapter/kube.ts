/** Pods and namespaces from the API server that the configuration names. */
import { existsSync, readFileSync } from "node:fs";
import { isNotFound, loadKubeconfig, openKubeClient, RESOURCES } from "@calico/kube-client";
import type { KubeClient, KubeConfig } from "@calico/kube-client";
import { CniFault } from "../domain/fault.ts";
import type { Netconf } from "../domain/netconf.ts";
import { podCidrs, podFacts } from "../domain/pod.ts";
import type { NamespaceFacts, PodFacts } from "../domain/pod.ts";

const TIMEOUT_MS = 10_000;
const MAX_CLIENTS = 4;

export interface KubeClients extends Disposable {
  podOf(conf: Netconf, o: { readonly namespace: string; readonly name: string }): Promise<PodFacts>;
  namespaceOf(conf: Netconf, namespace: string): Promise<NamespaceFacts | undefined>;
  podCidrsOf(conf: Netconf, node: string): Promise<readonly string[]>;
}

/** Clients are kept by what they were made of, so that a new token makes a new one. */
export function openKubeClients(o: { readonly agentKubeconfig: string | undefined }): KubeClients {
  const clients = new Map<string, KubeClient>();
  const clientOf = (conf: Netconf): KubeClient => {
    const key = JSON.stringify([conf.policy, conf.kubernetes]);
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
    async podCidrsOf(conf, node) {
      return podCidrs(await clientOf(conf).get(RESOURCES.nodes, { name: node }));
    },
    [Symbol.dispose]() {
      for (const client of clients.values()) client.close();
    },
  };
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
