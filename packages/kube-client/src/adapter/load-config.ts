import { readFileSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import process from "node:process";
import { type Material, parseKubeconfig } from "../domain/kubeconfig.ts";

/** A connection's settings, files read. `token` is asked for each request, since a mounted token is replaced while we run. */
export interface KubeConfig {
  readonly server: string;
  readonly namespace: string;
  readonly ca?: string;
  readonly insecureSkipTlsVerify: boolean;
  readonly tlsServerName?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly token?: () => string;
}

const TOKEN_AGE_MS = 10_000;
const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

/** Read a kubeconfig file and every file it names. Relative names are relative to it. */
export function loadKubeconfig(file: string, options: { readonly context?: string } = {}): KubeConfig {
  const parsed = parseKubeconfig(readText(file, "kubeconfig"), options.context);
  if (!parsed.ok) throw new Error(`Cannot use kubeconfig ${file}: ${parsed.error}`);
  const { ca, clientCertificate, clientKey, token, tlsServerName, ...rest } = parsed.value;
  const textOf = (m: Material) => ("data" in m ? m.data : readText(resolve(file, m.file), `file named by kubeconfig ${file}`));
  return {
    server: rest.server,
    namespace: rest.namespace,
    insecureSkipTlsVerify: rest.insecureSkipTlsVerify,
    ...(tlsServerName === undefined ? {} : { tlsServerName }),
    ...(ca === undefined ? {} : { ca: textOf(ca) }),
    ...(clientCertificate === undefined ? {} : { cert: textOf(clientCertificate) }),
    ...(clientKey === undefined ? {} : { key: textOf(clientKey) }),
    ...(token === undefined ? {} : { token: tokenOf(file, token) }),
  };
}

/**
 * The configuration that Kubernetes mounts into a pod.
 *
 * Source: Kubernetes documentation, "Accessing the Kubernetes API from a Pod".
 */
export function loadInCluster(
  options: { readonly folder?: string; readonly env?: Readonly<Record<string, string | undefined>> } = {},
): KubeConfig {
  const folder = options.folder ?? SERVICE_ACCOUNT;
  const env = options.env ?? process.env;
  const host = env["KUBERNETES_SERVICE_HOST"];
  const port = env["KUBERNETES_SERVICE_PORT"] ?? "443";
  if (host === undefined || host === "")
    throw new Error(
      "Cannot find the Kubernetes API: KUBERNETES_SERVICE_HOST is not set; run inside of a pod, or name a file with --kubeconfig",
    );
  return {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    namespace: readText(join(folder, "namespace"), "service account namespace").trim(),
    ca: readText(join(folder, "ca.crt"), "service account CA"),
    insecureSkipTlsVerify: false,
    token: tokenOf(folder, { file: join(folder, "token") }),
  };
}

/** `file` when given, else what is mounted into the pod. */
export function loadConfig(file: string | undefined): KubeConfig {
  return file === undefined ? loadInCluster() : loadKubeconfig(file);
}

function tokenOf(base: string, token: Material): () => string {
  if ("data" in token) return () => token.data;
  const file = resolve(base, token.file);
  let seen = { text: readText(file, "token").trim(), at: Date.now() };
  return () => {
    if (Date.now() - seen.at > TOKEN_AGE_MS) seen = { text: readText(file, "token").trim(), at: Date.now() };
    return seen.text;
  };
}

function resolve(base: string, file: string): string {
  return isAbsolute(file) ? file : join(dirname(base), file);
}

function readText(file: string, what: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new Error(`Cannot read ${what} ${file}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
