import type { MetricSpec } from "@calico/daemon";

/** Every metric of bgp. */
export const METRICS = [
  { name: "calico_bgp_peers", type: "gauge", help: "Peers of this node, by state.", labels: ["state"] },
  { name: "calico_bgp_prefixes", type: "gauge", help: "Prefixes that are known." },
  { name: "calico_bgp_paths", type: "gauge", help: "Paths that peers have told and this node originates." },
  { name: "calico_bgp_stale_paths", type: "gauge", help: "Paths of peers that are restarting, kept meanwhile." },
  { name: "calico_bgp_kernel_routes", type: "gauge", help: "Routes of protocol 179, by what is so.", labels: ["what"] },
  { name: "calico_bgp_restarting", type: "gauge", help: "1 while routes of the former life are being recovered." },
  { name: "calico_bgp_sessions_total", type: "counter", help: "Sessions that came up and went down.", labels: ["change"] },
  { name: "calico_bgp_messages_total", type: "counter", help: "BGP messages.", labels: ["direction"] },
  { name: "calico_bgp_update_faults_total", type: "counter", help: "Faulty updates, settled as RFC 7606 says." },
  { name: "calico_bgp_route_changes_total", type: "counter", help: "Routes written to the kernel." },
  { name: "calico_bgp_routes_repaired_total", type: "counter", help: "Routes that someone else had altered, put right." },
  {
    name: "calico_bgp_objects_rejected_total",
    type: "counter",
    help: "Objects from the bus that could not be read, by kind.",
    labels: ["kind"],
  },
  {
    name: "calico_bgp_apply_seconds",
    type: "histogram",
    help: "Time of one write to the kernel.",
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2],
  },
] as const satisfies readonly MetricSpec[];
