/** Namespaces, sysctls, connection tracking and large batches on the running kernel, in namespaces of its own. As root. */
import { spawn } from "node:child_process";
import { readlinkSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  createNetns,
  deleteConntrack,
  deleteFlows,
  deleteNetns,
  listNetns,
  netnsPath,
  netnsPathOfPid,
  openIptables,
  openNetlink,
  readSysctl,
  run,
  runOrThrow,
  withNetns,
  writeSysctl,
} from "../src/mod.ts";

const node = `linux-${process.pid}-k`;
const peer = `linux-${process.pid}-kp`;
const path = netnsPath(node);
const ownNetns = () => readlinkSync("/proc/thread-self/ns/net");

beforeAll(async () => {
  await createNetns(node);
  await createNetns(peer);
  using nl = openNetlink({ netnsPath: path });
  using inside = openNetlink({ netnsPath: netnsPath(peer) });
  await nl.setLink("lo", { up: true });
  await nl.addLink({ kind: "veth", name: "cali0.x", up: true, peer: { name: "eth0", netns: netnsPath(peer) } });
  await nl.replaceAddress("cali0.x", "10.0.0.1/24");
  await inside.setLink("eth0", { up: true });
  await inside.replaceAddress("eth0", "10.0.0.2/24");
});

afterAll(async () => {
  await deleteNetns(node);
  await deleteNetns(peer);
});

test("withNetns: in there, and back; also when the function throws", () => {
  const home = ownNetns();
  expect(withNetns(path, ownNetns)).not.toBe(home);
  expect(ownNetns()).toBe(home);
  expect(() =>
    withNetns(path, () => {
      throw new Error("inside");
    }),
  ).toThrow("inside");
  expect(ownNetns()).toBe(home);
  expect(() => withNetns("/run/netns/linux-no-such", ownNetns)).toThrow(/Cannot open network namespace \/run\/netns\/linux-no-such/);
  expect(() => withNetns("/proc/self/ns/pid", ownNetns)).toThrow(/Cannot enter network namespace/);
  expect(ownNetns()).toBe(home);
});

test("netns: made, listed, refused twice, deleted twice without complaint", async () => {
  const name = `${node}-x`;
  await createNetns(name);
  expect(listNetns()).toContain(name);
  await expect(createNetns(name)).rejects.toThrow(name);
  await deleteNetns(name);
  await deleteNetns(name);
  expect(listNetns()).not.toContain(name);
});

test("netnsPathOfPid: the namespace of a process", async () => {
  const child = spawn("nsenter", [`--net=${path}`, "sleep", "60"]);
  try {
    const inode = withNetns(path, ownNetns);
    await expect.poll(() => readlinkSync(netnsPathOfPid(child.pid ?? 0))).toBe(inode);
    using nl = openNetlink({ netnsPath: netnsPathOfPid(child.pid ?? 0) });
    expect((await nl.links()).map((l) => l.name)).toContain("cali0.x");
  } finally {
    child.kill("SIGKILL");
  }
});

test("sysctl: of another namespace, with a dot in the device name, and refused with its name", () => {
  writeSysctl("net/ipv4/conf/cali0.x/proxy_arp", 1, { netnsPath: path });
  expect(readSysctl("net/ipv4/conf/cali0.x/proxy_arp", { netnsPath: path })).toBe("1");
  // A new namespace has the machine's own setting to begin with, whichever that is.
  for (const [here, there] of [
    ["1", "0"],
    ["0", "1"],
  ] as const) {
    writeSysctl("net.ipv4.ip_forward", here, { netnsPath: path });
    writeSysctl("net.ipv4.ip_forward", there, { netnsPath: netnsPath(peer) });
    expect(readSysctl("net.ipv4.ip_forward", { netnsPath: path })).toBe(here);
    expect(readSysctl("net.ipv4.ip_forward", { netnsPath: netnsPath(peer) })).toBe(there);
  }
  expect(() => readSysctl("net/ipv4/conf/cali0.x/proxy_arp")).toThrow(/Cannot read sysctl net\/ipv4\/conf\/cali0.x\/proxy_arp/);
  expect(() => writeSysctl("net/ipv4/no_such", 1, { netnsPath: path })).toThrow(/Cannot write 1 to sysctl net\/ipv4\/no_such/);
  expect(() => readSysctl("../../etc/passwd")).toThrow(/Cannot use sysctl/);
});

test("apply: more changes than one send takes, failures and all, each with its own outcome", async () => {
  using nl = openNetlink({ netnsPath: path });
  const ops = Array.from({ length: 3000 }, (_, i) => ({
    do: "replaceRoute" as const,
    // Every third has a gateway that is nowhere.
    route: {
      dst: `172.${16 + (i >> 8)}.${i & 255}.0/24`,
      type: "unicast" as const,
      dev: "cali0.x",
      via: i % 3 === 0 ? "11.0.0.1" : "10.0.0.2",
      protocol: 179,
    },
  }));
  const results = await nl.apply(ops);
  expect(results).toHaveLength(3000);
  results.forEach((result, i) => expect(result.ok ? "ok" : result.error.code, `op ${i}`).toBe(i % 3 === 0 ? "ENETUNREACH" : "ok"));
  expect(await nl.routes({ protocol: 179 })).toHaveLength(2000);
  const bad = results[0];
  expect(bad && !bad.ok && bad.error.message).toContain("Nexthop has invalid gateway");
});

test("the kernel lists what ip lists", async () => {
  using nl = openNetlink({ netnsPath: path });
  type IpRoute = { dst: string; protocol: string; dev?: string };
  const theirs = (JSON.parse(await runOrThrow(["ip", "-n", node, "-N", "-j", "route"], {})) as IpRoute[]).map(
    (r) => `${r.dst} ${r.protocol} ${r.dev}`,
  );
  const ours = (await nl.routes({ family: 4 })).map((r) => `${r.dst} ${r.protocol} ${r.dev}`);
  expect(ours.toSorted()).toEqual(theirs.toSorted());
  expect(ours.length).toBeGreaterThan(0);
});

test("conntrack: the flows of an address are forgotten, others stay", async () => {
  // A rule on state makes the namespace track connections.
  const tables = openIptables({ backend: "nft", netnsPath: path });
  const text = "*filter\n-A OUTPUT -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n";
  expect(await tables.restore(text, { noflush: true })).toEqual({ ok: true, value: undefined });
  const ping = () => runOrThrow(["busybox", "ping", "-c1", "-W2", "10.0.0.2"], { netnsPath: path });
  const flows = async () => (await run(["conntrack", "-L"], { netnsPath: path })).stdout;
  await ping();
  expect(await flows()).toContain("10.0.0.2");
  expect(await deleteConntrack({ ip: "10.0.0.99" }, { netnsPath: path })).toBe(0);
  expect(await deleteConntrack({ ip: "10.0.0.2" }, { netnsPath: path })).toBeGreaterThan(0);
  expect(await flows()).not.toContain("10.0.0.2");
  await ping();
  expect(await deleteFlows({ protocol: "udp", origDst: "10.0.0.2", origDstPort: 53 }, { netnsPath: path })).toBe(0);
  expect(await deleteFlows({ protocol: "icmp", origDst: "10.0.0.2" }, { netnsPath: path })).toBe(1);
  await expect(deleteFlows({}, { netnsPath: path })).rejects.toThrow(/empty filter/);
});

test("changes: an address and an IPv6 route are told with their link's name", async () => {
  using nl = openNetlink({ netnsPath: path });
  const stop = new AbortController();
  const changes = nl.changes(stop.signal, { of: ["addresses", "routes"] });
  await nl.replaceAddress("cali0.x", "fd00:9::1/64", { nodad: true });
  const seen: string[] = [];
  for await (const events of changes) {
    for (const e of events) {
      if (e.kind === "addressChanged") seen.push(`${e.address.link} ${e.address.cidr}`);
      if (e.kind === "routeChanged") seen.push(`${e.route.dev} ${e.route.dst}`);
    }
    if (seen.includes("cali0.x fd00:9::1/64") && seen.includes("cali0.x fd00:9::/64")) stop.abort();
  }
});

test("a socket reaches its namespace after the namespace's name is gone", async () => {
  const name = `linux-${process.pid}-gone`;
  await createNetns(name);
  using nl = openNetlink({ netnsPath: netnsPath(name) });
  await nl.addLink({ kind: "bridge", name: "br0" });
  await deleteNetns(name);
  await nl.deleteLink("br0");
  expect(await nl.link("br0")).toBeUndefined();
});
