/** The reconcilers against strict fakes that fail: what fails stays to be done, what is independent goes on, others' things stay. */
import { aPolicy, aWep } from "@calico/model/testing";
import { makeFakeIpset, makeFakeIptables, makeFakeNetlink } from "@calico/linux/testing";
import { expect, test } from "vitest";
import { NODE, baseCluster, ifaceOf, pod } from "../../test/cluster.ts";
import { vxlanMac } from "../adapter/vxlan-mac.ts";
import type { FeedEvent } from "../domain/feed-event.ts";
import { Graph } from "../domain/graph.ts";
import { deleted, updated } from "../testing.ts";
import { Dataplane } from "./dataplane.ts";

const policy = aPolicy(
  "p",
  { selector: "app == 'web'", ingress: [{ action: "Allow", source: { selector: "app == 'client'" } }] },
  "default",
);

function setUp() {
  const ipset = makeFakeIpset();
  const iptables = makeFakeIptables({ family: 4, ipset });
  const netlink = makeFakeNetlink();
  const forgotten: string[] = [];
  const sysctls: string[] = [];
  const files = new Map<string, string>([["k8s default%2Fgone eth0", "{}"]]);
  const dataplane = new Dataplane(
    {
      netlink,
      iptables: [iptables],
      ipset,
      sysctls: { write: (name, value) => void sysctls.push(`${name}=${value}`) },
      conntrack: { forget: async (ip) => void forgotten.push(ip) },
    },
    {
      list: async () => [...files.keys()],
      write: async (file, body) => void files.set(file, body),
      remove: async (file) => void files.delete(file),
    },
    { write: async () => {} },
  );
  const graph = new Graph({ node: NODE, macOf: vxlanMac, families: [4] });
  return {
    ipset,
    iptables,
    netlink,
    forgotten,
    sysctls,
    files,
    dataplane,
    addVeth: (name: string) => netlink.addLink({ kind: "veth", name, up: true, peer: { name: `p${name.slice(4, 12)}` } }),
    async apply(...events: FeedEvent[]) {
      for (const event of events) graph.update(event);
      dataplane.stage(graph.flush());
      return dataplane.apply();
    },
  };
}

const first = [...baseCluster(), policy].map(updated);

test("Dataplane: a second apply without news writes nothing", async () => {
  const t = setUp();
  await t.addVeth(ifaceOf("web"));
  expect((await t.apply(...first)).failures).toEqual([]);
  const before = [t.iptables.recorded.length, t.ipset.recorded.length, t.netlink.recorded.length];
  expect(await t.apply()).toEqual({ changed: [], repaired: [], failures: [] });
  expect([t.iptables.recorded.length, t.ipset.recorded.length, t.netlink.recorded.length]).toEqual(before);
});

test("Dataplane: a change writes the chains that it changes and no others", async () => {
  const t = setUp();
  await t.apply(...first);
  const written = t.iptables.recorded.length;
  await t.apply(updated(aPolicy("p", { selector: "app == 'web'", ingress: [{ action: "Deny" }] }, "default")));
  const chains = t.iptables.recorded.slice(written).flatMap((text) => text.split("\n").filter((line) => line.startsWith(":")));
  expect(chains).toEqual([":cali-pi-np/default/p - [0:0]"]);
});

test("Dataplane: without its sets no rule is written, and no file says that a pod is ready", async () => {
  const t = setUp();
  await t.addVeth(ifaceOf("web"));
  t.ipset.failNext("injected");
  const outcome = await t.apply(...first);
  expect(outcome.failures.join()).toContain("injected");
  expect(t.iptables.recorded).toEqual([]);
  expect([...t.files.keys()]).toEqual(["k8s default%2Fgone eth0"]);
  expect((await t.apply()).failures).toEqual([]);
  expect([...t.files.keys()]).toEqual(["k8s default%2Fweb eth0"]);
});

test("Dataplane: a failed restore is tried again from what the kernel then has", async () => {
  const t = setUp();
  t.iptables.failNext("lock held by pid 1");
  expect((await t.apply(...first)).failures).toEqual(["lock held by pid 1"]);
  expect(t.iptables.rules("filter", "cali-FORWARD")).toBeUndefined();
  expect((await t.apply()).failures).toEqual([]);
  expect(t.iptables.rules("filter", "cali-FORWARD")).toHaveLength(6);
});

test("Dataplane: a policy chain that the kernel refuses becomes a drop; the others are written", async () => {
  const t = setUp();
  const restore = t.iptables.restore;
  const refusing = (text: string) =>
    text.split("\n").find((line) => line.startsWith("-A cali-pi-np/default/p ") && line.includes("--match-set"));
  t.iptables.restore = async (text, options) => {
    const bad = refusing(text);
    return bad === undefined ? restore(text, options) : { ok: false, error: { kind: "refused", text: bad, message: "refused" } };
  };
  expect((await t.apply(...first)).failures).toEqual(["refused"]);
  expect((await t.apply()).failures).toEqual([]);
  expect(t.iptables.rules("filter", "cali-pi-np/default/p")).toEqual([expect.stringMatching(/-j DROP$/)]);
  expect(t.dataplane.describe()).toMatchObject({ refusedChains: 1 });
  t.iptables.restore = restore;
  expect((await t.apply(updated(aPolicy("p", { selector: "app == 'web'", ingress: [{ action: "Allow" }] }, "default")))).failures).toEqual(
    [],
  );
  expect(t.iptables.rules("filter", "cali-pi-np/default/p")!.join()).not.toContain("Refused");
  expect(t.dataplane.describe()).toMatchObject({ refusedChains: 0 });
  // One more rule at the end of a chain that is there already is put in, not written with the whole chain.
  t.iptables.restore = async (text, options) => {
    const bad = text.split("\n").find((line) => line.startsWith("-I cali-pi-np/default/p ") && line.includes("--match-set"));
    return bad === undefined ? restore(text, options) : { ok: false, error: { kind: "refused", text: bad, message: "refused" } };
  };
  const more = [{ action: "Allow" as const }, { action: "Allow" as const, source: { selector: "app == 'x'" } }];
  const grown = updated(aPolicy("p", { selector: "app == 'web'", ingress: more }, "default"));
  expect((await t.apply(grown)).failures).toEqual(["refused"]);
  expect((await t.apply()).failures).toEqual([]);
  expect(t.iptables.rules("filter", "cali-pi-np/default/p")).toEqual([expect.stringMatching(/-j DROP$/)]);
});

test("Dataplane: sets go after the rules that used them", async () => {
  const t = setUp();
  await t.apply(...first);
  const selectorSets = async () => (await t.ipset.names()).filter((name) => name.startsWith("cali40s:"));
  expect(await selectorSets()).toHaveLength(1);
  expect((await t.apply(deleted(policy))).failures).toEqual([]);
  expect(await selectorSets()).toEqual([]);
});

test("Dataplane: at the start, chains and sets of ours that nobody wants go; what others hold on to stays", async () => {
  const t = setUp();
  await t.ipset.restore("create cali40s:old hash:net family inet\ncreate KUBE-X hash:ip family inet\n");
  t.iptables.tamper(
    "*filter\n:cali-stale - [0:0]\n:cali-held - [0:0]\n:KUBE-FORWARD - [0:0]\n-A KUBE-FORWARD -j cali-held\n-A FORWARD -j KUBE-FORWARD\nCOMMIT\n",
  );
  expect((await t.apply(...first)).failures).toEqual([]);
  expect(t.iptables.chains("filter")).not.toContain("cali-stale");
  expect(t.iptables.rules("filter", "KUBE-FORWARD")).toEqual(["-j cali-held"]);
  expect(await t.ipset.names()).toContain("KUBE-X");
  expect(await t.ipset.names()).not.toContain("cali40s:old");
});

test("Dataplane: proxy-nat's rules may stand before ours; anybody else's may not", async () => {
  const t = setUp();
  await t.apply(...first);
  t.iptables.tamper('*nat\n:calinat-x - [0:0]\n-I PREROUTING 1 -m comment --comment "calinat:services" -j calinat-x\nCOMMIT\n');
  t.dataplane.refresh("rules");
  expect((await t.apply()).repaired).toEqual([]);
  t.iptables.tamper("*filter\n-I FORWARD 1 -j ACCEPT\nCOMMIT\n");
  t.dataplane.refresh("rules");
  expect((await t.apply()).repaired).toEqual(["iptables filter FORWARD hook"]);
  expect(t.iptables.rules("filter", "FORWARD")!.map((r) => r.replace(/.*-j /, ""))).toEqual([
    "cali-FORWARD",
    "ACCEPT",
    "ACCEPT",
    "MARK --set-mark 0x10000/0x10000",
  ]);
});

test("Dataplane: an address that no workload has any more loses its flows and its route", async () => {
  const t = setUp();
  await t.addVeth(ifaceOf("web"));
  await t.apply(...first);
  await t.apply(deleted(pod("web")));
  expect(t.forgotten).toEqual(["10.0.0.1"]);
  expect((await t.netlink.routes({})).filter((r) => r.dst === "10.0.0.1/32")).toEqual([]);
});

test("Dataplane: an address that another workload has by now keeps its flows", async () => {
  const t = setUp();
  await t.addVeth(ifaceOf("web"));
  await t.addVeth(ifaceOf("client"));
  await t.apply(...first);
  await t.apply(deleted(pod("web")), updated(aWep({ node: NODE, pod: "client", ip: "10.0.0.1" })));
  expect(t.forgotten).toEqual(["10.0.0.2"]);
});

test("Dataplane: a route that fails is reported by its interface and tried again; the pod is not ready before", async () => {
  const t = setUp();
  await t.addVeth(ifaceOf("web"));
  t.netlink.failNext("EINVAL", (op) => op.do === "replaceRoute");
  expect((await t.apply(...first)).failures.join()).toContain(`Cannot program ${ifaceOf("web")}`);
  expect(t.files.has("k8s default%2Fweb eth0")).toBe(false);
  expect((await t.apply()).failures).toEqual([]);
  expect(t.files.has("k8s default%2Fweb eth0")).toBe(true);
  expect(t.sysctls).toContain(`net/ipv4/conf/${ifaceOf("web")}/proxy_arp=1`);
});

test("Dataplane: a stray route on an interface without endpoint goes at the second look, for a CNI ADD may be under way", async () => {
  const t = setUp();
  await t.addVeth("cali0stray");
  await t.netlink.replaceRoute({ dst: "10.0.0.99/32", type: "unicast", dev: "cali0stray", scope: "link", protocol: 3, metric: 1024 });
  const strays = async () => (await t.netlink.routes({})).filter((r) => r.dst === "10.0.0.99/32").length;
  await t.apply(...first);
  expect(await strays()).toBe(1);
  t.dataplane.refresh("rest");
  expect((await t.apply()).repaired).toEqual(["route 10.0.0.99/32 dev cali0stray removed"]);
  expect(await strays()).toBe(0);
});
