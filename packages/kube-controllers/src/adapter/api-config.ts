import { readFileSync } from "node:fs";
import type { RequestOptions } from "node:https";
import { type KubeConfig, loadConfig } from "@calico/kube-client";

const REFRESH_MS = 60_000;

/**
 * How to reach the API server. Kubeconfig files with the plain kinds of credential are read by our own small client; what that one refuses
 * (exec plugins, cloud providers' logins) is Kubernetes' own client library's, which is loaded only then: it costs 80 MB.
 */
export async function openApiConfig(file: string | undefined, signal: AbortSignal): Promise<KubeConfig> {
  try {
    return loadConfig(file);
  } catch (refused) {
    if (file === undefined) throw refused;
    try {
      return await byKubernetesClient(file, signal);
    } catch (cause) {
      throw new Error(`${String(refused)}; Kubernetes' own client says: ${String(cause)}`, { cause });
    }
  }
}

async function byKubernetesClient(file: string, signal: AbortSignal): Promise<KubeConfig> {
  const { KubeConfig: Full } = await import("@kubernetes/client-node");
  const full = new Full();
  full.loadFromString(readFileSync(file, "utf8"));
  const cluster = full.getCurrentCluster();
  if (cluster === null) throw new Error(`kubeconfig ${file} has no current cluster`);
  const login = async (): Promise<RequestOptions> => {
    const options: RequestOptions = { headers: {} };
    await full.applyToHTTPSOptions(options);
    return options;
  };
  const first = await login();
  let token = bearerOf(first);
  // The plugin's own cache decides when it really runs again; until it succeeds the old token stays.
  const timer = setInterval(
    () =>
      void login().then(
        (o) => (token = bearerOf(o)),
        () => undefined,
      ),
    REFRESH_MS,
  );
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  return {
    server: cluster.server,
    namespace: full.getContextObject(full.getCurrentContext())?.namespace ?? "default",
    insecureSkipTlsVerify: cluster.skipTLSVerify === true,
    ...(first.ca === undefined ? {} : { ca: String(first.ca) }),
    ...(first.cert === undefined ? {} : { cert: String(first.cert) }),
    ...(first.key === undefined ? {} : { key: String(first.key) }),
    ...(cluster.tlsServerName === undefined ? {} : { tlsServerName: cluster.tlsServerName }),
    ...(token === undefined ? {} : { token: () => token ?? "" }),
  };
}

function bearerOf(options: RequestOptions): string | undefined {
  const header = (options.headers as Readonly<Record<string, unknown>> | undefined)?.["Authorization"];
  return typeof header === "string" ? /^Bearer (.+)$/.exec(header)?.[1] : undefined;
}
