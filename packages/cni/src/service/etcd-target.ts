/**
 * Where etcd is, from the fields of the configuration, old ones included.
 *
 * Source: calico libcalico-go/lib/apiconfig; facts §3.2.2.
 */
import { endpointsOf } from "@calico/ipam";
import type { EtcdTarget } from "@calico/ipam";
import { CniFault } from "../domain/fault.ts";
import type { Netconf } from "../domain/netconf.ts";

type Fields = Pick<
  Netconf,
  "etcd_endpoints" | "etcd_discovery_srv" | "etcd_scheme" | "etcd_authority" | "etcd_key_file" | "etcd_cert_file" | "etcd_ca_cert_file"
>;

/** The etcd that the environment of the executable names, for configurations that name none; undefined: neither does it. */
export function targetOfEnvironment(env: Readonly<Record<string, string | undefined>>): EtcdTarget | undefined {
  return targetOf({
    etcd_endpoints: env["ETCD_ENDPOINTS"],
    etcd_discovery_srv: env["ETCD_DISCOVERY_SRV"],
    etcd_scheme: env["ETCD_SCHEME"],
    etcd_authority: env["ETCD_AUTHORITY"],
    etcd_key_file: env["ETCD_KEY_FILE"],
    etcd_cert_file: env["ETCD_CERT_FILE"],
    etcd_ca_cert_file: env["ETCD_CA_CERT_FILE"],
  });
}

/** The etcd of the configuration; undefined: it names none. */
export function targetOf(conf: Fields): EtcdTarget | undefined {
  const endpoints = endpointsOf(conf.etcd_endpoints || legacyEndpoints(conf));
  const bad = endpoints.find((e) => !/^https?:\/\/./.test(e) || !URL.canParse(e));
  if (bad !== undefined)
    throw new CniFault(
      "invalidConfig",
      `invalid network configuration: etcd_endpoints: "${bad}" is not a URL`,
      "expected for example http://10.96.232.136:6666",
    );
  if (endpoints.length === 0) {
    if (conf.etcd_discovery_srv)
      throw new CniFault("unsupportedField", "unsupported etcd_discovery_srv", "name the servers in etcd_endpoints");
    return undefined;
  }
  return {
    endpoints: [...endpoints],
    ...(conf.etcd_key_file ? { keyFile: conf.etcd_key_file } : {}),
    ...(conf.etcd_cert_file ? { certFile: conf.etcd_cert_file } : {}),
    ...(conf.etcd_ca_cert_file ? { caFile: conf.etcd_ca_cert_file } : {}),
  };
}

/** `etcd_authority` is `host:port` of one server, and older than `etcd_endpoints`. */
function legacyEndpoints(conf: Fields): string {
  return conf.etcd_authority ? `${conf.etcd_scheme || "http"}://${conf.etcd_authority}` : "";
}
