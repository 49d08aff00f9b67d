import { aPolicy } from "@calico/model/testing";
import { makeIpam } from "@calico/ipam";
import { expect, test } from "vitest";
import { makeFakeCli } from "./testing.ts";

const INIT =
  "node init --name node1 --ip 192.168.81.101/24 --pool 192.200.0.0/16 --block-size 26 --ipip Always --nat-outgoing --var-dir /var/x";

test("node init: writes cluster information, tiers, node, pool and nodename; again, it changes nothing", async () => {
  const cli = makeFakeCli();
  const ran = await cli.run(INIT);
  expect(ran).toEqual({
    code: 0,
    err: "",
    out: "Node node1 has BGP address 192.168.81.101/24; made IP pool default-ipv4-ippool 192.200.0.0/16; wrote /var/x/nodename\n",
  });
  expect(cli.files.get("/var/x/nodename")).toBe("node1");
  const { spec } = JSON.parse((await cli.run("get pool default-ipv4-ippool -o json")).out);
  expect(spec).toMatchObject({ cidr: "192.200.0.0/16", blockSize: 26, ipipMode: "Always", natOutgoing: true, vxlanMode: "Never" });
  expect((await cli.run("get nodes -o wide")).out).toBe(
    "NAME    ASN       IPV4                IPV6   \nnode1   (64512)   192.168.81.101/24          \n\n",
  );
  expect((await cli.run("get tiers")).out).toMatch(/default.*\n.*kube-admin.*\n.*kube-baseline/);
  expect((await cli.run("version")).out).toContain("Cluster Type:      k8s,bgp");
  const { revision } = cli.store;
  await cli.run(INIT);
  expect(cli.store.revision).toBe(revision);
});

test("node init: keeps what others wrote of the node, and makes no pool beside another", async () => {
  const cli = makeFakeCli({
    n: JSON.stringify({
      kind: "Node",
      apiVersion: "projectcalico.org/v3",
      metadata: { name: "node1", labels: { rack: "a" } },
      spec: { bgp: { ipv4IPIPTunnelAddr: "192.200.59.192" } },
    }),
  });
  await cli.run("apply -f n");
  await cli.run(INIT);
  await cli.run("node init --name node2 --ip 192.168.81.102/24 --as 64999 --pool 10.9.0.0/16 --var-dir /var/y");
  const [one, two] = JSON.parse((await cli.run("get nodes -o json")).out).items;
  expect([one.metadata.labels, one.spec.bgp]).toEqual([
    { rack: "a" },
    { ipv4IPIPTunnelAddr: "192.200.59.192", ipv4Address: "192.168.81.101/24" },
  ]);
  expect([two.spec.bgp.asNumber, two.spec.orchRefs]).toEqual([64999, [{ nodeName: "node2", orchestrator: "k8s" }]]);
  expect((await cli.run("get pools")).out).not.toContain("10.9.0.0/16");
});

test.for([
  {
    name: "another node's address",
    args: "node init --name node2 --ip 192.168.81.101/24",
    want: "node node1 already has the BGP address 192.168.81.101",
  },
  { name: "no address", args: "node init --name node2 --ip nowhere", want: '--ip "nowhere" is not an IPv4 address' },
  { name: "no name", args: "node init --ip 192.168.81.102/24", want: "required option '--name <name>' not specified" },
  {
    name: "unknown mode",
    args: "node init --name a --ip 1.2.3.4/24 --ipip Sometimes",
    want: "Allowed choices are Never, Always, CrossSubnet",
  },
])("node init: refused: $name", async ({ args, want }) => {
  const cli = makeFakeCli();
  await cli.run(INIT);
  const ran = await cli.run(args);
  expect([ran.code, ran.err.includes(want) ? want : ran.err]).toEqual([1, want]);
});

test("node status: the sessions that the bgp daemon tells", async () => {
  const cli = makeFakeCli();
  cli.sockets.set("/run/x/bgp.sock", {
    peers: [{ address: "192.168.81.102", type: "node-to-node mesh", state: "up", since: "12:00:01", info: "Established" }],
    routes: [],
  });
  expect(await cli.run("node status --run-dir /run/x")).toEqual({
    code: 0,
    err: "",
    out: `Calico process is running.

IPv4 BGP status
+----------------+-------------------+-------+----------+-------------+
|  PEER ADDRESS  |     PEER TYPE     | STATE |  SINCE   |    INFO     |
+----------------+-------------------+-------+----------+-------------+
| 192.168.81.102 | node-to-node mesh | up    | 12:00:01 | Established |
+----------------+-------------------+-------+----------+-------------+

IPv6 BGP status
No IPv6 peers found.
`,
  });
});

test("node status: nobody there", async () => {
  const ran = await makeFakeCli().run("node status --run-dir /run/x");
  expect([ran.code, ran.out]).toEqual([1, "Calico process is not running.\n"]);
  expect(ran.err).toContain("/run/x/bgp.sock");
});

test("ipam show: pools, blocks, and one address", async () => {
  const cli = makeFakeCli();
  await cli.run(INIT);
  const given = await makeIpam({ store: cli.store }).autoAssign({
    node: "node1",
    num4: 3,
    num6: 0,
    handle: "h1",
    attrs: { pod: "nginx", namespace: "default" },
  });
  if (!given.ok) throw new Error(given.error.message);
  const [address = ""] = (given.value.v4.ips[0]?.address ?? "").split("/");
  const lines = (await cli.run("ipam show --show-blocks")).out.split("\n");
  expect(lines[0]).toMatch(/^(\+-+){6}\+$/);
  expect([lines[2], lines[5]]).toEqual([lines[0], lines[0]]);
  expect(lines[1]).toMatch(/^\| GROUPING \| +CIDR +\| IPS TOTAL \| IPS IN USE \| IPS RESERVED \| +IPS FREE +\|$/);
  expect(lines[3]).toMatch(/^\| IP Pool {2}\| 192\.200\.0\.0\/16 +\| +65536 \| +3 \(0%\) \| +0 \(0%\) \| 65533 \(100%\) \|$/);
  expect(lines[4]).toMatch(/^\| Block {4}\| 192\.200\.\d+\.\d+\/26 +\| +64 \| +3 \(5%\) \| +0 \(0%\) \| +61 \(95%\) \|$/);
  expect((await cli.run(`ipam show --ip ${address}`)).out).toBe(
    `IP ${address} is in use\nHandle ID: h1\nActive Owner Attributes:\n  namespace: default\n  pod: nginx\n`,
  );
  expect((await cli.run("ipam show --ip=192.200.255.250")).out).toBe("192.200.255.250 is not assigned\n");
  expect((await cli.run("ipam show --ip=10.0.0.1")).out).toBe("10.0.0.1 is not assigned\n");
  expect((await cli.run("ipam show --ip=10.0.0")).code).toBe(1);
});

test("datastore lock and unlock: what ClusterInformation says", async () => {
  const cli = makeFakeCli();
  await cli.run(INIT);
  const ready = async () => JSON.parse((await cli.run("get clusterinfo default -o json")).out).spec.datastoreReady;
  expect((await cli.run("datastore lock")).out).toBe("Datastore locked.\n");
  expect(await ready()).toBe(false);
  expect((await cli.run("datastore migrate unlock")).out).toBe("Datastore unlocked.\n");
  expect(await ready()).toBe(true);
});

test("a policy made by a builder is what apply stores", async () => {
  const policy = aPolicy("web", { selector: "all()" }, "default");
  const cli = makeFakeCli({ f: JSON.stringify(policy) });
  await cli.run("apply -f f");
  expect(JSON.parse((await cli.run("get np web -o json")).out).spec).toEqual(policy.spec);
});
