/** A cluster with every kind of rule: its program is the golden, and what the real iptables-restore is given to check. */
import { aNode, aPolicy, aPool, anObject } from "@calico/model/testing";
import type { AnyObject } from "@calico/model";
import { baseCluster } from "./cluster.ts";

const ports = Array.from({ length: 17 }, (_, i) => 2000 + 2 * i);

const rules: readonly object[] = [
  { action: "Log" },
  { action: "Allow", protocol: "TCP", source: { selector: "app == 'client'" }, destination: { ports: [80, "443:445", "http"] } },
  { action: "Allow", protocol: "UDP", source: { nets: ["192.0.2.0/24", "198.51.100.0/24"] }, destination: { ports } },
  {
    action: "Deny",
    protocol: "TCP",
    source: { notNets: ["192.0.2.0/24", "198.51.100.0/24"], notSelector: "zone == 'far'" },
    destination: { notPorts: ports },
  },
  { action: "Allow", source: { nets: ["192.0.2.0/24"], notNets: ["192.0.2.9/32"] }, destination: { notNets: ["198.51.100.9/32"] } },
  { action: "Allow", protocol: "TCP", notProtocol: "UDP" },
  { action: "Deny", protocol: "ICMP", icmp: { type: 8 }, notICMP: { type: 8, code: 1 } },
  { action: "Allow", protocol: "ICMP", icmp: { type: 8, code: 0 } },
  { action: "Allow", protocol: "ICMPv6", icmp: { type: 128 } },
  { action: "Deny", protocol: "ICMP", notICMP: { type: 3 } },
  { action: "Allow", notProtocol: "SCTP", source: { nets: ["fd00::/64"] } },
  { action: "Allow", protocol: 47, source: { serviceAccounts: { names: ["default"] } } },
  {
    action: "Pass",
    source: { namespaceSelector: "team == 'b'", selector: "has(app)" },
    metadata: { annotations: { why: 'a "quoted" thing' } },
  },
];

export function everyKind(): readonly AnyObject[] {
  return [
    ...baseCluster(),
    aNode("node1", "192.168.81.101/24", { ipv4VXLANTunnelAddr: "10.0.0.64" }),
    aNode("node2", "192.168.81.102/24", { ipv4VXLANTunnelAddr: "10.0.1.64" }),
    aPool("tunnelled", "10.7.0.0/16", { vxlanMode: "Always" }),
    aPool("ipip", "10.8.0.0/16", { ipipMode: "Always" }),
    anObject("Tier", { name: "security" }, { order: 100, defaultAction: "Pass" }),
    anObject("BGPConfiguration", { name: "default" }, { serviceClusterIPs: [{ cidr: "10.96.0.0/12" }] }),
    anObject("GlobalNetworkSet", { name: "everywhere", labels: { role: "any" } }, { nets: ["0.0.0.0/0", "::/0"] }),
    aPolicy("every-rule", { selector: "app == 'web'", ingress: rules, egress: rules.slice(0, 6) }, "default"),
    aPolicy(
      "first",
      { tier: "security", order: 1, ingress: [{ action: "Deny", source: { selector: "role == 'any'" } }], egress: [{ action: "Allow" }] },
      undefined,
    ),
    aPolicy("knp.default.deny", { selector: "projectcalico.org/orchestrator == 'k8s'", order: 1000, types: ["Ingress"] }, "other"),
  ];
}
