import { NETWORK, PORTS } from "./topology.ts";

/**
 * The seed's CNI configuration. Only the etcd endpoint's address, the API server's address and the token are the lab's.
 * `kubernetes.kubeconfig` names the place where an installation has it; the node's agent uses its own credential.
 */
export function renderConflist(token: string, tls?: { readonly ca: string; readonly cert: string; readonly key: string }): string {
  const scheme = tls === undefined ? "http" : "https";
  const files = tls === undefined ? {} : { etcd_ca_cert_file: tls.ca, etcd_cert_file: tls.cert, etcd_key_file: tls.key };
  const conf = {
    name: "k8s-pod-network",
    cniVersion: "0.3.0",
    plugins: [
      {
        type: "calico",
        etcd_endpoints: `${scheme}://${NETWORK.etcdServiceIp}:${PORTS.etcdService}`,
        ...files,
        log_level: "info",
        mtu: 1500,
        ipam: { type: "calico-ipam" },
        policy: { type: "k8s", k8s_api_root: `https://${NETWORK.apiServiceIp}:443`, k8s_auth_token: token },
        kubernetes: { kubeconfig: "/etc/cni/net.d/calico-kubeconfig" },
      },
      { type: "portmap", snat: true, capabilities: { portMappings: true } },
    ],
  };
  return `${JSON.stringify(conf, null, 2)}\n`;
}
