/**
 * Where etcd is, from the fields of the configuration, old ones included.
 *
 * Source: calico libcalico-go/lib/apiconfig; facts §3.2.2.
 */
import { endpointsOf } from "@calico/ipam";
import type { EtcdTarget } from "@calico/ipam";
import { CniFault } from "../domain/fault.ts";
import type { Netconf } from "../domain/netconf.ts";

/** The etcd of the configuration; undefined: it names none. */
export function targetOf(conf: Netconf): EtcdTarget | undefined {
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
function legacyEndpoints(conf: Netconf): string {
  return conf.etcd_authority ? `${conf.etcd_scheme || "http"}://${conf.etcd_authority}` : "";
}
