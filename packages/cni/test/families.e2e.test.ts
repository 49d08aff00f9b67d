/** IPv6 and dual stack on the real kernel; other IPAM plugins under ours, and ours under another main plugin. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startNode } from "../src/testing/node-kit.ts";
import type { TestNode } from "../src/testing/node-kit.ts";

let node: TestNode;
beforeAll(async () => {
  node = await startNode();
  await node.pool("p6", { cidr: "fd00:200::/48", blockSize: 122 });
  await node.inNode("sysctl", "-q", "net.ipv6.conf.all.forwarding=1");
  await node.start("ipam");
  await node.start("cni", "--policy-wait-ms", "0");
});
afterAll(() => node?.[Symbol.asyncDispose]());

const of = (outcome: { json: Record<string, unknown> | undefined; stdout: string }): string[] => {
  if (!Array.isArray(outcome.json?.["ips"])) throw new Error(`no result: ${outcome.stdout}`);
  return (outcome.json["ips"] as { address: string }[]).map((i) => i.address);
};
const bare = (cidr: string | undefined) => cidr?.split("/")[0] ?? "";
const inPod = (pod: string, ...command: string[]) => node.inNode("nsenter", `--net=/run/netns/${node.ns}-${pod}`, "--", ...command);

test("dual stack: two pods reach each other and the host over both families", async () => {
  const conf = { cniVersion: "1.0.0", ipam: { type: "calico-ipam", assign_ipv6: "true" } };
  const addresses: string[][] = [];
  for (const pod of ["a", "b"]) {
    await node.podNetns(pod);
    addresses.push(of(await node.cni({ pod, conf })));
  }
  const [, [v4, v6] = []] = addresses;
  expect(v4).toMatch(/^192\.200\..*\/32$/);
  expect(v6).toMatch(/^fd00:200:.*\/128$/);
  for (const [program, target] of [
    ["ping", v4],
    ["ping6", v6],
  ] as const) {
    expect((await node.inNode("busybox", program, "-c", "1", "-W", "3", bare(target))).code, `host ${target}`).toBe(0);
    expect((await inPod("a", "busybox", program, "-c", "1", "-W", "3", bare(target))).code, `pod a ${target}`).toBe(0);
  }
  expect(await node.ip(`${node.ns}-b`, "-6", "route", "show", "default")).toContain("default via fe80::ecee:eeff:feee:eeee dev eth0");
  const sysctls = await inPod("b", "sysctl", "-n", "net/ipv6/conf/eth0/accept_dad", "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding");
  expect(sysctls.stdout.trim().split("\n")).toEqual(["0", "0", "0"]);
  const [host] = (await node.ip(node.ns, "-o", "route", "show", bare(v4))).match(/cali\w+/) ?? [];
  const names = ["accept_dad", "proxy_ndp", "accept_ra", "forwarding", "disable_ipv6"].map((k) => `net/ipv6/conf/${host}/${k}`);
  expect((await node.inNode("sysctl", "-n", ...names)).stdout.trim().split("\n")).toEqual(["0", "1", "0", "1", "0"]);
  for (const pod of ["a", "b"]) expect(await node.cni({ pod, conf, command: "DEL" })).toMatchObject({ exit: 0 });
  expect(await node.keys("/calico/ipam/v2/handle/")).toEqual([]);
  expect(await node.ip(node.ns, "-6", "route", "show", bare(v6))).toBe("");
});

test("IPv6 alone, with forwarding on in the pod", async () => {
  await node.podNetns("six");
  const conf = {
    ipam: { type: "calico-ipam", assign_ipv4: "false", assign_ipv6: "true" },
    container_settings: { allow_ip_forwarding: true },
  };
  const [v6] = of(await node.cni({ pod: "six", conf }));
  expect((await node.inNode("busybox", "ping6", "-c", "1", "-W", "3", bare(v6))).code).toBe(0);
  expect(await node.ip(`${node.ns}-six`, "route")).toBe("");
  expect((await inPod("six", "sysctl", "-n", "net/ipv6/conf/all/forwarding")).stdout.trim()).toBe("1");
  const check = { cniVersion: "0.4.0", ipam: conf.ipam };
  expect(await node.cni({ pod: "six", conf: check, command: "CHECK" })).toMatchObject({ exit: 0 });
  await node.ip(`${node.ns}-six`, "-6", "route", "del", "default");
  expect((await node.cni({ pod: "six", conf: check, command: "CHECK" })).stdout).toContain("the pod has no route to ::/0 over eth0");
  expect(await node.cni({ pod: "six", conf, command: "DEL" })).toMatchObject({ exit: 0 });
});

test("ADD again for the same container: the same address, one device", async () => {
  await node.podNetns("twice");
  const first = of(await node.cni({ pod: "twice" }));
  expect(of(await node.cni({ pod: "twice" }))).toEqual(first);
  expect((await node.ip(node.ns, "-o", "link", "show", "type", "veth")).trim().split("\n")).toHaveLength(1);
  expect(await node.cni({ pod: "twice", command: "DEL" })).toMatchObject({ exit: 0 });
  expect(await node.keys("/calico/ipam/v2/handle/")).toEqual([]);
});

test("IPAM by static: the address of the configuration", async () => {
  await node.podNetns("static");
  const conf = { ipam: { type: "static", addresses: [{ address: "10.77.1.9/24" }] } };
  expect(of(await node.cni({ pod: "static", conf }))).toEqual(["10.77.1.9/32"]);
  expect((await node.inNode("busybox", "ping", "-c", "1", "-W", "3", "10.77.1.9")).code).toBe(0);
  expect(await node.cni({ pod: "static", conf, command: "DEL" })).toMatchObject({ exit: 0 });
});

test.for([
  { name: "ptp", conf: { type: "ptp" } },
  { name: "bridge", conf: { type: "bridge", bridge: "br-ours" } },
])("the reference plugin $name delegates to our calico-ipam: an address of a pool, given back by DEL", async ({ name, conf }) => {
  await node.podNetns(name);
  const call = { pod: name, conf: { ...conf, cniVersion: "0.4.0", ipam: { type: "calico-ipam" } } };
  const added = await node.plugin(name, call);
  expect(of(added)[0], added.stdout).toMatch(/^192\.200\..*\/26$/);
  expect(await node.keys("/calico/ipam/v2/handle/")).toHaveLength(1);
  if (name === "ptp") expect((await node.inNode("busybox", "ping", "-c", "1", "-W", "3", bare(of(added)[0]))).code).toBe(0);
  expect(await node.plugin(name, { ...call, command: "DEL" })).toMatchObject({ exit: 0 });
  expect(await node.keys("/calico/ipam/v2/handle/")).toEqual([]);
});

test("log_file_path: what happened is in the file too, which is renamed when it is full", async () => {
  await mkdir(join(node.dir, "log"));
  await node.podNetns("log");
  const conf = { log_file_path: join(node.dir, "log/cni.log") };
  await node.cni({ pod: "log", conf });
  await node.cni({ pod: "log", conf, command: "DEL" });
  expect((await node.inNode("cat", join(node.dir, "log/cni.log"))).stdout).toMatch(/"message":"call ended".*"ADD"[^]*"DEL"/);
});
