/** felix on a real kernel: two pods, a node, both iptables back ends. Needs root. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { aPolicy } from "@calico/model/testing";
import { vethName } from "@calico/model";
import type { AnyObject } from "@calico/model";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { deleted, updated } from "../../src/testing.ts";
import { baseCluster, pod } from "../cluster.ts";
import { makeNode, until } from "./node.ts";
import type { TestNode } from "./node.ts";

const WEB = { ip: "10.0.0.1", iface: vethName("default", "web"), mac: "02:00:00:00:00:01" };
const CLIENT = { ip: "10.0.0.2", iface: vethName("default", "client"), mac: "02:00:00:00:00:02" };
const denyWeb = aPolicy("deny", { selector: "app == 'web'", ingress: [] }, "default");
const allowClient = aPolicy(
  "allow",
  { selector: "app == 'web'", ingress: [{ action: "Allow", source: { selector: "app == 'client'" } }] },
  "default",
);

/** Objects of the first state; only the two pods that exist here are local. */
const first: readonly AnyObject[] = [
  ...baseCluster().filter((o) => o.kind !== "WorkloadEndpoint"),
  pod("web"),
  pod("client"),
  pod("remote"),
];

describe.for(["nft", "legacy"] as const)("felix with iptables-%s", (backend) => {
  let node: TestNode;
  let felix: ReturnType<TestNode["startFelix"]>;
  const save = (table = "filter") => node.sh(`iptables-${backend}-save -t ${table} | grep -v "^#"`);
  const ping = (): boolean => {
    try {
      node.inPod("client", `busybox ping -c 1 -W 1 ${WEB.ip}`);
      return true;
    } catch (error) {
      if (!/100% packet loss/.test(String((error as { stdout?: string }).stdout))) throw error;
      return false;
    }
  };
  const change = async (...events: Parameters<typeof felix.feed.push>) => {
    const before = felix.applied.length;
    felix.feed.push(...events);
    await until("the change is in the kernel", () => felix.applied.length > before);
  };

  beforeAll(async () => {
    node = await makeNode(backend);
    await node.addPod("web", WEB);
    await node.addPod("client", CLIENT);
    node.sh(
      `iptables-${backend} -A INPUT -s 203.0.113.7 -j DROP; iptables-${backend} -N OTHERS; iptables-${backend} -A OTHERS -j RETURN; iptables-${backend} -A FORWARD -j OTHERS; iptables-${backend} -N cali-old; iptables-${backend} -A cali-old -j DROP; ipset create cali40s:old hash:net; ipset create others hash:ip`,
    );
  });
  afterAll(async () => {
    await felix?.stop();
    await node?.remove();
  });

  test("nothing is written before the feed is in sync", async () => {
    const before = save();
    felix = node.startFelix({ backend });
    felix.feed.push(...first.map(updated));
    await until("the events are taken", () => felix.felix.health().detail["revision"] !== 0);
    expect(save()).toBe(before);
    expect(felix.felix.health().ready).toBe(false);
  });

  test("in sync: chains, sets, routes, neighbours and status files are there; old ones of ours are gone; others' are untouched", async () => {
    await change({ kind: "inSync", revision: 100 });
    expect(felix.log.lines.filter((l) => l.level === "error" || l.message.includes("failed"))).toEqual([]);
    expect(felix.felix.health().ready).toBe(true);
    const filter = save();
    expect(filter).toMatch(new RegExp(`-A cali-from-wl-dispatch -i ${WEB.iface} .*-g cali-fw-${WEB.iface}`));
    expect(filter).not.toContain("cali-old");
    expect(filter).toContain("-A INPUT -s 203.0.113.7/32 -j DROP");
    expect(filter).toContain("-A OTHERS -j RETURN");
    expect(node.sh("ipset list -name")).not.toContain("cali40s:old");
    expect(node.sh("ipset list -name")).toContain("others");
    expect(node.sh(`ip route show dev ${WEB.iface}`)).toContain(`${WEB.ip} scope link metric 1024`);
    expect(node.sh(`ip neigh show dev ${WEB.iface}`)).toContain(`${WEB.ip} lladdr ${WEB.mac} PERMANENT`);
    const file = join(node.dir, "endpoint-status", "k8s default%2Fweb eth0");
    expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ ifaceName: WEB.iface, ipv4Nets: ["10.0.0.1/32"] });
  });

  test("traffic: allowed by the profile, denied by a policy, allowed by a policy with a selector, denied by a label change", async () => {
    expect(ping()).toBe(true);
    await change(updated(denyWeb));
    node.sh("conntrack -F 2>/dev/null");
    expect(ping()).toBe(false);
    await change(updated(allowClient));
    expect(ping()).toBe(true);
    const client = pod("client");
    await change(
      updated({ ...client, metadata: { ...client.metadata, labels: { ...client.metadata.labels, app: "stranger" } } } as AnyObject),
    );
    node.sh("conntrack -F 2>/dev/null");
    expect(ping()).toBe(false);
    await change(updated(client));
    expect(ping()).toBe(true);
  });

  test("restart: nothing is rewritten, and counters and flows go on", async () => {
    const counted = () => node.sh(`iptables-${backend}-save -c -t filter | grep -- '-A cali-tw-${WEB.iface} .*-j MARK'`);
    const before = { filter: save().replaceAll(/^#.*$/gm, ""), counters: counted() };
    expect(before.counters).not.toMatch(/^\[0:0\]/m);
    using echo = node.openEcho("client", { server: "web", ip: WEB.ip });
    expect(await echo.say("one")).toBe("one");
    await felix.stop();
    expect(ping()).toBe(true);
    expect(await echo.say("two")).toBe("two");
    felix = node.startFelix({ backend });
    await change(...[...first, denyWeb, allowClient].map(updated), { kind: "inSync", revision: 200 });
    expect(save().replaceAll(/^#.*$/gm, "")).toBe(before.filter);
    expect(counted()).not.toMatch(/^\[0:0\]/m);
    expect(await echo.say("three")).toBe("three");
    expect(felix.applied.flatMap((a) => a.changed).filter((name) => name.startsWith("iptables") || name.startsWith("ipset"))).toEqual([]);
    expect(ping()).toBe(true);
  });

  test("drift: an emptied chain, a removed hook, a foreign rule in our chain, a set's member and a route are put right and reported", async () => {
    await felix.stop();
    felix = node.startFelix({ backend, refreshMs: 300 });
    await change(...[...first, denyWeb, allowClient].map(updated), { kind: "inSync", revision: 300 });
    const want = save().replaceAll(/^#.*$/gm, "");
    const set = node
      .sh("ipset list -name")
      .split("\n")
      .find((name) => name.startsWith("cali40s:"))!;
    node.sh(
      `iptables-${backend} -F cali-tw-${WEB.iface}; iptables-${backend} -D FORWARD 1; iptables-${backend} -I cali-fw-${WEB.iface} 1 -j ACCEPT; ipset del ${set} ${CLIENT.ip}; ip route del ${WEB.ip}/32 dev ${WEB.iface}`,
    );
    const repaired = () => felix.applied.flatMap((a) => a.repaired).join("\n");
    const wanted = [`filter cali-tw-${WEB.iface}`, "filter FORWARD hook", `filter cali-fw-${WEB.iface}`, set, `route ${WEB.ip}/32`];
    await until("all five are repaired", () => wanted.every((part) => repaired().includes(part)));
    expect(save().replaceAll(/^#.*$/gm, "")).toBe(want);
    expect(ping()).toBe(true);
  });

  test("a policy that is wrong is named in the log and harms nothing else", async () => {
    const bad = {
      ...denyWeb,
      metadata: { ...denyWeb.metadata, name: "bad" },
      spec: { ...denyWeb.spec, selector: "app = 'web'" },
    } as AnyObject;
    felix.feed.push(updated(bad));
    await until("it is reported", () => felix.log.lines.some((l) => l.fields["field"] === "spec.selector"));
    expect(felix.felix.health().detail["invalidObjects"]).toEqual(["NetworkPolicy(default/bad)"]);
    expect(ping()).toBe(true);
  });

  test("a pod that goes takes its chains, route and file with it; its interface drops at once", async () => {
    await change(deleted(pod("web")));
    expect(save()).not.toContain(WEB.iface);
    expect(node.sh(`ip route show dev ${WEB.iface}`)).toBe("");
    expect(readdirSync(join(node.dir, "endpoint-status"))).toEqual(["k8s default%2Fclient eth0"]);
    expect(ping()).toBe(false);
  });

  test("an interface that comes after its endpoint gets route and file when it comes", async () => {
    node.sh(`ip link del ${WEB.iface}`);
    await change(updated(pod("web")));
    const file = join(node.dir, "endpoint-status", "k8s default%2Fweb eth0");
    expect(existsSync(file)).toBe(false);
    expect(save()).toContain(`cali-tw-${WEB.iface}`);
    node.sh(`ip link add ${WEB.iface} type veth peer name later; ip link set ${WEB.iface} up; ip link set later up`);
    await until("the file is there", () => existsSync(file));
    expect(node.sh(`ip route show dev ${WEB.iface}`)).toContain(WEB.ip);
  });
});
