/** Every metric of felix. Calico's names where Calico has them. Source: Calico felix metrics; facts 5.18. */
import type { MetricSpec } from "@calico/daemon";
import type { Graph } from "./domain/graph.ts";

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

export const METRICS: readonly MetricSpec[] = [
  { name: "felix_active_local_endpoints", type: "gauge", help: "Workloads of this node." },
  { name: "felix_active_local_policies", type: "gauge", help: "Policies that apply to a workload of this node." },
  { name: "felix_active_local_selectors", type: "gauge", help: "Selectors whose IP sets are kept up." },
  { name: "felix_cluster_num_workload_endpoints", type: "gauge", help: "Workloads of the cluster." },
  { name: "felix_cluster_num_hosts", type: "gauge", help: "Nodes with an address." },
  { name: "felix_cluster_num_policies", type: "gauge", help: "Policies of the cluster." },
  { name: "felix_cluster_num_profiles", type: "gauge", help: "Profiles of the cluster." },
  { name: "felix_cluster_num_tiers", type: "gauge", help: "Tiers of the cluster." },
  { name: "felix_label_index_selector_evals", type: "gauge", help: "Times a selector was asked whether it matches." },
  { name: "felix_calc_graph_updates_processed", type: "counter", help: "Changes taken from the bus.", labels: ["kind"] },
  { name: "felix_calc_graph_update_time_seconds", type: "histogram", help: "Time to calculate one batch of changes.", buckets: SECONDS },
  { name: "felix_int_dataplane_apply_time_seconds", type: "histogram", help: "Time to write one batch to the kernel.", buckets: SECONDS },
  { name: "felix_int_dataplane_failures", type: "counter", help: "Applies of which some part failed and is tried again." },
  { name: "felix_int_dataplane_repairs", type: "counter", help: "Kernel objects that others had altered and that were put right." },
  { name: "felix_iptables_chains", type: "gauge", help: "Chains that felix wants, of both families." },
  { name: "felix_ipsets_calico", type: "gauge", help: "IP sets that felix wants, of both families." },
  { name: "felix_invalid_objects", type: "gauge", help: "Objects that are not in force because they are wrong." },
  { name: "felix_resync_state", type: "gauge", help: "1 waiting for the datastore, 2 resync in progress, 3 in sync." },
];

/** The gauges that tell the graph's size. */
export function graphGauges(graph: Graph): Readonly<Record<string, number>> {
  const s = graph.stats();
  return {
    felix_active_local_endpoints: s["localEndpoints"]!,
    felix_active_local_policies: s["activePolicies"]!,
    felix_active_local_selectors: s["activeSelectors"]!,
    felix_cluster_num_workload_endpoints: s["endpoints"]!,
    felix_cluster_num_hosts: s["hosts"]!,
    felix_cluster_num_policies: s["policies"]!,
    felix_cluster_num_profiles: s["profiles"]!,
    felix_cluster_num_tiers: s["tiers"]!,
    felix_label_index_selector_evals: s["selectorEvaluations"]!,
    felix_iptables_chains: s["chains"]!,
    felix_ipsets_calico: s["sets"]!,
    felix_invalid_objects: graph.problems.size,
  };
}
