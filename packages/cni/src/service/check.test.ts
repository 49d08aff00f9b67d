import { expect, test } from "vitest";
import { callPlugin, makeFakeWorld } from "../testing.ts";
import type { FakeWorld } from "../testing.ts";

type Conf = Record<string, unknown>;

/** ADD, then what happens meanwhile, then CHECK with ADD's result; what CHECK says. */
async function checked(
  w: FakeWorld,
  o: { conf?: Conf; env?: object; meanwhile?: (ip: string) => unknown; plugin?: "calico" | "calico-ipam" } = {},
): Promise<string> {
  const { conf = {}, env = {}, plugin = "calico" } = o;
  const added = await callPlugin(w, { plugin, env, conf: { cniVersion: "1.0.0", ...conf } });
  expect(added.exit, added.stdout).toBe(0);
  await o.meanwhile?.(added.json.ips[0].address.split("/")[0]);
  return await check(w, { conf: { ...conf, prevResult: added.json }, env, plugin });
}

async function check(w: FakeWorld, o: { conf: Conf; env?: object; plugin?: "calico" | "calico-ipam" }): Promise<string> {
  const { exit, json } = await callPlugin(w, { ...o, env: { ...o.env, CNI_COMMAND: "CHECK" }, conf: { cniVersion: "1.0.0", ...o.conf } });
  return exit === 0 ? "fine" : `${json.code} ${json.msg}`;
}

const VETH = "calic440f455693";
const inPod = (w: FakeWorld) => w.kernel.pod("/run/netns/pod1")!;

test.for<{ name: string; meanwhile: (w: FakeWorld, ip: string) => unknown; want: string | RegExp }>([
  { name: "nothing", meanwhile: () => {}, want: "fine" },
  {
    name: "proxy ARP is off",
    meanwhile: (w) => w.sysctls.set(`:net/ipv4/conf/${VETH}/proxy_arp`, "0"),
    want: /sysctl net\/ipv4\/conf\/calic440f455693\/proxy_arp is 0, expected 1$/,
  },
  {
    name: "proxy ARP is on for all devices",
    meanwhile: (w) => w.sysctls.set(`:net/ipv4/conf/${VETH}/proxy_arp`, "0").set(":net/ipv4/conf/all/proxy_arp", "1"),
    want: "fine",
  },
  {
    name: "forwarding is off",
    meanwhile: (w) => w.sysctls.set(`:net/ipv4/conf/${VETH}/forwarding`, "0"),
    want: /forwarding is 0, expected 1$/,
  },
  {
    name: "the pod's MAC address is another",
    meanwhile: (w) => inPod(w).setLink("eth0", { mac: "02:00:00:00:00:99" }),
    want: /interface eth0 of the pod has the MAC address 02:00:00:00:00:99, expected 02:/,
  },
  {
    name: "the default route is gone, another by the gateway there",
    meanwhile: async (w) => {
      await inPod(w).deleteRoute({ dst: "0.0.0.0/0" });
      await inPod(w).replaceRoute({ dst: "1.2.3.4/32", type: "unicast", via: "169.254.1.1", dev: "eth0", protocol: 3 });
    },
    want: /the pod has no route to 0\.0\.0\.0\/0 over eth0$/,
  },
  {
    name: "the default route is in a table of its own, by a plugin after this one",
    meanwhile: async (w) => {
      await inPod(w).deleteRoute({ dst: "0.0.0.0/0" });
      await inPod(w).replaceRoute({ dst: "0.0.0.0/0", type: "unicast", via: "169.254.1.1", dev: "eth0", protocol: 3, table: 100 });
    },
    want: "fine",
  },
  {
    name: "another device has a better route to its address",
    meanwhile: async (w, ip) => {
      await w.kernel.host().addLink({ kind: "bridge", name: "br0", up: true });
      await w.kernel.host().replaceRoute({ dst: `${ip}/32`, type: "unicast", dev: "br0", scope: "link", protocol: 3 });
    },
    want: /the node's route to 192\.\S+\/32 is over br0 \(metric 0\), not over calic440f455693$/,
  },
  {
    name: "its address is nobody's in IPAM, and its handle has another",
    meanwhile: async (w) => {
      const { ipam } = w.datastoreOf(undefined);
      await ipam.releaseByHandle("k8s-pod-network.c1");
      await ipam.autoAssign({ node: "node1", num4: 1, num6: 0, handle: "k8s-pod-network.c1", attrs: { node: "node1" } });
    },
    want: /^104 the address 192\.\S+ of container c1 is nobody's in IPAM$/,
  },
  {
    name: "its address is another's in IPAM",
    meanwhile: async (w, ip) => {
      const { ipam } = w.datastoreOf(undefined);
      await ipam.releaseByHandle("k8s-pod-network.c1");
      await ipam.assignIp({ node: "node2", ip, handle: "net.thief", attrs: { node: "node2" } });
    },
    want: /^104 the address 192\.\S+ of container c1 has the handle net\.thief in IPAM$/,
  },
])("CHECK: $name", async ({ meanwhile, want }) => {
  const w = await makeFakeWorld();
  expect(await checked(w, { meanwhile: (ip) => meanwhile(w, ip) })).toMatch(want);
});

test("CHECK: custom routes are looked for", async () => {
  const w = await makeFakeWorld();
  const conf = { ipam: { type: "calico-ipam", routes: [{ dst: "10.96.0.0/12" }] } };
  expect(await checked(w, { conf })).toBe("fine");
  await inPod(w).deleteRoute({ dst: "10.96.0.0/12" });
  expect(await check(w, { conf })).toMatch(/the pod has no route to 10\.96\.0\.0\/12/);
});

test("CHECK: addresses past IPAM are no IPAM's to know", async () => {
  const pod = { annotations: { "cni.projectcalico.org/ipAddrsNoIpam": '["10.20.0.1"]' } };
  const conf = { feature_control: { ip_addrs_no_ipam: true } };
  expect(await checked(await makeFakeWorld({ pod }), { conf })).toBe("fine");
  expect(await checked(await makeFakeWorld(), { conf, meanwhile: () => {} })).toBe("fine");
});

test("CHECK: a network that joined a container looks for the first one's addresses", async () => {
  const w = await makeFakeWorld();
  const env = { CNI_ARGS: "" };
  const first = await callPlugin(w, { env, conf: { cniVersion: "1.0.0", policy: {}, name: "n1" } });
  expect(await checked(w, { env, conf: { policy: {}, name: "n2" } })).toBe("fine");
  expect(await check(w, { env, conf: { policy: {}, name: "n1", prevResult: first.json } })).toBe("fine");
  await w.kernel.host().setLink("calic1", { up: false });
  expect(await check(w, { env, conf: { policy: {}, name: "n2" } })).toMatch(/^104 .*is down$/);
});

test("CHECK of calico-ipam under another main plugin: the result's addresses are the container's", async () => {
  const w = await makeFakeWorld();
  const o = { plugin: "calico-ipam", conf: { type: "ptp" } } as const;
  expect(await checked(w, o)).toBe("fine");
  expect(await check(w, { ...o, conf: { type: "ptp", prevResult: { ips: [{ address: "192.200.0.99/26" }] } } })).toMatch(
    /^104 .*is nobody's/,
  );
});
