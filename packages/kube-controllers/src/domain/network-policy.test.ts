import { API_VERSION, parseResource } from "@calico/model";
import { expect, test } from "vitest";
import { policyFacts } from "../testing.ts";
import { convertNetworkPolicy } from "./network-policy.ts";

const K8S = "projectcalico.org/orchestrator == 'k8s'";

/** The converted spec, without what every one has; checked to be what the model accepts. */
function convert(spec: Record<string, unknown>) {
  const got = convertNetworkPolicy(policyFacts(spec, { name: "web", namespace: "shop" }));
  if (got.kind !== "wanted") return got;
  expect(got.object.metadata).toEqual({ name: "knp.default.web", namespace: "shop" });
  expect(parseResource("NetworkPolicy", { apiVersion: API_VERSION, ...got.object }).ok).toBe(true);
  const { order, tier, ...rest } = got.object.spec as Record<string, unknown>;
  expect({ order, tier }).toEqual({ order: 1000, tier: "default" });
  return { ...rest, ...(got.problems.length === 0 ? {} : { problems: got.problems }) };
}

test.for<{ name: string; spec: Record<string, unknown>; want: Record<string, unknown> }>([
  { name: "deny all ingress", spec: { podSelector: {} }, want: { selector: K8S, types: ["Ingress"] } },
  { name: "deny all egress", spec: { podSelector: {}, policyTypes: ["Egress"] }, want: { selector: K8S, types: ["Egress"] } },
  {
    name: "allow all",
    spec: { podSelector: {}, ingress: [{}], egress: [{}], policyTypes: ["Egress", "Ingress"] },
    want: { selector: K8S, types: ["Ingress", "Egress"], ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] },
  },
  {
    name: "pods of this namespace, one port",
    spec: {
      podSelector: { matchLabels: { app: "db" } },
      ingress: [{ from: [{ podSelector: { matchLabels: { app: "web" } } }], ports: [{ port: 5432 }] }],
    },
    want: {
      selector: `${K8S} && app == 'db'`,
      types: ["Ingress"],
      ingress: [{ action: "Allow", protocol: "TCP", source: { selector: `${K8S} && app == 'web'` }, destination: { ports: [5432] } }],
    },
  },
  {
    name: "namespaces, and pods in namespaces",
    spec: {
      podSelector: {},
      ingress: [
        {
          from: [
            { namespaceSelector: {} },
            { namespaceSelector: { matchLabels: { team: "a" } }, podSelector: { matchLabels: { r: "x" } } },
          ],
        },
      ],
    },
    want: {
      selector: K8S,
      types: ["Ingress"],
      ingress: [
        { action: "Allow", source: { selector: K8S, namespaceSelector: "all()" } },
        { action: "Allow", source: { selector: `${K8S} && r == 'x'`, namespaceSelector: "team == 'a'" } },
      ],
    },
  },
  {
    name: "egress to blocks, masked, with exceptions and named and ranged ports",
    spec: {
      podSelector: {},
      policyTypes: ["Egress"],
      egress: [
        {
          to: [{ ipBlock: { cidr: "10.1.2.3/8", except: ["10.9.9.9/16"] } }],
          ports: [
            { port: "dns", protocol: "UDP" },
            { port: 1, endPort: 9 },
          ],
        },
      ],
    },
    want: {
      selector: K8S,
      types: ["Egress"],
      egress: [
        { action: "Allow", protocol: "TCP", destination: { nets: ["10.0.0.0/8"], notNets: ["10.9.0.0/16"], ports: ["1:9"] } },
        { action: "Allow", protocol: "UDP", destination: { nets: ["10.0.0.0/8"], notNets: ["10.9.0.0/16"], ports: ["dns"] } },
      ],
    },
  },
  {
    name: "IPv6 block",
    spec: { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: "fd00::1/64" } }] }] },
    want: { selector: K8S, types: ["Ingress"], ingress: [{ action: "Allow", source: { nets: ["fd00::/64"] } }] },
  },
  {
    name: "protocols times peers, protocols sorted",
    spec: {
      podSelector: {},
      ingress: [
        {
          from: [{ podSelector: {} }, { ipBlock: { cidr: "1.0.0.0/8" } }],
          ports: [
            { protocol: "UDP", port: 53 },
            { protocol: "TCP", port: 53 },
          ],
        },
      ],
    },
    want: {
      selector: K8S,
      types: ["Ingress"],
      ingress: ["TCP", "UDP"].flatMap((protocol) => [
        { action: "Allow", protocol, source: { selector: K8S }, destination: { ports: [53] } },
        { action: "Allow", protocol, source: { nets: ["1.0.0.0/8"] }, destination: { ports: [53] } },
      ]),
    },
  },
  {
    name: "more ports than a rule takes go into two",
    spec: { podSelector: {}, ingress: [{ ports: Array.from({ length: 51 }, (_, i) => ({ port: 1 + 2 * i })) }] },
    want: {
      selector: K8S,
      types: ["Ingress"],
      ingress: [
        { action: "Allow", protocol: "TCP", destination: { ports: Array.from({ length: 50 }, (_, i) => 1 + 2 * i) } },
        { action: "Allow", protocol: "TCP", destination: { ports: [101] } },
      ],
    },
  },
])("convertNetworkPolicy: $name", ({ spec, want }) => expect(convert(spec)).toEqual(want));

const good = { from: [{ podSelector: { matchLabels: { app: "ok" } } }] };
const kept = [{ action: "Allow", source: { selector: `${K8S} && app == 'ok'` } }];
test.for<{ name: string; bad: unknown; problem: string }>([
  {
    name: "a block that is none",
    bad: { from: [{ ipBlock: { cidr: "10.0.0.0" } }] },
    problem: 'spec.ingress[0].from[0].ipBlock.cidr: "10.0.0.0" is not a CIDR',
  },
  {
    name: "an exception that is none",
    bad: { from: [{ ipBlock: { cidr: "10.0.0.0/8", except: ["x/1"] } }] },
    problem: 'spec.ingress[0].from[0].ipBlock.except[0]: "x/1" is not a CIDR',
  },
  {
    name: "a peer of nothing",
    bad: { from: [{}] },
    problem: "spec.ingress[0].from[0]: none of podSelector, namespaceSelector, ipBlock is set",
  },
  {
    name: "a bad selector",
    bad: { from: [{ podSelector: { matchExpressions: [{ key: "a", operator: "Bogus" }] } }] },
    problem: 'spec.ingress[0].from[0].podSelector.matchExpressions[0].operator: "Bogus" is none of In, NotIn, Exists, DoesNotExist',
  },
  { name: "a bad port", bad: { ports: [{ port: 99999 }] }, problem: "spec.ingress[0].ports[0].port: 99999 is not within 1 to 65535" },
  { name: "no list", bad: { from: 7 }, problem: "spec.ingress[0].from: expected a list" },
  { name: "no rule", bad: null, problem: "spec.ingress[0]: expected a rule" },
])("convertNetworkPolicy: $name is left out and named, the rest stays", ({ bad, problem }) => {
  expect(convert({ podSelector: {}, ingress: [bad, good] })).toEqual({
    selector: K8S,
    types: ["Ingress"],
    ingress: kept,
    problems: [problem],
  });
});

test("convertNetworkPolicy: what only the model refuses is left out too", () => {
  const label = { matchLabels: { app: "it's" } }; // a quote in a value: no selector can say it
  const got = convert({ podSelector: {}, ingress: [{ from: [{ podSelector: label }] }, good] });
  expect(got).toMatchObject({ ingress: kept, problems: [expect.stringContaining("spec.ingress[0].source.selector")] });
});

test.for([
  { name: "a subject that cannot be read", spec: { podSelector: { matchExpressions: [{ key: "a", operator: "Bogus" }] } } },
  { name: "a subject that no selector can say", spec: { podSelector: { matchLabels: { a: "it's" } } } },
])("convertNetworkPolicy: $name refuses the whole policy", ({ spec }) => {
  expect(convertNetworkPolicy(policyFacts(spec))).toMatchObject({
    kind: "refused",
    problems: [expect.stringMatching(/spec\.(podSelector|selector)/)],
  });
});
