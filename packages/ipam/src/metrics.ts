import type { MetricSpec } from "@calico/daemon";

/** Every metric of the IPAM service. */
export const METRICS: readonly MetricSpec[] = [
  { name: "ipam_requests_total", type: "counter", help: "Requests on the socket, by operation and outcome.", labels: ["op", "outcome"] },
  {
    name: "ipam_request_seconds",
    type: "histogram",
    help: "Time of a request.",
    labels: ["op"],
    buckets: [0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1, 5],
  },
  {
    name: "ipam_calls_per_transaction",
    type: "histogram",
    help: "Assignments and releases that went out in one transaction.",
    buckets: [1, 2, 4, 8, 16, 32, 64],
  },
  { name: "ipam_broken_records", type: "gauge", help: "Blocks and handles that were met and do not parse; health names them." },
  { name: "ipam_tunnel_address_changes_total", type: "counter", help: "Tunnel addresses of this node given or taken.", labels: ["kind"] },
  { name: "ipam_tunnel_address_failures_total", type: "counter", help: "Attempts to set tunnel addresses that failed." },
];
