/**
 * One object of each kind: what a person writes, and the key and the JSON that Calico's own client would store.
 * Order of fields aside, a store of these is a store of Calico's. Source: facts §1, §2.1, calico api/pkg/apis/projectcalico/v3 (JSON tags).
 */
import type { ObjectKind } from "@calico/model";

export interface Golden {
  readonly kind: ObjectKind;
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly key: string;
  readonly written: object;
  /** `spec` as stored. */
  readonly stored: object;
  /** Metadata that the client adds. */
  readonly added?: { readonly labels?: object; readonly annotations?: object };
}

const rule = {
  action: "Allow",
  protocol: "tcp",
  source: { selector: "a == 'b'", nets: [] },
  destination: { ports: ["80", 443, "1000:2000", "http"] },
};
const storedRule = {
  action: "Allow",
  protocol: "TCP",
  source: { selector: "a == 'b'" },
  destination: { ports: [80, 443, "1000:2000", "http"] },
};
const sides = { source: {}, destination: {} };
const tiered = (name: string, tier = "default") => ({
  labels: { "projectcalico.org/tier": tier },
  annotations: { "projectcalico.org/metadata": `{"name":"${name}"}` },
});

export const GOLDENS: readonly Golden[] = [
  {
    kind: "BGPConfiguration",
    name: "default",
    key: "bgpconfigurations/default",
    written: { asNumber: "64512", nodeToNodeMeshEnabled: false, serviceClusterIPs: [{ cidr: "10.96.0.0/12" }], listenPort: 178 },
    stored: {
      ...{ logSeverityScreen: "Info", serviceLoadBalancerAggregation: "Enabled" },
      ...{ asNumber: 64512, nodeToNodeMeshEnabled: false, serviceClusterIPs: [{ cidr: "10.96.0.0/12" }], listenPort: 178 },
    },
  },
  {
    kind: "BGPFilter",
    name: "only-rack",
    key: "bgpfilters/only-rack",
    written: {
      exportV4: [
        {
          cidr: "10.0.0.0/8",
          matchOperator: "In",
          prefixLength: { min: 24 },
          action: "Accept",
          operations: [{ setPriority: { value: 512 } }],
        },
      ],
      importV6: [{ action: "Reject" }],
      importV4: [],
    },
    stored: {
      exportV4: [
        {
          cidr: "10.0.0.0/8",
          matchOperator: "In",
          prefixLength: { min: 24 },
          action: "Accept",
          operations: [{ setPriority: { value: 512 } }],
        },
      ],
      importV6: [{ action: "Reject" }],
    },
  },
  {
    kind: "BGPPeer",
    name: "tor",
    key: "bgppeers/tor",
    written: { peerIP: "10.0.0.1:178", asNumber: "1.10", nodeSelector: "rack == 'a'", keepOriginalNextHop: false, filters: ["only-rack"] },
    stored: { peerIP: "10.0.0.1:178", asNumber: 65546, nodeSelector: "rack == 'a'", filters: ["only-rack"] },
  },
  {
    kind: "CalicoNodeStatus",
    name: "node1",
    key: "caliconodestatuses/node1",
    written: { node: "node1", classes: ["BGP"], updatePeriodSeconds: 30 },
    stored: { node: "node1", classes: ["BGP"], updatePeriodSeconds: 30 },
  },
  {
    kind: "ClusterInformation",
    name: "default",
    key: "clusterinformations/default",
    written: { clusterGUID: "0123456789abcdef0123456789abcdef", clusterType: "k8s,bgp", datastoreReady: false },
    stored: { clusterGUID: "0123456789abcdef0123456789abcdef", clusterType: "k8s,bgp", datastoreReady: false },
  },
  {
    kind: "FelixConfiguration",
    name: "node.node1",
    key: "felixconfigurations/node.node1",
    written: { logSeverityScreen: "Debug", ipipEnabled: false, failsafeInboundHostPorts: [], reportingInterval: "0s", someNewerField: 1 },
    stored: { logSeverityScreen: "Debug", ipipEnabled: false, failsafeInboundHostPorts: [], reportingInterval: "0s", someNewerField: 1 },
  },
  {
    kind: "GlobalNetworkPolicy",
    name: "deny-out",
    labels: { team: "net" },
    key: "globalnetworkpolicies/deny-out",
    written: { tier: "security", order: 0, selector: "all()", egress: [{ action: "Deny" }], doNotTrack: false, applyOnForward: true },
    stored: {
      tier: "security",
      order: 0,
      selector: "all()",
      egress: [{ action: "Deny", ...sides }],
      applyOnForward: true,
      types: ["Egress"],
    },
    added: tiered("deny-out", "security"),
  },
  {
    kind: "GlobalNetworkSet",
    name: "dns-servers",
    labels: { role: "dns" },
    key: "globalnetworksets/dns-servers",
    written: { nets: ["10.0.0.1/8", "fd00::1"] },
    stored: { nets: ["10.0.0.1/8", "fd00::1"] },
  },
  {
    kind: "HostEndpoint",
    name: "node1-eth0",
    key: "hostendpoints/node1-eth0",
    written: { node: "node1", interfaceName: "*", expectedIPs: [], ports: [{ name: "ssh", protocol: "tcp", port: 22 }] },
    stored: { node: "node1", interfaceName: "*", ports: [{ name: "ssh", protocol: "TCP", port: 22 }] },
  },
  {
    kind: "IPPool",
    name: "default-ipv4-ippool",
    key: "ippools/default-ipv4-ippool",
    written: { cidr: "192.200.0.0/16", natOutgoing: true, disabled: false, ipipMode: "Always" },
    stored: {
      ...{ cidr: "192.200.0.0/16", natOutgoing: true, ipipMode: "Always", vxlanMode: "Never", blockSize: 26, nodeSelector: "all()" },
      ...{ allowedUses: ["Workload", "Tunnel"], assignmentMode: "Automatic" },
    },
  },
  {
    kind: "IPReservation",
    name: "printers",
    key: "ipreservations/printers",
    written: { reservedCIDRs: ["10.0.0.1/32"] },
    stored: { reservedCIDRs: ["10.0.0.1/32"] },
  },
  {
    kind: "LiveMigration",
    name: "vm1",
    namespace: "prod",
    key: "livemigrations/prod/vm1",
    written: { target: { selector: "vm == 'vm1'" } },
    stored: { target: { selector: "vm == 'vm1'" } },
  },
  {
    kind: "NetworkPolicy",
    name: "allow-web",
    namespace: "default",
    key: "networkpolicies/default/allow-web",
    written: { order: 10.5, selector: "app == 'web'", ingress: [rule], serviceAccountSelector: "" },
    stored: { tier: "default", order: 10.5, selector: "app == 'web'", ingress: [storedRule], types: ["Ingress"] },
    added: tiered("allow-web"),
  },
  {
    kind: "NetworkSet",
    name: "partners",
    namespace: "prod",
    key: "networksets/prod/partners",
    written: { nets: ["198.51.100.0/24"] },
    stored: { nets: ["198.51.100.0/24"] },
  },
  {
    kind: "Node",
    name: "node1",
    key: "nodes/node1",
    written: { bgp: { ipv4Address: "192.168.81.101/24", asNumber: "65000" }, orchRefs: [{ nodeName: "node1", orchestrator: "k8s" }] },
    stored: { bgp: { ipv4Address: "192.168.81.101/24", asNumber: 65000 }, orchRefs: [{ nodeName: "node1", orchestrator: "k8s" }] },
  },
  {
    kind: "Profile",
    name: "kns.default",
    key: "profiles/kns.default",
    written: { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }], labelsToApply: { "pcns.projectcalico.org/name": "default" } },
    stored: {
      ingress: [{ action: "Allow", ...sides }],
      egress: [{ action: "Allow", ...sides }],
      labelsToApply: { "pcns.projectcalico.org/name": "default" },
    },
  },
  {
    kind: "StagedGlobalNetworkPolicy",
    name: "deny-out",
    key: "stagedglobalnetworkpolicies/deny-out",
    written: { stagedAction: "Delete" },
    stored: { tier: "default", stagedAction: "Delete" },
    added: tiered("deny-out"),
  },
  {
    kind: "StagedKubernetesNetworkPolicy",
    name: "k8s",
    namespace: "prod",
    key: "stagedkubernetesnetworkpolicies/prod/k8s",
    written: { podSelector: {}, policyTypes: ["Ingress"], ingress: [{ from: [{ podSelector: { matchLabels: { a: "b" } } }] }] },
    stored: {
      stagedAction: "Set",
      podSelector: {},
      policyTypes: ["Ingress"],
      ingress: [{ from: [{ podSelector: { matchLabels: { a: "b" } } }] }],
    },
  },
  {
    kind: "StagedNetworkPolicy",
    name: "allow-web",
    namespace: "prod",
    key: "stagednetworkpolicies/prod/allow-web",
    written: { egress: [{ action: "Pass" }], ingress: [rule] },
    stored: {
      tier: "default",
      stagedAction: "Set",
      egress: [{ action: "Pass", ...sides }],
      ingress: [storedRule],
      types: ["Ingress", "Egress"],
    },
    added: tiered("allow-web"),
  },
  { kind: "Tier", name: "security", key: "tiers/security", written: { order: 0 }, stored: { order: 0, defaultAction: "Deny" } },
  {
    kind: "WorkloadEndpoint",
    name: "node1-k8s-my--pod-eth0",
    namespace: "default",
    labels: { app: "web" },
    key: "workloadendpoints/default/node1-k8s-my--pod-eth0",
    written: {
      ...{ orchestrator: "k8s", node: "node1", pod: "my-pod", endpoint: "eth0", containerID: "3b1c", ipNetworks: ["192.200.59.193/32"] },
      ...{ profiles: ["kns.default"], interfaceName: "calidf072d3c423", ipNATs: [], qosControls: { ingressBandwidth: 1000, dscp: "EF" } },
    },
    stored: {
      ...{ orchestrator: "k8s", node: "node1", pod: "my-pod", endpoint: "eth0", containerID: "3b1c", ipNetworks: ["192.200.59.193/32"] },
      ...{ profiles: ["kns.default"], interfaceName: "calidf072d3c423", qosControls: { ingressBandwidth: 1000, dscp: "EF" } },
    },
    added: { labels: { "projectcalico.org/namespace": "default", "projectcalico.org/orchestrator": "k8s" } },
  },
  {
    kind: "KubeControllersConfiguration",
    name: "default",
    key: "kubecontrollersconfigurations/default",
    written: { controllers: { node: { hostEndpoint: { autoCreate: "Enabled" } } } },
    stored: {
      ...{ logSeverityScreen: "Info", healthChecks: "Enabled", etcdV3CompactionPeriod: "10m", prometheusMetricsPort: 9094 },
      controllers: {
        node: { reconcilerPeriod: "5m", syncLabels: "Enabled", leakGracePeriod: "15m", hostEndpoint: { autoCreate: "Enabled" } },
      },
    },
  },
  {
    kind: "IPAMConfiguration",
    name: "default",
    key: "ipamconfigurations/default",
    written: { strictAffinity: true },
    stored: {
      strictAffinity: true,
      autoAllocateBlocks: true,
      maxBlocksPerHost: 0,
      kubeVirtVMAddressPersistence: "Enabled",
      ipCooldownSeconds: 0,
    },
  },
];
