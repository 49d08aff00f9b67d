import { putPool } from "@calico/ipam/testing";
import { expect, test } from "vitest";
import { callPlugin, endpointsOf, leftIn, makeFakeWorld } from "../testing.ts";

const P = "cni.projectcalico.org/";
const V6_POOL = { cidr: "fd00:200::/48", blockSize: 122 };

test("dual stack: an address of each family, v4 first, routes of both in the pod and on the host", async () => {
  const world = await makeFakeWorld();
  await putPool(world.store, "p6", V6_POOL);
  const { json } = await callPlugin(world, { conf: { cniVersion: "1.0.0", ipam: { type: "calico-ipam", assign_ipv6: "true" } } });
  const [v4, v6] = json.ips.map((i: { address: string }) => i.address);
  expect([v4, v6]).toEqual([expect.stringMatching(/^192\.200\..*\/32$/), expect.stringMatching(/^fd00:200:.*\/128$/)]);
  const pod = world.kernel.pod("/run/netns/pod1")!;
  expect((await pod.routes({})).map((r) => `${r.dst} ${r.via ?? "-"}`).sort()).toEqual([
    "0.0.0.0/0 169.254.1.1",
    "169.254.1.1/32 -",
    "::/0 fe80::ecee:eeff:feee:eeee",
  ]);
  expect((await world.kernel.host().routes({})).map((r) => r.dst).sort()).toEqual([v4, v6].sort());
  expect((await callPlugin(world, { env: { CNI_COMMAND: "DEL" } })).exit).toBe(0);
  expect(leftIn(world)).toEqual([]);
});

test("annotations reach the endpoint and the device", async () => {
  const world = await makeFakeWorld({
    pod: {
      annotations: {
        [`${P}ipAddrs`]: '["192.200.7.7"]',
        [`${P}hwAddr`]: "02:aa:00:00:00:01",
        [`${P}floatingIPs`]: '["172.16.9.9"]',
        [`${P}allowedSourcePrefixes`]: '["10.9.0.0/16"]',
        "kubernetes.io/ingress-bandwidth": "10M",
        "qos.projectcalico.org/egressPacketRate": "99999",
      },
    },
  });
  const { json } = await callPlugin(world, { conf: { cniVersion: "1.0.0", feature_control: { floating_ips: true } } });
  expect(json.ips).toEqual([{ address: "192.200.7.7/32", interface: 1 }]);
  expect(json.interfaces[1].mac).toBe("02:aa:00:00:00:01");
  expect(endpointsOf(world)[0]?.spec).toMatchObject({
    ipNetworks: ["192.200.7.7/32"],
    mac: "02:aa:00:00:00:01",
    ipNATs: [{ internalIP: "192.200.7.7", externalIP: "172.16.9.9" }],
    allowSpoofedSourcePrefixes: ["10.9.0.0/16"],
    qosControls: { ingressBandwidth: 10_000_000, ingressBurst: 4294967296, egressPacketRate: 10_000, egressPacketBurst: 5 },
  });
  expect(world.lines.map((l) => l.message)).toContain("traffic limit not as written");
});

test("ipAddrsNoIpam: the address is taken as it is, and IPAM is not asked", async () => {
  const world = await makeFakeWorld({ pod: { annotations: { [`${P}ipAddrsNoIpam`]: '["10.99.0.1"]' } } });
  const { json } = await callPlugin(world, { conf: { feature_control: { ip_addrs_no_ipam: true } } });
  expect(json.ips[0].address).toBe("10.99.0.1/32");
  expect(leftIn(world)).not.toContain("/calico/ipam/v2/handle/k8s-pod-network.c1");
  await callPlugin(world, { env: { CNI_COMMAND: "DEL" } });
  expect(leftIn(world)).toEqual([]);
});

test.for([
  { name: "by name, of the pod", pod: '["q"]', namespace: '["p"]', want: /^10\.44\./ },
  { name: "by name, of the namespace", pod: undefined, namespace: '["q"]', want: /^10\.44\./ },
  { name: "by CIDR", pod: '["10.44.0.0/16"]', namespace: undefined, want: /^10\.44\./ },
])("ipv4pools $name go before the configuration's", async ({ pod, namespace, want }) => {
  const of = (text: string | undefined): { annotations: Record<string, string> } => ({
    annotations: text === undefined ? {} : { [`${P}ipv4pools`]: text },
  });
  const world = await makeFakeWorld({ pod: of(pod), namespace: of(namespace) });
  await putPool(world.store, "q", { cidr: "10.44.0.0/16", blockSize: 26 });
  const { json } = await callPlugin(world, { conf: { ipam: { type: "calico-ipam", ipv4_pools: ["192.200.0.0/16"] } } });
  expect(json.ips[0].address).toMatch(want);
});

test.for([
  {
    name: "an unknown pool",
    annotations: { ipv4pools: '["nope"]' },
    code: 7,
    want: 'error parsing pool "nope": invalid CIDR address: nope',
  },
  {
    name: "a pool of the other family",
    annotations: { ipv4pools: '["fd00:200::/48"]' },
    code: 7,
    want: '"fd00:200::" isn\'t a IPv4 address',
  },
  {
    name: "one address taken of two",
    annotations: { ipAddrs: '["192.200.9.9","fd99::1"]' },
    code: 101,
    want: "failed to assign fd99::1: The provided IP address is not in a configured pool",
  },
  {
    name: "both families, one without a pool",
    annotations: { ipFamilies: '["IPv4","IPv6"]' },
    code: 101,
    want: "no configured Calico pools for node node1",
  },
  {
    name: "a floating address of a family the pod has not",
    annotations: { floatingIPs: '["fd99::1"]' },
    code: 7,
    want: "the pod has no IPv6 address for the floating IP fd99::1",
  },
])("$name: refused, and nothing is left", async ({ annotations, code, want }) => {
  const world = await makeFakeWorld({
    pod: { annotations: Object.fromEntries(Object.entries(annotations).map(([k, v]) => [P + k, v as string])) },
  });
  const { json } = await callPlugin(world, { conf: { feature_control: { floating_ips: true } } });
  expect(json.msg).toContain(want);
  expect(json.code).toBe(code);
  expect(leftIn(world)).toEqual([]);
});

test.for([{ ip: undefined }, { ip: "192.200.3.3" }])(
  "ADD again for the same container gives the same address (asked for: $ip)",
  async ({ ip }) => {
    const world = await makeFakeWorld();
    const env = ip === undefined ? {} : { CNI_ARGS: `K8S_POD_NAMESPACE=default;K8S_POD_NAME=nginx;IP=${ip}` };
    const first = await callPlugin(world, { env });
    const second = await callPlugin(world, { env });
    expect(second.json.ips).toEqual(first.json.ips);
    await callPlugin(world, { env: { CNI_COMMAND: "DEL" } });
    expect(leftIn(world)).toEqual([]);
  },
);

test("an address that another container has is not given", async () => {
  const world = await makeFakeWorld();
  const CNI_ARGS = "K8S_POD_NAMESPACE=default;K8S_POD_NAME=nginx;IP=192.200.3.3";
  await callPlugin(world, { env: { CNI_ARGS } });
  expect((await callPlugin(world, { env: { CNI_ARGS, CNI_CONTAINERID: "c2" } })).json.code).toBe(101);
});

test("outside of Kubernetes: features for pods are refused; a second network joins the endpoint", async () => {
  const world = await makeFakeWorld();
  const env = { CNI_ARGS: "" };
  const refused = await callPlugin(world, { env, conf: { policy: {}, feature_control: { ip_addrs_no_ipam: true } } });
  expect(refused.json).toMatchObject({ code: 2, msg: "requested feature is not supported for this runtime: ip_addrs_no_ipam" });
  const first = await callPlugin(world, { env, conf: { policy: {} } });
  const steps = world.fakeKernel.recorded.length;
  const second = await callPlugin(world, { env, conf: { policy: {}, name: "second" } });
  expect(second.json.ips).toEqual(first.json.ips);
  expect(world.fakeKernel.recorded.length).toBe(steps);
  expect(endpointsOf(world).map((e) => e.spec.profiles)).toEqual([["k8s-pod-network", "second"]]);
});

test.for([
  { name: "custom routes alone", extra: {}, want: ["10.8.0.0/16", "169.254.1.1/32"] },
  { name: "and the default", extra: { include_default_routes: true }, want: ["0.0.0.0/0", "10.8.0.0/16", "169.254.1.1/32"] },
])("routes of the IPAM section: $name", async ({ extra, want }) => {
  const world = await makeFakeWorld();
  await callPlugin(world, { conf: { ipam: { type: "calico-ipam", routes: [{ dst: "10.8.0.0/16" }] }, ...extra } });
  expect((await world.kernel.pod("/run/netns/pod1")!.routes({})).map((r) => r.dst).sort()).toEqual(want);
});

test.for([
  { name: "configured", conf: { mtu: 1400 }, file: "1450", want: 1400 },
  { name: "from the node's file", conf: { mtu: 0 }, file: "1450", want: 1450 },
  { name: "the kernel's", conf: { mtu: 0 }, file: undefined, want: undefined },
])("MTU: $name", async ({ conf, file, want }) => {
  const world = await makeFakeWorld();
  if (file !== undefined) world.present.set("/var/lib/calico/mtu", file);
  const { json } = await callPlugin(world, { conf: { cniVersion: "1.0.0", ...conf } });
  expect(json.interfaces[1].mtu).toBe(want);
});

test("require_mtu_file: without the file nothing is made", async () => {
  const world = await makeFakeWorld();
  expect((await callPlugin(world, { conf: { mtu: 0, require_mtu_file: true } })).json.code).toBe(11);
  expect(leftIn(world)).toEqual([]);
});

test("readiness gates: asked every 5 s, for 30 s", async () => {
  const world = await makeFakeWorld();
  let now = 0;
  let asked = 0;
  world.clock = { now: () => now, pause: async (ms) => void (now += ms) };
  world.isReady = async () => ++asked > 3;
  expect((await callPlugin(world, { conf: { readiness_gates: ["http://127.0.0.1/ready"] } })).exit).toBe(0);
  expect({ asked, now }).toEqual({ asked: 4, now: 15_000 });
  world.isReady = async () => false;
  const closed = await callPlugin(world, { env: { CNI_CONTAINERID: "c2" }, conf: { readiness_gates: ["http://127.0.0.1/ready"] } });
  expect(closed.json).toMatchObject({ code: 11, msg: "readiness gate http://127.0.0.1/ready did not pass within 30 s" });
});

test("usePodCidr: host-local is given the node's range, and on DEL a dummy without asking the API server", async () => {
  const world = await makeFakeWorld();
  const subnets: unknown[] = [];
  world.execPlugin = async ({ stdin }) => {
    subnets.push(JSON.parse(stdin).ipam.subnet);
    return { exit: 0, stdout: '{"cniVersion":"1.0.0","ips":[{"address":"10.65.3.2/24"}]}' };
  };
  const conf = { ipam: { type: "host-local", subnet: "usePodCidr" } };
  expect((await callPlugin(world, { conf })).json.ips[0].address).toBe("10.65.3.2/32");
  world.podCidrsOf = async () => Promise.reject(new Error("the API server is away"));
  expect((await callPlugin(world, { conf, env: { CNI_COMMAND: "DEL" } })).exit).toBe(0);
  expect(subnets).toEqual(["10.65.3.0/24", "0.0.0.0/0"]);
});

test("dhcp is refused with the reason", async () => {
  const { json } = await callPlugin(await makeFakeWorld(), { conf: { ipam: { type: "dhcp" } } });
  expect(json).toMatchObject({ code: 2, msg: "unsupported ipam.type: dhcp", details: expect.stringContaining("no DHCP server") });
});
