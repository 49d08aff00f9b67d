/** Interoperation with BIRD 2 as a mesh-like iBGP peer: the daemon that Calico's own nodes run. */
import type { ChildProcess } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { affinityKey, keyOf } from "@calico/model";
import { aNode, aPool } from "@calico/model/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { killChild, missingFor, openLab, until } from "./lab.ts";
import type { Lab, LabNode } from "./lab.ts";

const missing = missingFor("ip", "nsenter", "etcd", "etcdctl", "nats-server", "bird", "birdc");
if (missing !== undefined) console.log(`bgp bird e2e skipped: ${missing}`);

/** As Calico's template has it: facts §6.1.5. */
const birdConfig = (routes: string) => `
router id 192.168.81.102;
log stderr all;
protocol device {}
protocol static blocks { ipv4; ${routes} }
protocol bgp calico {
  local 192.168.81.102 as 64512;
  neighbor 192.168.81.101 as 64512;
  graceful restart on;
  connect delay time 1; connect retry time 1; error wait time 1,2;
  ipv4 { import all; export filter { bgp_community.add((65000, 100)); accept; }; next hop self; };
}
`;

describe.skipIf(missing !== undefined)("with BIRD", () => {
  let lab: Lab;
  let ours: LabNode;
  let theirs: LabNode;
  let bgp: ChildProcess;
  let bird: ChildProcess;

  const paths = () => ({ config: join(lab.dir, "bird.conf"), control: join(lab.dir, "bird.ctl") });
  const birdc = (...words: readonly string[]) => lab.exec(theirs, "birdc", "-s", paths().control, ...words);
  const startBird = (...flags: readonly string[]) =>
    lab.start(theirs, "bird", ["bird", "-f", "-c", paths().config, "-s", paths().control, "-P", join(lab.dir, "bird.pid"), ...flags]);
  const routes = () =>
    lab
      .ip(ours, "route", "show", "proto", "179")
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "");
  const up = async () => (await lab.status(ours)).peers[0]?.state === "up" && birdc("show", "protocols").includes("Established");

  beforeAll(async () => {
    lab = openLab("bird");
    ours = lab.addNode("node1", "192.168.81.101");
    theirs = lab.addNode("node2", "192.168.81.102");
    await lab.startBus();
    for (const object of [aNode("node1", "192.168.81.101/24"), aNode("node2", "192.168.81.102/24"), aPool("pool", "192.200.0.0/16")]) {
      lab.put(keyOf({ kind: object.kind, name: object.metadata.name }), object);
    }
    lab.put(affinityKey("node1", "192.200.59.192/26"), { state: "confirmed", deleted: false });
    writeFileSync(paths().config, birdConfig("route 192.200.203.0/26 blackhole; route 172.31.0.0/16 blackhole;"));
    bgp = lab.startBgp(ours);
    bird = startBird();
    await until("session", up);
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  test("routes go both ways, with their attributes", async () => {
    await until("theirs here", () => routes().length === 3);
    expect(routes()).toEqual([
      "172.31.0.0/16 via 192.168.81.102 dev eth0",
      "blackhole 192.200.59.192/26",
      "192.200.203.0/26 via 192.168.81.102 dev eth0",
    ]);
    await until("ours there", () => birdc("show", "route", "protocol", "calico").includes("192.200.59.192/26"));
    const detail = birdc("show", "route", "all", "for", "192.200.59.192/26");
    expect(detail).toMatch(/BGP\.next_hop: 192\.168\.81\.101/);
    expect(detail).toMatch(/BGP\.local_pref: 2147482623/);
    expect(detail).toMatch(/BGP\.origin: IGP/);
    const learned = (await lab.status(ours)).routes.find((route) => route.destination === "172.31.0.0/16");
    expect(learned).toMatchObject({ learnedFrom: "192.168.81.102", communities: ["65000:100"] });
  });

  test("capabilities are agreed", () => {
    const detail = birdc("show", "protocols", "all", "calico");
    expect(detail).toMatch(/Session:\s+internal (multihop )?AS4/);
    const neighbour = detail.slice(detail.indexOf("Neighbor capabilities"), detail.indexOf("Session:"));
    expect(neighbour).toMatch(/AF announced: ipv4\s+Route refresh\s+Graceful restart\s+Restart time: 120/);
    expect(neighbour).toMatch(/AF supported: ipv4\s+AF preserved: ipv4\s+4-octet AS numbers/);
  });

  test("route refresh from them, and a reload of theirs", async () => {
    birdc("reload", "in", "calico");
    birdc("reload", "out", "calico");
    await until("still whole", () => routes().length === 3 && birdc("show", "route", "count").includes("3 of 3"));
    expect(await up()).toBe(true);
  });

  test("kill -9 of ours: BIRD keeps our route, and takes it over when we are back", async () => {
    await killChild(bgp);
    await until("BIRD sees it", () => !birdc("show", "protocols", "calico").includes("Established"));
    expect(birdc("show", "route", "for", "192.200.59.192/26")).toContain("192.168.81.101");
    expect(routes()).toHaveLength(3);
    bgp = lab.startBgp(ours);
    const backMs = await until("back", up, 15_000);
    console.log(`ours back with BIRD ${backMs} ms after the restart`);
    await until("recovered", async () => !(await lab.status(ours)).restarting);
    expect(routes()).toHaveLength(3);
    expect(birdc("show", "route", "for", "192.200.59.192/26")).toContain("192.168.81.101");
  });

  test("kill -9 of BIRD: its routes stay here, also those it tells anew", async () => {
    const before = routes();
    await killChild(bird);
    await until("we see it", async () => !(await up().catch(() => false)));
    expect(routes()).toEqual(before);
    writeFileSync(paths().config, birdConfig("route 192.200.203.0/26 blackhole;"));
    bird = startBird("-R");
    await until("back", up, 15_000);
    await until("what it does not tell any more is swept", () => routes().length === 2);
    expect(routes()).toEqual(before.filter((route) => !route.startsWith("172.31")));
  });

  test("BIRD shuts down on purpose: its routes go", async () => {
    birdc("down");
    await until("withdrawn", () => routes().length === 1);
  });

  test("10,000 prefixes arrive, each in the kernel, and go again", async () => {
    const many = Array.from({ length: 10_000 }, (_, i) => `route 20.${i >> 8}.${i & 255}.0/24 blackhole;`).join("\n");
    writeFileSync(paths().config, birdConfig(many));
    const began = Date.now();
    bird = startBird();
    await until("all in the kernel", async () => (await lab.status(ours)).rib.kernel.present === 10_001, 60_000);
    console.log(`10,000 prefixes from BIRD's start to the kernel: ${Date.now() - began} ms`);
    expect(routes()).toHaveLength(10_001);
    birdc("down");
    await until("all gone", () => routes().length === 1, 60_000);
  });
});
