import { expect, test } from "vitest";
import { aNamespaceProfile, aPolicy } from "../testing.ts";
import { activePolicy, activeProfile } from "./active.ts";
import { policySelector, ruleSelector } from "./rule-selectors.ts";
import type { EntityRule } from "../resources/rule.ts";

test.for<{ name: string; entity: EntityRule; namespace?: string; want: string; not?: string }>([
  { name: "nothing matches anything, even in a namespace", entity: {}, namespace: "ns", want: "-" },
  {
    name: "a selector means the policy's namespace",
    entity: { selector: "a == 'b'" },
    namespace: "ns",
    want: '(projectcalico.org/namespace == "ns" && a == "b")',
  },
  { name: "a selector of a global policy is alone", entity: { selector: "a == 'b'" }, want: 'a == "b"' },
  {
    name: "a notSelector too means the namespace",
    entity: { notSelector: "a == 'b'" },
    namespace: "ns",
    want: 'projectcalico.org/namespace == "ns"',
    not: 'a == "b"',
  },
  {
    name: "a namespaceSelector replaces the namespace",
    entity: { namespaceSelector: "team == 'x'", selector: "a == 'b'" },
    namespace: "ns",
    want: '(pcns.team == "x" && a == "b")',
  },
  { name: "all() is every namespace", entity: { namespaceSelector: " all() " }, namespace: "ns", want: "has(projectcalico.org/namespace)" },
  { name: "global() is none", entity: { namespaceSelector: "global()" }, namespace: "ns", want: "!has(projectcalico.org/namespace)" },
  {
    name: "service accounts by name",
    entity: { serviceAccounts: { names: ["b", "a"] } },
    namespace: "ns",
    want: '(projectcalico.org/namespace == "ns" && projectcalico.org/serviceaccount in {"a", "b"})',
  },
  {
    name: "service accounts by selector, and selector",
    entity: { serviceAccounts: { selector: "role == 'r'" }, selector: "has(x)" },
    want: '(pcsa.role == "r" && has(x))',
  },
  {
    name: "all three",
    entity: { serviceAccounts: { selector: "role == 'r'" }, selector: "has(x)" },
    namespace: "ns",
    want: '(projectcalico.org/namespace == "ns" && (pcsa.role == "r" && has(x)))',
  },
])("ruleSelector: $name", ({ entity, namespace, want, not }) => {
  const got = ruleSelector(entity, namespace);
  expect(got.selector?.canonical ?? "-").toBe(want);
  expect(got.notSelector?.canonical).toBe(not);
});

const NONE = { selector: undefined, namespace: undefined, namespaceSelector: undefined, serviceAccountSelector: undefined };

test.for([
  {
    name: "of a namespace",
    policy: { ...NONE, selector: "a == 'b'", namespace: "ns" },
    want: '(a == "b" && projectcalico.org/namespace == "ns")',
  },
  { name: "of a namespace, no selector", policy: { ...NONE, namespace: "ns" }, want: 'projectcalico.org/namespace == "ns"' },
  { name: "global", policy: NONE, want: "all()" },
  {
    name: "global with namespaces",
    policy: { ...NONE, selector: "has(a)", namespaceSelector: "x == 'y'" },
    want: '(has(a) && pcns.x == "y")',
  },
  {
    name: "with service accounts",
    policy: { ...NONE, selector: "has(a)", namespace: "ns", serviceAccountSelector: "all()" },
    want: '((has(a) && projectcalico.org/namespace == "ns") && has(projectcalico.org/serviceaccount))',
  },
])("policySelector: $name", ({ policy, want }) => {
  expect(policySelector(policy).canonical).toBe(want);
});

test("activePolicy: rules in the form that chains are made from", () => {
  const policy = aPolicy(
    "web",
    {
      order: 10,
      selector: "app == 'web'",
      ingress: [{ action: "Pass", protocol: "TCP", source: { nets: ["10.0.0.1"] }, destination: { ports: [80, "8000:8100", "http"] } }],
    },
    "default",
  );
  const active = activePolicy(policy);
  expect(active).toMatchObject({
    kind: "NetworkPolicy",
    namespace: "default",
    name: "web",
    tier: "default",
    order: 10,
    types: ["Ingress"],
    egress: [],
    doNotTrack: false,
  });
  expect(active.ingress[0]).toEqual({
    action: "next-tier",
    protocol: "tcp",
    source: { nets: ["10.0.0.1/32"], notNets: [], ports: [], notPorts: [] },
    destination: { nets: [], notNets: [], ports: [{ min: 80, max: 80 }, { min: 8000, max: 8100 }, { name: "http" }], notPorts: [] },
  });
});

test("activePolicy: a service without a namespace is one of the policy's", () => {
  const active = activePolicy(aPolicy("p", { egress: [{ action: "Allow", destination: { services: { name: "dns" } } }] }, "default"));
  expect(active.egress[0]?.destination.service).toEqual({ name: "dns", namespace: "default" });
});

test("activeProfile: a namespace's labels", () => {
  const active = activeProfile(aNamespaceProfile("shop", { team: "x" }));
  expect(active.labelsToApply).toEqual({ "pcns.team": "x", "pcns.projectcalico.org/name": "shop" });
  expect(active.ingress.map((rule) => rule.action)).toEqual(["allow"]);
});
