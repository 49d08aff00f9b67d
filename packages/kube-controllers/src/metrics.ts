import type { MetricSpec } from "@calico/daemon";

/** Every metric of the process. */
export const METRICS: readonly MetricSpec[] = [
  { name: "kube_controllers_in_sync", type: "gauge", help: "1 when the controller has compared everything once.", labels: ["controller"] },
  { name: "kube_controllers_writes_total", type: "counter", help: "Changes written to the datastore.", labels: ["controller", "op"] },
  { name: "kube_controllers_failures_total", type: "counter", help: "Writes that failed, retried or dropped.", labels: ["controller"] },
  {
    name: "kube_controllers_conversion_problems_total",
    type: "counter",
    help: "Parts of Kubernetes objects that could not be converted.",
    labels: ["controller"],
  },
  {
    name: "kube_controllers_reflector_errors_total",
    type: "counter",
    help: "Lists and watches of the Kubernetes API that broke and were begun again.",
    labels: ["controller"],
  },
  {
    name: "kube_controllers_objects_with_problems",
    type: "gauge",
    help: "Kubernetes objects that are now not, or not wholly, in the datastore; the health answer names them.",
    labels: ["controller"],
  },
  { name: "load_balancer_addresses", type: "gauge", help: "Addresses that Services of type LoadBalancer hold." },
  {
    name: "kube_controllers_kubernetes_trusted",
    type: "gauge",
    help: "1 while the Kubernetes API is the cluster that the datastore was written from.",
  },
];
