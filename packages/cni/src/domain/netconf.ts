/**
 * The network configuration on standard input: Calico's fields.
 *
 * Source: calico cni-plugin/pkg/types/types.go (NetConf).
 */
import { z } from "zod";
import { CniFault } from "./fault.ts";
import { parseVersion } from "./version.ts";
import type { CniVersion } from "./version.ts";

const text = z.string().optional();
const texts = z.array(z.string()).nullish();

const attachments = z.array(z.object({ containerID: z.string(), ifname: z.string() })).nullish();

const rangeSchema = z.looseObject({ subnet: text });

const ipamSchema = z.object({
  type: text,
  subnet: text,
  assign_ipv4: text,
  assign_ipv6: text,
  ipv4_pools: texts,
  ipv6_pools: texts,
  routes: z.array(z.object({ dst: z.string() })).nullish(),
  ranges: z.array(z.array(rangeSchema)).nullish(),
});

/** Nothing here depends on these; they are checked, so that a typing error is told and not passed over. */
const ignoredSchema = {
  args: z.unknown().optional(),
  etcd_authority: text,
  etcd_scheme: text,
  etcd_discovery_srv: text,
  calico_api_group: text,
  qps: z.number().optional(),
  burst: z.number().optional(),
  dataplane_options: z.record(z.string(), z.unknown()).nullish(),
  mode: text,
  vxlan_mac_prefix: text,
  vxlan_vni: z.number().optional(),
  windows_pod_deletion_timestamp_timeout: z.number().optional(),
  windows_use_single_network: z.boolean().optional(),
  windows_disable_default_deny_all_policy: z.boolean().optional(),
  windows_loopback_DSR: z.boolean().optional(),
  ipam_lock_file: text,
} as const;

const netconfSchema = z.object({
  ...ignoredSchema,
  cniVersion: text,
  name: z.string().regex(/^[a-zA-Z0-9_.-]+$/, "invalid characters detected in the given network name"),
  type: text,
  ipam: ipamSchema.nullish(),
  dns: z.record(z.string(), z.unknown()).nullish(),
  runtimeConfig: z.record(z.string(), z.unknown()).nullish(),
  prevResult: z.unknown().optional(),
  datastore_type: text,
  etcd_endpoints: text,
  etcd_key_file: text,
  etcd_cert_file: text,
  etcd_ca_cert_file: text,
  log_level: text,
  log_file_path: text,
  log_file_max_size: z.number().min(0).optional(),
  log_file_max_age: z.number().min(0).optional(),
  log_file_max_count: z.number().min(0).optional(),
  readiness_gates: texts,
  feature_control: z.object({ ip_addrs_no_ipam: z.boolean().optional(), floating_ips: z.boolean().optional() }).nullish(),
  mtu: z.number().int().min(0).max(65_535).optional(),
  num_queues: z.number().int().optional(),
  nodename: text,
  nodename_file: text,
  nodename_file_optional: z.boolean().optional(),
  hostname: text,
  require_mtu_file: z.boolean().optional(),
  device_type: z.enum(["", "veth", "netkit"], "expected veth").optional(),
  include_default_routes: z.boolean().optional(),
  container_settings: z.object({ allow_ip_forwarding: z.boolean().optional() }).nullish(),
  policy_setup_timeout_seconds: z
    .number()
    .min(0, { error: ({ input }) => `invalid pod startup delay of ${String(input)}` })
    .optional(),
  endpoint_status_dir: text,
  policy: z
    .object({
      type: text,
      k8s_api_root: text,
      k8s_auth_token: text,
      k8s_client_certificate: text,
      k8s_client_key: text,
      k8s_certificate_authority: text,
    })
    .nullish(),
  kubernetes: z.object({ k8s_api_root: text, kubeconfig: text, node_name: text }).nullish(),
  "cni.dev/valid-attachments": attachments,
  "cni.dev/attachments": attachments,
});

export type Netconf = Omit<z.output<typeof netconfSchema>, "cniVersion"> & {
  readonly cniVersion: CniVersion;
  /** The whole object as it came, for plugins that this one delegates to. */
  readonly raw: Readonly<Record<string, unknown>>;
};

/** What GC must keep, undefined if it is not said: libcni gives it under two names, other runtimes under one of them. */
export function attachmentsOf(conf: Netconf): readonly { readonly containerID: string; readonly ifname: string }[] | undefined {
  const given = [conf["cni.dev/valid-attachments"], conf["cni.dev/attachments"]].filter((list) => list != null);
  return given.length === 0 ? undefined : given.flat();
}

/** The version of a configuration that may be broken otherwise: for the error object. */
export function versionOfBroken(stdin: string): string | undefined {
  return /"cniVersion"\s*:\s*"([0-9][0-9.]{0,15})"/.exec(stdin)?.[1];
}

/** The configuration; faults name the field. */
export function parseNetconf(stdin: string): Netconf {
  const raw = parseObject(stdin);
  const given = withoutNulls(raw) as Readonly<Record<string, unknown>>;
  const cniVersion = parseVersion(given["cniVersion"]);
  const parsed = netconfSchema.safeParse(given);
  if (!parsed.success) {
    const issues = parsed.error.issues.map((i) => `${i.path.join(".")}: ${i.message}`);
    throw new CniFault("invalidConfig", `invalid network configuration: ${issues[0] ?? "?"}`, issues.join("; "));
  }
  if (parsed.data.datastore_type === "kubernetes") {
    throw new CniFault("unsupportedField", "unsupported datastore_type: kubernetes", "use etcdv3, or leave it out");
  }
  return { ...parsed.data, cniVersion, raw };
}

/** A field that is null is one that is not there, as where these configurations are read elsewhere. */
function withoutNulls(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(withoutNulls);
  if (typeof json !== "object" || json === null) return json;
  return Object.fromEntries(Object.entries(json).flatMap(([key, value]) => (value === null ? [] : [[key, withoutNulls(value)]])));
}

function parseObject(stdin: string): Record<string, unknown> {
  try {
    const json: unknown = JSON.parse(stdin);
    if (typeof json === "object" && json !== null && !Array.isArray(json)) return json as Record<string, unknown>;
    throw new SyntaxError("expected an object");
  } catch (e) {
    throw new CniFault(
      "decodeFailure",
      "failed to decode the network configuration on standard input",
      e instanceof Error ? e.message : String(e),
    );
  }
}

/** `"true"`, `"false"`, or absent. Source: calico cni-plugin ipam_plugin.go (ParseBool). */
export function flagOf(field: string, value: string | undefined, fallback: boolean): boolean {
  if (value === undefined || value === "") return fallback;
  if (["true", "True", "TRUE", "t", "T", "1"].includes(value)) return true;
  if (["false", "False", "FALSE", "f", "F", "0"].includes(value)) return false;
  throw new CniFault(
    "invalidConfig",
    `invalid network configuration: ipam.${field}: expected "true" or "false", not ${JSON.stringify(value)}`,
  );
}
