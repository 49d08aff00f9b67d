import { once } from "node:events";
import { watch } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startNode } from "../src/testing/node-kit.ts";
import type { Outcome, TestNode } from "../src/testing/node-kit.ts";

let node: TestNode;
beforeAll(async () => {
  node = await startNode();
  await node.start("ipam");
  await node.start("cni", "--policy-wait-ms", "0");
});
afterAll(() => node?.[Symbol.asyncDispose]());

function addressOf(outcome: Outcome): string {
  const [ip] = (outcome.json?.["ips"] ?? []) as { address: string }[];
  if (outcome.exit !== 0 || ip === undefined) throw new Error(`ADD failed: ${outcome.stdout}`);
  return ip.address;
}

/** Everything a pod leaves in the datastore and the kernel. */
async function traces(): Promise<string> {
  const veths = await node.ip(node.ns, "-o", "link", "show", "type", "veth");
  const keys = [
    ...(await node.keys("/calico/ipam/v2/handle/")),
    ...(await node.keys("/calico/resources/v3/projectcalico.org/workloadendpoints/")),
  ];
  return [veths.trim(), ...keys].filter((s) => s !== "").join("\n");
}

test("ADD, ping, CHECK, DEL: the pod is reachable and nothing is left of it", async () => {
  await node.podNetns("nginx");
  const added = await node.cni({});
  const address = addressOf(added);
  expect(address).toMatch(/^192\.200\.\d+\.\d+\/32$/);
  expect(added.json?.["cniVersion"]).toBe("0.3.0");
  const [host, pod] = added.json?.["interfaces"] as { name: string; mac?: string; sandbox?: string }[];
  expect(host?.name).toBe("calic440f455693");
  expect(pod).toMatchObject({ name: "eth0", sandbox: `/run/netns/${node.ns}-nginx` });
  expect(pod?.mac).toMatch(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);

  expect((await node.inNode("busybox", "ping", "-c", "1", "-W", "2", address.split("/")[0]!)).code).toBe(0);
  expect(await node.ip(`${node.ns}-nginx`, "route")).toBe("default via 169.254.1.1 dev eth0 \n169.254.1.1 dev eth0 scope link \n");
  expect(await node.ip(node.ns, "-o", "link", "show", "calic440f455693")).toMatch(/link\/ether ee:ee:ee:ee:ee:ee/);
  expect(await node.ip(node.ns, "route", "show", address.split("/")[0]!)).toBe(
    `${address.split("/")[0]} dev calic440f455693 scope link metric 1024 \n`,
  );
  const sysctl = await node.inNode(
    "sysctl",
    "-n",
    ...[
      "conf/calic440f455693/proxy_arp",
      "neigh/calic440f455693/proxy_delay",
      "conf/calic440f455693/forwarding",
      "conf/calic440f455693/route_localnet",
    ].map((k) => `net/ipv4/${k}`),
  );
  expect(sysctl.stdout.split("\n").slice(0, 4)).toEqual(["1", "0", "1", "1"]);

  const conf = { cniVersion: "0.4.0", prevResult: added.json };
  expect(await node.cni({ command: "CHECK", conf })).toMatchObject({ exit: 0, stdout: "" });
  await node.ip(node.ns, "route", "del", address.split("/")[0]!);
  const broken = await node.cni({ command: "CHECK", conf });
  expect(broken).toMatchObject({ exit: 1, json: { code: 104 } });
  expect(broken.stdout).toContain(`there is no route to ${address}`);

  expect(await node.cni({ command: "DEL" })).toMatchObject({ exit: 0, stdout: "" });
  expect(await traces()).toBe("");
  expect(await node.cni({ command: "DEL" })).toMatchObject({ exit: 0, stdout: "" });
  expect(await node.cni({ command: "DEL", env: { CNI_NETNS: undefined } })).toMatchObject({ exit: 0, stdout: "" });
  expect(await node.cni({ command: "CHECK", conf })).toMatchObject({ exit: 1, json: { code: 3 } });
});

test("CHECK: a pod that cannot be reached is told, and why", async () => {
  await node.podNetns("broken");
  const pod = "broken";
  const added = await node.cni({ pod });
  const address = addressOf(added);
  const [host, inside] = added.json?.["interfaces"] as { name: string; mac?: string }[];
  const conf = { cniVersion: "0.4.0", prevResult: added.json };
  const check = async () => (await node.cni({ pod, command: "CHECK", conf })).json?.["msg"] ?? "fine";
  const sysctl = (key: string, value: number) => node.inNode("sysctl", "-q", "-w", `net/ipv4/conf/${host!.name}/${key}=${value}`);
  expect(await check()).toBe("fine");
  for (const key of ["proxy_arp", "forwarding"]) {
    await sysctl(key, 0);
    expect(await check()).toContain(`${key} is 0, expected 1`);
    await sysctl(key, 1);
  }
  await node.ip(`${node.ns}-broken`, "link", "set", "eth0", "address", "02:00:00:00:00:99");
  expect(await check()).toContain(`the MAC address 02:00:00:00:00:99, expected ${inside!.mac}`);
  await node.ip(`${node.ns}-broken`, "link", "set", "eth0", "address", inside!.mac!);
  await node.ip(`${node.ns}-broken`, "route", "replace", "1.2.3.4/32", "via", "169.254.1.1", "dev", "eth0");
  await node.ip(`${node.ns}-broken`, "route", "del", "default");
  expect(await check()).toContain("the pod has no route to 0.0.0.0/0 over eth0");
  await node.ip(`${node.ns}-broken`, "route", "add", "default", "via", "169.254.1.1", "dev", "eth0");
  await node.ip(node.ns, "route", "add", address, "dev", "br0");
  expect(await check()).toContain(`the node's route to ${address} is over br0 (metric 0)`);
  await node.ip(node.ns, "route", "del", address, "dev", "br0");
  expect(await check()).toBe("fine");
  expect(await node.cni({ pod, command: "DEL" })).toMatchObject({ exit: 0 });
});

test("ADD: an address that the node sends to another device, by a route of whatever metric, is not given out twice", async () => {
  await node.podNetns("stale");
  const address = "192.200.77.7";
  await node.ip(node.ns, "route", "add", address, "dev", "br0");
  const call = { pod: "stale", env: { CNI_ARGS: `K8S_POD_NAMESPACE=default;K8S_POD_NAME=stale;IP=${address}` } };
  const refused = await node.cni(call);
  expect(refused).toMatchObject({ exit: 1, json: { code: 102, msg: `cannot add the host route to ${address}/32` } });
  expect(refused.json?.["details"]).toMatch(
    /^route \(Ifindex: \d+, Dst: 192\.200\.77\.7\/32, Scope: link\) already exists for an interface other than/,
  );
  expect(await traces()).toBe("");
  await node.ip(node.ns, "route", "del", address, "dev", "br0");
  expect(addressOf(await node.cni(call))).toBe(`${address}/32`);
  expect(await node.cni({ ...call, command: "DEL" })).toMatchObject({ exit: 0 });
});

describe("errors", () => {
  const version = '"cniVersion":"0.3.0"';
  test.for([
    { name: "broken JSON", call: { conf: `{${version},` }, code: 6, msg: /decode/ },
    { name: "an array", call: { conf: "[]" }, code: 6, msg: /decode/ },
    { name: "an unknown command", call: { command: "FOO" }, code: 4, msg: /unknown CNI_COMMAND: FOO/ },
    { name: "no CNI_COMMAND", call: { env: { CNI_COMMAND: undefined } }, code: 4, msg: /CNI_COMMAND/ },
    { name: "no CNI_CONTAINERID", call: { env: { CNI_CONTAINERID: undefined } }, code: 4, msg: /CNI_CONTAINERID/ },
    { name: "no CNI_NETNS", call: { env: { CNI_NETNS: undefined } }, code: 4, msg: /CNI_NETNS/ },
    { name: "no CNI_IFNAME", call: { env: { CNI_IFNAME: undefined } }, code: 4, msg: /CNI_IFNAME/ },
    { name: "no CNI_PATH", call: { env: { CNI_PATH: undefined } }, code: 4, msg: /CNI_PATH/ },
    { name: "a bad interface name", call: { env: { CNI_IFNAME: "a/b" } }, code: 4, msg: /CNI_IFNAME/ },
    { name: "an unknown version", call: { conf: { cniVersion: "9.0.0" } }, code: 1, msg: /9\.0\.0/ },
    { name: "CHECK before there was one", call: { command: "CHECK" }, code: 1, msg: /no command CHECK/ },
    { name: "a bad network name", call: { conf: { name: "a b" } }, code: 7, msg: /invalid characters detected in the given network name/ },
    { name: "a bad mtu", call: { conf: { mtu: "big" } }, code: 7, msg: /mtu/ },
    { name: "no ipam type", call: { conf: { ipam: {} } }, code: 7, msg: /ipam\.type/ },
    { name: "an ipam plugin that is not there", call: { conf: { ipam: { type: "nope" } } }, code: 7, msg: /failed to find plugin "nope"/ },
    { name: "a namespace that is none", call: { netns: "/run/netns/none" }, code: 3, msg: /failed to open netns/ },
    { name: "a file in a namespace's place", call: { netns: "/etc/hostname" }, code: 3, msg: /failed to open netns/ },
    { name: "an address outside of every pool", call: { env: { CNI_ARGS: "IP=10.99.0.1" } }, code: 101, msg: /not in a configured pool/ },
    {
      name: "a pool that is none",
      call: { conf: { ipam: { type: "calico-ipam", ipv4_pools: ["10.77.0.0/16"] } } },
      code: 101,
      msg: /the given pool \(10\.77\.0\.0\/16\) does not exist/,
    },
  ])("$name: code $code, nothing left behind", async ({ call, code, msg }) => {
    const outcome = await node.cni(call);
    expect(outcome).toMatchObject({ exit: 1, json: { code } });
    expect(outcome.json?.["msg"]).toMatch(msg);
    expect(await traces()).toBe("");
  });
});

test("VERSION: all versions of the spec", async () => {
  const outcome = await node.cni({ command: "VERSION", conf: '{"cniVersion":"1.0.0"}' });
  expect(outcome.json).toEqual({ cniVersion: "1.0.0", supportedVersions: ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] });
});

test("another IPAM plugin: host-local gives the address, and takes it back", async () => {
  await node.podNetns("hl");
  const conf = { ipam: { type: "host-local", subnet: "10.55.0.0/24", dataDir: `${node.dir}/host-local` } };
  expect(addressOf(await node.cni({ pod: "hl", conf }))).toBe("10.55.0.2/32");
  expect(await node.cni({ pod: "hl", conf, command: "DEL" })).toMatchObject({ exit: 0 });
  expect(await traces()).toBe("");
});

test("GC of one network leaves another network's pods of another IPAM plugin, and takes its own", async () => {
  const ipam = { type: "host-local", subnet: "10.56.0.0/24", dataDir: `${node.dir}/host-local` };
  const confs = { own: {}, others: { name: "net-b", ipam } };
  for (const pod of ["own", "others"] as const) {
    await node.podNetns(pod);
    const added = await node.cni({ pod, conf: confs[pod] });
    expect(added.exit, added.stdout).toBe(0);
  }
  const gc = { cniVersion: "1.1.0", "cni.dev/valid-attachments": [] };
  expect(await node.cni({ command: "GC", conf: gc })).toMatchObject({ exit: 0 });
  const reached = async (ip: string) => (await node.inNode("busybox", "ping", "-c", "1", "-W", "2", ip)).code === 0;
  expect(await reached("10.56.0.2")).toBe(true);
  expect((await traces()).match(/workloadendpoints.*|\/handle\/.*/g)).toEqual([expect.stringContaining("node1-k8s-others-eth0")]);
  expect(await node.cni({ pod: "others", conf: confs.others, command: "DEL" })).toMatchObject({ exit: 0 });
  expect(await traces()).toBe("");
});

test("portmap chained after: takes our result and reaches the pod by the host's port", async () => {
  await node.podNetns("pm");
  const added = await node.cni({ pod: "pm" });
  const portmap = {
    cniVersion: "0.3.0",
    name: "k8s-pod-network",
    type: "portmap",
    snat: true,
    runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] },
    prevResult: added.json,
  };
  const env = (command: string) => [
    `CNI_COMMAND=${command}`,
    "CNI_CONTAINERID=c-pm",
    `CNI_NETNS=/run/netns/${node.ns}-pm`,
    "CNI_IFNAME=eth0",
    "CNI_PATH=/usr/lib/cni",
  ];
  const call = (command: string) =>
    node.inNode("env", ...env(command), "sh", "-c", `printf %s '${JSON.stringify(portmap)}' | /usr/lib/cni/portmap`);
  const mapped = await call("ADD");
  expect(mapped.code, mapped.stdout).toBe(0);
  expect((await node.inNode("iptables-save", "-t", "nat")).stdout).toContain(`--to-destination ${addressOf(added).split("/")[0]}:80`);
  await call("DEL");
  await node.cni({ pod: "pm", command: "DEL" });
  expect(await traces()).toBe("");
});

test("ADD returns when felix's report is there, not when the time is over", async () => {
  await node.podNetns("waits");
  const dir = `${node.dir}/status`;
  await mkdir(dir); // the endpoint is seen before ADD has made the folder
  const added = node.cni({ pod: "waits", conf: { policy_setup_timeout_seconds: 20, endpoint_status_dir: dir } });
  const isDone = await Promise.race([added.then(() => true), untilKey("node1-k8s-waits-eth0").then(() => false)]);
  expect(isDone).toBe(false);
  await writeFile(`${dir}/k8s default%2Fwaits eth0`, "{}");
  const outcome = await added;
  expect(addressOf(outcome)).toMatch(/^192\.200\./);
  expect(outcome.ms).toBeLessThan(10_000);
  expect(await node.cni({ pod: "waits", command: "DEL" })).toMatchObject({ exit: 0 });
});

/** Felix's part: it sees the endpoint in the datastore. */
async function untilKey(name: string): Promise<void> {
  while (!(await node.keys("/calico/resources/v3/projectcalico.org/workloadendpoints/")).some((k) => k.endsWith(name)));
}

test("twenty at once: twenty addresses; twenty DELs: nothing left", async () => {
  const pods = Array.from({ length: 20 }, (_, i) => `p${i}`);
  await Promise.all(pods.map((p) => node.podNetns(p)));
  const added = await Promise.all(pods.map((pod) => node.cni({ pod })));
  expect(new Set(added.map(addressOf)).size).toBe(20);
  const deleted = await Promise.all(pods.map((pod) => node.cni({ pod, command: "DEL" })));
  expect(deleted.map((d) => d.exit)).toEqual(pods.map(() => 0));
  expect(await traces()).toBe("");
  await Promise.all(pods.map((p) => node.dropPodNetns(p)));
});

test("a path that is the node's own namespace by now: ADD is refused, DEL leaves the node's devices and takes the pod's", async () => {
  const pods = ["mine", "other"] as const;
  for (const pod of pods) await node.podNetns(pod);
  for (const pod of pods) addressOf(await node.cni({ pod }));
  const ownPaths = ["/proc/self/ns/net", `/run/netns/${node.ns}`];
  for (const netns of ownPaths) {
    expect(await node.cni({ pod: "third", netns })).toMatchObject({ exit: 1, json: { code: 8 } });
    expect(await node.cni({ pod: "third", netns, command: "DEL", env: { CNI_IFNAME: "br0" } })).toMatchObject({ exit: 0 });
  }
  expect(await node.ip(node.ns, "-o", "link", "show", "br0")).toContain("br0");
  // Another pod has the path by now.
  const netns = `/run/netns/${node.ns}-other`;
  expect(await node.cni({ pod: "mine", netns, command: "DEL" })).toMatchObject({ exit: 0 });
  expect(await node.ip(`${node.ns}-other`, "-o", "link", "show", "eth0")).toContain("eth0");
  expect(await node.ip(`${node.ns}-mine`, "-o", "link", "show")).not.toContain("eth0");
  expect(await node.cni({ pod: "other", netns: "/etc/passwd/x", command: "DEL" })).toMatchObject({ exit: 0 });
  expect(await traces()).toBe("");
  for (const pod of pods) await node.dropPodNetns(pod);
});

test("an agent that was killed: the executable does the work itself, with and without the IPAM service", async () => {
  await node.podNetns("alone");
  await node.stop("cni");
  expect(addressOf(await node.cni({ pod: "alone" }))).toMatch(/^192\.200\./);
  await node.stop("ipam");
  expect(await node.cni({ pod: "alone", command: "DEL" })).toMatchObject({ exit: 0 });
  expect(await traces()).toBe("");
  await node.start("ipam");
  await node.start("cni", "--policy-wait-ms", "0");
  expect(addressOf(await node.cni({ pod: "alone" }))).toMatch(/^192\.200\./);
  expect(await node.cni({ pod: "alone", command: "DEL" })).toMatchObject({ exit: 0 });
});

test("etcd away: DEL succeeds and is settled when it is back, ADD says try again, each within 10 s", async () => {
  await node.podNetns("late");
  const address = addressOf(await node.cni({ pod: "late" })).split("/")[0]!;
  await node.etcd("down");
  for (let i = 0; i < 2; i++) {
    const deleted = await node.cni({ pod: "late", command: "DEL" });
    expect(deleted).toMatchObject({ exit: 0, stdout: "" });
    expect(deleted.ms).toBeLessThan(5000);
  }
  expect(await node.ip(node.ns, "-o", "link", "show", "type", "veth")).toBe("");
  const added = await node.cni({ pod: "late", container: "other" });
  expect(added).toMatchObject({ exit: 1, json: { code: 11 } });
  expect(added.ms).toBeLessThan(10_000);
  await node.etcd("up");
  await untilSettled();
  expect(await traces()).toBe("");
  expect((await node.inNode("busybox", "ping", "-c", "1", "-W", "1", address)).code).not.toBe(0);
});

test("neither agent nor IPAM service nor etcd: DEL succeeds, and the next agent settles it", async () => {
  await node.podNetns("alone2");
  addressOf(await node.cni({ pod: "alone2" }));
  for (const what of ["cni", "ipam"] as const) await node.stop(what);
  await node.etcd("down");
  expect(await node.cni({ pod: "alone2", command: "DEL" })).toMatchObject({ exit: 0, stdout: "" });
  expect(await node.ip(node.ns, "-o", "link", "show", "type", "veth")).toBe("");
  await node.etcd("up");
  await node.start("ipam");
  await node.start("cni", "--policy-wait-ms", "0");
  await untilSettled();
  expect(await traces()).toBe("");
});

/** Until no delete waits; the agent tries every 3 s. */
async function untilSettled(): Promise<void> {
  const waiting = async () => (await readdir(`${node.dir}/run/cni-deletes`)).length;
  while ((await waiting()) > 0)
    await Promise.race([once(watch(`${node.dir}/run/cni-deletes`), "change"), new Promise((r) => setTimeout(r, 500))]);
}
