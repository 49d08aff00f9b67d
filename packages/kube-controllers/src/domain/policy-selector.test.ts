import { parseSelector } from "@calico/model";
import { expect, test } from "vitest";
import { convertSelector } from "./policy-selector.ts";

const K8S = "projectcalico.org/orchestrator == 'k8s'";
const expression = (key: string, operator: string, ...values: string[]) => ({ matchExpressions: [{ key, operator, values }] });

test.for([
  { name: "absent selects pods of Kubernetes", of: "pods", selector: undefined, want: K8S },
  { name: "empty too", of: "pods", selector: {}, want: K8S },
  { name: "labels are sorted", of: "pods", selector: { matchLabels: { b: "2", a: "1" } }, want: `${K8S} && a == '1' && b == '2'` },
  { name: "In", of: "pods", selector: expression("k", "In", "b", "a"), want: `${K8S} && k in { 'b', 'a' }` },
  { name: "NotIn", of: "pods", selector: expression("k", "NotIn", "a"), want: `${K8S} && k not in { 'a' }` },
  { name: "Exists", of: "pods", selector: expression("k", "Exists"), want: `${K8S} && has(k)` },
  { name: "DoesNotExist", of: "pods", selector: expression("k", "DoesNotExist"), want: `${K8S} && ! has(k)` },
  { name: "namespaces: absent is none", of: "namespaces", selector: undefined, want: "" },
  { name: "namespaces: empty is all", of: "namespaces", selector: {}, want: "all()" },
  { name: "namespaces: empty lists are all", of: "namespaces", selector: { matchLabels: {}, matchExpressions: [] }, want: "all()" },
  { name: "namespaces: no orchestrator", of: "namespaces", selector: { matchLabels: { x: "" } }, want: "x == ''" },
  { name: "no list", of: "pods", selector: { matchExpressions: 7 }, want: "f.matchExpressions: expected a list" },
  { name: "no selector", of: "pods", selector: "app=web", want: "f: expected a label selector" },
  {
    name: "unknown operator",
    of: "pods",
    selector: expression("k", "Gt", "1"),
    want: 'f.matchExpressions[0].operator: "Gt" is none of In, NotIn, Exists, DoesNotExist',
  },
  { name: "In nothing", of: "pods", selector: expression("k", "In"), want: "f.matchExpressions[0].values: In needs at least one value" },
  {
    name: "no key",
    of: "pods",
    selector: { matchExpressions: [{ operator: "Exists" }] },
    want: "f.matchExpressions[0].key: a label is required",
  },
] as const)("convertSelector: $name", ({ of, selector, want }) => {
  const got = convertSelector(selector, of, "f");
  expect(got.ok ? got.value : got.error).toBe(want);
  if (got.ok) expect(parseSelector(got.value).ok).toBe(true);
});
