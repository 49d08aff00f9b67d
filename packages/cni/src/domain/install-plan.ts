/**
 * What the installer puts where: the network configuration from its template, and the environment that decides.
 *
 * Source: calico cni-plugin/pkg/install/install.go; facts §3.9.
 */
import { z } from "zod";

const flag = (fallback: boolean) =>
  z
    .string()
    .optional()
    .transform((text) => (text === undefined || text === "" ? fallback : ["true", "1", "yes"].includes(text.toLowerCase())));
const text = (fallback: string) =>
  z
    .string()
    .optional()
    .transform((value) => value || fallback);

const environmentSchema = z.object({
  CNI_NET_DIR: text("/etc/cni/net.d"),
  CNI_CONF_NAME: text("10-calico.conflist"),
  CNI_OLD_CONF_NAME: text("10-calico.conflist"),
  TLS_ASSETS_DIR: text("/calico-secrets"),
  SKIP_CNI_BINARIES: text(""),
  UPDATE_CNI_BINARIES: flag(true),
  CNI_NETWORK_CONFIG: text(""),
  CNI_NETWORK_CONFIG_FILE: text(""),
  KUBECONFIG_FILE_NAME: text("calico-kubeconfig"),
  KUBERNETES_SERVICE_HOST: text(""),
  KUBERNETES_SERVICE_PORT: text("443"),
  KUBERNETES_SERVICE_PROTOCOL: text("https"),
  SKIP_TLS_VERIFY: flag(false),
  SLEEP: flag(false),
});
export type InstallEnvironment = z.output<typeof environmentSchema>;

export function parseInstallEnvironment(env: Readonly<Record<string, string | undefined>>): InstallEnvironment {
  return environmentSchema.parse(env);
}

/** Placeholder, the variable that fills it, and what it is without that. */
const PLACEHOLDERS: readonly (readonly [placeholder: string, variable: string, fallback: string])[] = [
  ["__LOG_LEVEL__", "LOG_LEVEL", "info"],
  ["__LOG_FILE_PATH__", "LOG_FILE_PATH", "/var/log/calico/cni/cni.log"],
  ["__LOG_FILE_MAX_SIZE__", "LOG_FILE_MAX_SIZE", "100"],
  ["__LOG_FILE_MAX_AGE__", "LOG_FILE_MAX_AGE", "30"],
  ["__LOG_FILE_MAX_COUNT__", "LOG_FILE_MAX_COUNT", "10"],
  ["__DATASTORE_TYPE__", "DATASTORE_TYPE", "etcdv3"],
  ["__KUBERNETES_NODE_NAME__", "KUBERNETES_NODE_NAME", ""],
  ["__KUBECONFIG_FILEPATH__", "KUBECONFIG_FILEPATH", "/etc/cni/net.d/calico-kubeconfig"],
  ["__CNI_MTU__", "CNI_MTU", "1500"],
  ["__KUBERNETES_SERVICE_HOST__", "KUBERNETES_SERVICE_HOST", ""],
  ["__KUBERNETES_SERVICE_PORT__", "KUBERNETES_SERVICE_PORT", ""],
  ["__SERVICEACCOUNT_TOKEN__", "SERVICEACCOUNT_TOKEN", ""],
  ["__ETCD_ENDPOINTS__", "ETCD_ENDPOINTS", ""],
  ["__ETCD_DISCOVERY_SRV__", "ETCD_DISCOVERY_SRV", ""],
  ["__ETCD_KEY_FILE__", "ETCD_KEY_FILE", ""],
  ["__ETCD_CERT_FILE__", "ETCD_CERT_FILE", ""],
  ["__ETCD_CA_CERT_FILE__", "ETCD_CA_CERT_FILE", ""],
  ["__REQUIRE_MTU_FILE__", "REQUIRE_MTU_FILE", "false"],
  ["__CALICO_API_GROUP__", "CALICO_API_GROUP", "crd.projectcalico.org/v1"],
];

/** The etcd manifest's plugin entry, chained with portmap. */
export const DEFAULT_TEMPLATE = `{
  "name": "k8s-pod-network",
  "cniVersion": "1.0.0",
  "plugins": [
    {
      "type": "calico",
      "log_level": "__LOG_LEVEL__",
      "log_file_path": "__LOG_FILE_PATH__",
      "etcd_endpoints": "__ETCD_ENDPOINTS__",
      "etcd_key_file": "__ETCD_KEY_FILE__",
      "etcd_cert_file": "__ETCD_CERT_FILE__",
      "etcd_ca_cert_file": "__ETCD_CA_CERT_FILE__",
      "mtu": __CNI_MTU__,
      "ipam": { "type": "calico-ipam" },
      "policy": { "type": "k8s" },
      "kubernetes": { "kubeconfig": "__KUBECONFIG_FILEPATH__" }
    },
    { "type": "portmap", "snat": true, "capabilities": { "portMappings": true } }
  ]
}
`;

/** The template with values in place, as text; throws if that is no JSON. Values are put inside of JSON strings, so they are escaped. */
export function renderConfig(template: string, values: Readonly<Record<string, string | undefined>>): string {
  const filled = PLACEHOLDERS.reduce((out, [placeholder, variable, fallback]) => {
    const value = JSON.stringify(values[variable] || fallback).slice(1, -1);
    return out.replaceAll(placeholder, () => value);
  }, template);
  try {
    JSON.parse(filled);
  } catch (e) {
    throw new Error(`CNI config is not valid JSON: ${e instanceof Error ? e.message : String(e)}`, { cause: e });
  }
  return filled.endsWith("\n") ? filled : `${filled}\n`;
}

/** For the executable without an agent; with one it is not read. */
export function renderKubeconfig(env: InstallEnvironment, o: { readonly token: string; readonly ca: string | undefined }): string {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port, KUBERNETES_SERVICE_PROTOCOL: protocol } = env;
  const server = `${protocol}://${host.includes(":") ? `[${host}]` : host}:${port}`;
  const trust =
    env.SKIP_TLS_VERIFY || o.ca === undefined
      ? { "insecure-skip-tls-verify": env.SKIP_TLS_VERIFY }
      : { "certificate-authority-data": Buffer.from(o.ca).toString("base64") };
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "local", cluster: { server, ...trust } }],
    users: [{ name: "calico", user: { token: o.token } }],
    contexts: [{ name: "calico-context", context: { cluster: "local", user: "calico" } }],
    "current-context": "calico-context",
  };
  return `# Kubeconfig file for the Calico CNI plugin. Written by its installer.\n${JSON.stringify(config, undefined, 2)}\n`;
}
