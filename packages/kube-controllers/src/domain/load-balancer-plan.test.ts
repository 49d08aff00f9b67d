import { parsePool, type Pool } from "@calico/ipam";
import { expect, test } from "vitest";
import { isSameIngress, ingressOf, planOf } from "./load-balancer-plan.ts";
import { ANNOTATIONS, type AssignMode, isManaged, loadBalancerService } from "./load-balancer-service.ts";

function pool(name: string, cidr: string, o: object = {}): Pool {
  const parsed = parsePool({ metadata: { name }, spec: { cidr, allowedUses: ["LoadBalancer"], ...o } });
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

const POOLS = [
  pool("four", "10.1.0.0/28"),
  pool("six", "fd00:1::/124"),
  pool("kept", "10.2.0.0/28", { assignmentMode: "Manual" }),
  pool("off", "10.3.0.0/28", { disabled: true }),
];

const { ips, pools4, pools6 } = ANNOTATIONS;

function service(spec: object, annotations: Record<string, string> = {}, ingress: readonly object[] = []) {
  return loadBalancerService({
    metadata: { name: "web", namespace: "d", uid: "u", annotations },
    spec: { type: "LoadBalancer", ipFamilies: ["IPv4"], ipFamilyPolicy: "SingleStack", ...spec },
    status: { loadBalancer: { ingress } },
  });
}

test.for<{ name: string; spec?: object; annotations?: Record<string, string>; want: readonly AssignMode[] }>([
  { name: "without a class", want: ["AllServices"] },
  { name: "of class calico", spec: { loadBalancerClass: "calico" }, want: ["AllServices", "RequestedServicesOnly"] },
  { name: "of another class", spec: { loadBalancerClass: "x" }, annotations: { [ips]: '["10.1.0.1"]' }, want: [] },
  { name: "with a pool", annotations: { [pools4]: '["four"]' }, want: ["AllServices", "RequestedServicesOnly"] },
  { name: "with spec.loadBalancerIP", spec: { loadBalancerIP: "10.1.0.1" }, want: ["AllServices", "RequestedServicesOnly"] },
  { name: "with an empty annotation", annotations: { [ips]: "" }, want: ["AllServices"] },
  { name: "of type NodePort", spec: { type: "NodePort" }, annotations: { [ips]: '["10.1.0.1"]' }, want: [] },
])("isManaged: a service $name", ({ spec = {}, annotations = {}, want }) => {
  const modes = (["AllServices", "RequestedServicesOnly", "off"] as const).filter((mode) => isManaged(service(spec, annotations), mode));
  expect(modes).toEqual(want);
});

const DUAL = { ipFamilies: ["IPv4", "IPv6"], ipFamilyPolicy: "RequireDualStack" };

interface Row {
  readonly name: string;
  readonly spec?: object;
  readonly annotations?: Record<string, string>;
  readonly own?: readonly string[];
  readonly shown?: readonly string[];
  readonly keep?: readonly string[];
  readonly assign?: readonly string[];
  readonly release?: readonly string[];
  readonly problem?: RegExp;
}

test.for<Row>([
  { name: "nothing yet", assign: ["v4 any most 1"] },
  { name: "two families", spec: DUAL, assign: ["v4 any most 1", "v6 any most 1"] },
  { name: "the families absent, the policy dual", spec: { ...DUAL, ipFamilies: undefined }, assign: ["v4 any most 1", "v6 any most 1"] },
  { name: "SingleStack of two families", spec: { ...DUAL, ipFamilyPolicy: "SingleStack" }, assign: ["v4 any most 1"] },
  { name: "one of two families held", spec: DUAL, own: ["10.1.0.3"], keep: ["10.1.0.3"], assign: ["v6 any most 1"] },
  { name: "a family that is asked for no more", own: ["10.1.0.3", "fd00:1::3"], keep: ["10.1.0.3"], release: ["fd00:1::3"] },
  { name: "a right address stays, also in a disabled pool", own: ["10.3.0.1"], keep: ["10.3.0.1"] },
  { name: "an address of a Manual pool goes", own: ["10.2.0.1"], assign: ["v4 any most 2"], release: ["10.2.0.1"] },
  { name: "an address of no pool goes", own: ["10.9.0.1"], assign: ["v4 any most 2"], release: ["10.9.0.1"] },
  {
    name: "two right ones: the one that is shown stays",
    own: ["10.1.0.1", "10.1.0.2"],
    shown: ["10.1.0.2"],
    keep: ["10.1.0.2"],
    release: ["10.1.0.1"],
  },
  { name: "a Manual pool by name", annotations: { [pools4]: '["kept"]' }, own: ["10.2.0.1"], keep: ["10.2.0.1"] },
  {
    name: "a pool by CIDR",
    annotations: { [pools4]: '["10.2.0.0/28"]' },
    own: ["10.1.0.1"],
    assign: ["v4 10.2.0.0/28 most 2"],
    release: ["10.1.0.1"],
  },
  {
    name: "a pool of one family leaves the other alone",
    spec: DUAL,
    annotations: { [pools4]: '["four"]' },
    own: ["fd00:1::1"],
    keep: ["fd00:1::1"],
    assign: ["v4 10.1.0.0/28 most 1"],
  },
  {
    name: "an address by annotation",
    annotations: { [ips]: '["10.2.0.7"]' },
    own: ["10.1.0.1"],
    assign: ["10.2.0.7"],
    release: ["10.1.0.1"],
  },
  { name: "an address by annotation, held", annotations: { [ips]: '["10.2.0.7"]' }, own: ["10.2.0.7"], keep: ["10.2.0.7"] },
  {
    name: "an address of each family, in any spelling",
    spec: DUAL,
    annotations: { [ips]: '["FD00:1:0::7","10.1.0.7"]' },
    own: ["fd00:1::7"],
    keep: ["fd00:1::7"],
    assign: ["10.1.0.7"],
  },
  { name: "spec.loadBalancerIP", spec: { loadBalancerIP: "10.1.0.7" }, assign: ["10.1.0.7"] },
  {
    name: "the annotation before spec.loadBalancerIP",
    spec: { loadBalancerIP: "10.1.0.7" },
    annotations: { [ips]: '["10.1.0.8"]' },
    assign: ["10.1.0.8"],
  },
  { name: "an empty list is none", annotations: { [ips]: "[]", [pools4]: "[]" }, own: ["10.1.0.1"], keep: ["10.1.0.1"] },
  { name: "another class", spec: { loadBalancerClass: "x" }, own: ["10.1.0.1"], release: ["10.1.0.1"] },
  {
    name: "no JSON",
    annotations: { [ips]: "10.1.0.1" },
    own: ["10.1.0.1"],
    keep: ["10.1.0.1"],
    problem: /loadBalancerIPs is "10.1.0.1"; expected a JSON list/,
  },
  { name: "no list", annotations: { [pools4]: '"four"' }, problem: /ipv4pools is .*expected a JSON list/ },
  { name: "no address", annotations: { [ips]: '["ten"]' }, problem: /loadBalancerIPs: .*ten/ },
  {
    name: "two of a family",
    annotations: { [ips]: '["10.1.0.1","10.1.0.1"]' },
    problem: /at max only one ipv4 and one ipv6 address can be specified. Received 2 ipv4 and 0 ipv6/,
  },
  {
    name: "an unknown pool",
    annotations: { [pools4]: '["five"]' },
    own: ["10.1.0.1"],
    keep: ["10.1.0.1"],
    problem: /"five" is neither name nor CIDR of a pool/,
  },
  { name: "a pool of the other family", annotations: { [pools6]: '["four"]' }, problem: /pool four is not of IPv6/ },
  { name: "no address in spec.loadBalancerIP", spec: { loadBalancerIP: "ten" }, problem: /spec.loadBalancerIP: .*ten/ },
])("planOf: $name", ({ spec = {}, annotations, own = [], shown = own, ...want }) => {
  const held = own.map((ip) => ({ ip, handle: "h" }));
  const plan = planOf({
    ...{
      service: service(
        spec,
        annotations,
        shown.map((ip) => ({ ip })),
      ),
      handle: "h",
      held,
    },
    ...{ mode: "AllServices", pools: POOLS },
  });
  const say = (a: (typeof plan.assign)[number]) =>
    a.kind === "address" ? a.ip : `v${a.family} ${a.pools?.join() ?? "any"} most ${a.most}`;
  expect({ keep: plan.keep, assign: plan.assign.map(say), release: plan.release.map((h) => h.ip) }).toEqual({
    ...{ keep: want.keep ?? [], assign: want.assign ?? [], release: want.release ?? [] },
  });
  if (want.problem === undefined) expect(plan.problem).toBeUndefined();
  else expect(plan.problem).toMatch(want.problem);
  expect(plan.isDone).toBe(plan.assign.length + plan.release.length === 0);
});

test("planOf: what a service of the same name left is of the dead, whether there is a new one or not", () => {
  const held = [
    { ip: "10.1.0.1", handle: "old" },
    { ip: "10.1.0.2", handle: "h" },
  ];
  const o = { held, mode: "AllServices", pools: POOLS } as const;
  expect(planOf({ ...o, service: undefined, handle: undefined })).toMatchObject({ dead: held, keep: [], isDone: false });
  expect(planOf({ ...o, service: service({}), handle: "h" })).toMatchObject({ dead: [held[0]], keep: ["10.1.0.2"], release: [] });
});

test("planOf: without pools a service that does not name Calico is somebody else's; turned off, all stays as it is", () => {
  const held = [{ ip: "10.1.0.1", handle: "h" }];
  const plan = (spec: object, mode: AssignMode) => planOf({ service: service(spec), handle: "h", held, pools: [], mode });
  expect(plan({}, "AllServices")).toMatchObject({ isManaged: false, assign: [], release: held });
  expect(plan({ loadBalancerClass: "calico" }, "AllServices")).toMatchObject({ isManaged: true, assign: [{ family: 4 }], release: held });
  expect(plan({}, "off")).toMatchObject({ isDone: true, release: [] });
});

test("ingressOf: entries of others stay as they are, and ours as the API server completed them", () => {
  const foreign = { hostname: "lb.example.com" };
  const completed = { ip: "10.1.0.1", ipMode: "VIP" };
  const others = [{ ip: "203.0.113.1" }, foreign, completed];
  const of = (ingress: readonly object[], keep: readonly string[], own = keep) =>
    ingressOf(service({}, {}, ingress), { keep, own: own.map((ip) => ({ ip, handle: "h" })), pools: POOLS });
  expect(isSameIngress(of(others, ["10.1.0.1"]), service({}, {}, others).ingress)).toBe(true);
  expect(of(others, ["10.1.0.2"], ["10.1.0.1"])).toEqual([{ ip: "203.0.113.1" }, foreign, { ip: "10.1.0.2" }]);
  expect(of([{ ip: "10.1.0.9" }], ["10.1.0.2"])).toEqual([{ ip: "10.1.0.2" }]);
  expect(of([completed, completed], ["10.1.0.1"])).toEqual([completed]);
  const unmanaged = ingressOf(service({}, {}, [{ ip: "10.1.0.9" }, completed]), {
    keep: [],
    own: [{ ip: "10.1.0.1", handle: "h" }],
    pools: [],
  });
  expect(unmanaged).toEqual([{ ip: "10.1.0.9" }]);
});
