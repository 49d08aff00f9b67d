import type { MetricSpec } from "@calico/daemon";

/** Every metric of proxy-nat. Names follow kube-proxy where it has one. */
export const METRICS = [
  {
    name: "kubeproxy_sync_proxy_rules_duration_seconds",
    type: "histogram",
    help: "Time to bring changed services into the kernel.",
    buckets: [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5],
  },
  {
    name: "kubeproxy_sync_full_proxy_rules_duration_seconds",
    type: "histogram",
    help: "Time to read back and compare all rules, repairs included.",
    buckets: [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10],
  },
  { name: "kubeproxy_sync_proxy_rules_iptables_restore_failures_total", type: "counter", help: "Writes that the kernel refused." },
  { name: "kubeproxy_sync_proxy_rules_last_timestamp_seconds", type: "gauge", help: "When rules were last written or found right." },
  { name: "calinat_services", type: "gauge", help: "Services with rules." },
  { name: "calinat_endpoint_slices", type: "gauge", help: "Endpoint slices in use." },
  { name: "calinat_chains_written_total", type: "counter", help: "Chains written or removed." },
  { name: "calinat_drift_repaired_total", type: "counter", help: "Chains and hook rules that someone else had altered." },
  { name: "calinat_conntrack_forgotten_total", type: "counter", help: "UDP flows forgotten because their endpoint went." },
  { name: "calinat_objects_refused_total", type: "counter", help: "Services and slices that could not be read." },
] as const satisfies readonly MetricSpec[];

export type MetricName = (typeof METRICS)[number]["name"];
