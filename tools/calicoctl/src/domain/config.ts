/** Where the datastore is: from the flag, a configuration file, or the environment. Source: calico libcalico-go/lib/apiconfig. */
import { CliError } from "./cli-error.ts";

/** Endpoints, credentials, and where TLS material is: a file's name or the PEM text. */
export type DatastoreConfig = {
  readonly endpoints: readonly string[];
  readonly username?: string;
  readonly password?: string;
  readonly tls: { readonly [part in "key" | "cert" | "ca"]?: { readonly file: string } | { readonly pem: string } };
};

type Settings = Readonly<Record<string, string | undefined>>;
type FileSpec = Readonly<Record<string, unknown>>;

/** Setting, its environment variable, its field in the file. The variable with the prefix CALICO_ wins. */
const SETTINGS = {
  datastoreType: ["DATASTORE_TYPE", "datastoreType"],
  endpoints: ["ETCD_ENDPOINTS", "etcdEndpoints"],
  username: ["ETCD_USERNAME", "etcdUsername"],
  password: ["ETCD_PASSWORD", "etcdPassword"],
  keyFile: ["ETCD_KEY_FILE", "etcdKeyFile"],
  certFile: ["ETCD_CERT_FILE", "etcdCertFile"],
  caFile: ["ETCD_CA_CERT_FILE", "etcdCACertFile"],
  key: ["", "etcdKey"],
  cert: ["", "etcdCert"],
  ca: ["", "etcdCACert"],
} as const;

const OTHER_FIELDS =
  "etcdDiscoverySrv kubeconfig kubeconfigInline k8sAPIEndpoint k8sKeyFile k8sCertFile k8sCAFile k8sAPIToken k8sInsecureSkipTLSVerify k8sDisableNodePoll usePodCIDR k8sClientQPS k8sClientBurst k8sCurrentContext calicoAPIGroup".split(
    " ",
  );

/** The file wins over the environment as a whole; the flag's endpoints win over both. `file.json` is the parsed YAML. */
export function resolveConfig(o: {
  readonly flag: string | undefined;
  readonly env: Settings;
  readonly file?: { readonly name: string; readonly json: unknown };
}): DatastoreConfig {
  const settings = o.file === undefined ? fromEnv(o.env) : fromFile(o.file.name, o.file.json);
  const endpoints = (o.flag ?? settings["endpoints"] ?? "")
    .split(",")
    .map((url) => url.trim())
    .filter((url) => url !== "");
  if (endpoints.length === 0)
    throw new CliError("cannot find the datastore: set --etcd, ETCD_ENDPOINTS, or etcdEndpoints in the file given with --config");
  const bad = endpoints.find((url) => !/^https?:\/\/[^/]+/.test(url));
  if (bad !== undefined) throw new CliError(`etcd endpoint "${bad}" is not a URL; expected for example http://10.0.0.1:2379`);
  if (o.flag === undefined && settings["datastoreType"] === "kubernetes")
    throw new CliError("datastore type kubernetes is not supported: set DATASTORE_TYPE to etcdv3");
  return {
    endpoints,
    ...(settings["username"] ? { username: settings["username"], password: settings["password"] ?? "" } : {}),
    tls: Object.fromEntries((["key", "cert", "ca"] as const).flatMap((part) => tlsPart(settings, part))),
  };
}

function tlsPart(settings: Settings, part: "key" | "cert" | "ca"): [string, { file: string } | { pem: string }][] {
  const [file, pem] = [settings[`${part}File`], settings[part]];
  if (file) return [[part, { file }]];
  return pem ? [[part, { pem }]] : [];
}

function fromEnv(env: Settings): Settings {
  return Object.fromEntries(
    Object.entries(SETTINGS).map(([name, [variable]]) => [
      name,
      variable === "" ? undefined : env[`CALICO_${variable}`] || env[variable] || undefined,
    ]),
  );
}

function fromFile(name: string, json: unknown): Settings {
  const { apiVersion, kind, spec } = (typeof json === "object" && json !== null ? json : {}) as FileSpec;
  if (apiVersion !== "projectcalico.org/v3") throw new CliError(`invalid config file: unknown APIVersion '${String(apiVersion ?? "")}'`);
  if (kind !== "CalicoAPIConfig") throw new CliError(`invalid config file: expected kind 'CalicoAPIConfig', got '${String(kind ?? "")}'`);
  const fields = (typeof spec === "object" && spec !== null ? spec : {}) as FileSpec;
  const known = new Set<string>([...Object.values(SETTINGS).map(([, field]) => field), ...OTHER_FIELDS]);
  const unknown = Object.keys(fields).find((field) => !known.has(field));
  if (unknown !== undefined) throw new CliError(`syntax error in ${name}: unknown field "spec.${unknown}"`);
  return Object.fromEntries(
    Object.entries(SETTINGS).map(([setting, [, field]]) => [setting, fields[field] === undefined ? undefined : String(fields[field])]),
  );
}
