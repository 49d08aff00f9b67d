import type { MetricSpec } from "@calico/daemon";

/** Every metric of the CNI agent. */
export const METRICS: readonly MetricSpec[] = [
  { name: "cni_calls_total", type: "counter", help: "Calls that ended, by command and error code (0: none).", labels: ["command", "code"] },
  {
    name: "cni_call_seconds",
    type: "histogram",
    help: "Time of a call.",
    labels: ["command"],
    buckets: [0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30],
  },
  {
    name: "cni_step_seconds",
    type: "histogram",
    help: "Time of a step of a call: facts, ipam, kernel, endpoint, policy, datastore.",
    labels: ["command", "step"],
    buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1, 10],
  },
  { name: "cni_calls_running", type: "gauge", help: "Calls that are being worked on." },
  { name: "cni_deletes_waiting", type: "gauge", help: "DELs whose datastore part waits for the datastore." },
  { name: "cni_kube_token_seconds_left", type: "gauge", help: "Until the token for the Kubernetes API ends; negative when it did." },
  { name: "cni_bad_requests_total", type: "counter", help: "Connections to the socket that did not speak the protocol." },
];
