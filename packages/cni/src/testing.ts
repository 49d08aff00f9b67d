/** For tests: the configuration of the demonstration, with addresses of one's own. */

/** The seed's network configuration as one plugin sees it. */
export function aNetconf(o: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({
    cniVersion: "0.3.0",
    name: "k8s-pod-network",
    type: "calico",
    etcd_endpoints: "http://127.0.0.1:2379",
    log_level: "info",
    mtu: 1500,
    ipam: { type: "calico-ipam" },
    ...o,
  });
}
