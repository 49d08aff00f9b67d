import { expect, test } from "vitest";
import { resourcePath, RESOURCES } from "./resource-type.ts";

test.for([
  { name: "cluster collection", path: resourcePath(RESOURCES.nodes), want: "/api/v1/nodes" },
  { name: "all namespaces", path: resourcePath(RESOURCES.pods), want: "/api/v1/pods" },
  { name: "object", path: resourcePath(RESOURCES.pods, { namespace: "a", name: "b" }), want: "/api/v1/namespaces/a/pods/b" },
  {
    name: "subresource of a group",
    path: resourcePath(RESOURCES.networkPolicies, { namespace: "a", name: "b", subresource: "status" }),
    want: "/apis/networking.k8s.io/v1/namespaces/a/networkpolicies/b/status",
  },
  {
    name: "a namespace given for a cluster kind is left out",
    path: resourcePath(RESOURCES.nodes, { namespace: "a", name: "n" }),
    want: "/api/v1/nodes/n",
  },
  { name: "escapes", path: resourcePath(RESOURCES.pods, { namespace: "a", name: "b/../c" }), want: "/api/v1/namespaces/a/pods/b%2F..%2Fc" },
])("resourcePath: $name", ({ path, want }) => expect(path).toBe(want));
