/** What any Netlink does, the kernel's and the fake: one list of cases, run on both. */
import { expect, test } from "vitest";
import type { Netlink, NetlinkOp, Route } from "../../src/mod.ts";
import { NetlinkError, sameRoute } from "../../src/mod.ts";

export type NetlinkSubject = {
  /** A namespace of its own, new for every case, `lo` down; and a second one. */
  open(): Promise<{ nl: Netlink; other: Netlink; otherPath: string; close(): Promise<void> }>;
};

const VETH = { kind: "veth", name: "cali0", mac: "ee:ee:ee:ee:ee:ee", mtu: 1450, up: true, peer: { name: "eth0", mtu: 1450 } } as const;
/** cali0 up with 10.0.0.1/24; its peer eth0 up too. */
const SETUP: readonly NetlinkOp[] = [
  { do: "addLink", spec: VETH },
  { do: "setLink", link: "eth0", set: { up: true } },
  { do: "replaceAddress", link: "cali0", cidr: "10.0.0.1/24" },
];

type Refused = { readonly name: string; readonly op: NetlinkOp; readonly want: string };

/** Changes that the kernel refuses, after SETUP. */
const REFUSED: readonly Refused[] = [
  { name: "a link whose name is taken", op: { do: "addLink", spec: { kind: "bridge", name: "cali0" } }, want: "EEXIST" },
  { name: "a veth whose peer name is taken", op: { do: "addLink", spec: { ...VETH, name: "cali1" } }, want: "EEXIST" },
  { name: "a name over 15 octets", op: { do: "addLink", spec: { kind: "bridge", name: "abcdefghijklmnop" } }, want: "ERANGE" },
  {
    name: "a peer in a namespace that is not there",
    op: { do: "addLink", spec: { ...VETH, name: "x", peer: { name: "y", netns: "/run/netns/linux-no-such" } } },
    want: "ENOENT",
  },
  { name: "setting a link that is not there", op: { do: "setLink", link: "nope", set: { up: true } }, want: "ENODEV" },
  { name: "renaming to a taken name", op: { do: "setLink", link: "cali0", set: { up: false, name: "eth0" } }, want: "EEXIST" },
  { name: "deleting a link that is not there", op: { do: "deleteLink", link: "nope" }, want: "ENODEV" },
  { name: "an address on a link that is not there", op: { do: "replaceAddress", link: "nope", cidr: "10.1.0.1/32" }, want: "ENODEV" },
  { name: "an address that is none", op: { do: "replaceAddress", link: "cali0", cidr: "10.1" }, want: "EINVAL" },
  { name: "deleting an address that is not there", op: { do: "deleteAddress", link: "cali0", cidr: "10.1.0.1/32" }, want: "EADDRNOTAVAIL" },
  {
    name: "a route over a link that is not there",
    op: replace({ dst: "10.9.0.0/24", type: "unicast", dev: "nope", protocol: 80 }),
    want: "ENODEV",
  },
  { name: "a route with neither link nor gateway", op: replace({ dst: "10.9.0.0/24", type: "unicast", protocol: 80 }), want: "ENODEV" },
  {
    name: "a route over lo, which is down",
    op: replace({ dst: "10.9.0.0/24", type: "unicast", dev: "lo", protocol: 80 }),
    want: "ENETDOWN",
  },
  {
    name: "a gateway off the link",
    op: replace({ dst: "10.9.0.0/24", type: "unicast", via: "11.0.0.1", dev: "cali0", protocol: 80 }),
    want: "ENETUNREACH",
  },
  {
    name: "a gateway that no route leads to",
    op: replace({ dst: "10.9.0.0/24", type: "unicast", via: "11.0.0.1", protocol: 80 }),
    want: "ENETUNREACH",
  },
  { name: "host bits in a destination", op: replace({ dst: "10.9.0.1/24", type: "blackhole", protocol: 80 }), want: "EINVAL" },
  {
    name: "a source that is no own address",
    op: replace({ dst: "10.9.0.0/24", type: "unicast", dev: "cali0", src: "9.9.9.9", protocol: 80 }),
    want: "EINVAL",
  },
  { name: "adding a route twice", op: { do: "addRoute", route: { dst: "10.0.0.0/24", type: "blackhole", protocol: 80 } }, want: "EEXIST" },
  { name: "deleting a route that is not there", op: { do: "deleteRoute", route: { dst: "10.9.0.0/24" } }, want: "ESRCH" },
  { name: "deleting a route of another protocol", op: { do: "deleteRoute", route: { dst: "10.0.0.0/24", protocol: 80 } }, want: "ESRCH" },
  {
    name: "a permanent neighbour without a MAC",
    op: { do: "replaceNeighbour", neighbour: { link: "cali0", ip: "10.0.0.2" } },
    want: "EINVAL",
  },
  {
    name: "deleting a neighbour that is not there",
    op: { do: "deleteNeighbour", neighbour: { link: "cali0", ip: "10.0.0.9" } },
    want: "ENOENT",
  },
  {
    name: "a neighbour on a link that is not there",
    op: { do: "replaceNeighbour", neighbour: { link: "nope", ip: "10.0.0.2", mac: VETH.mac } },
    want: "ENODEV",
  },
  { name: "deleting a rule that is not there", op: { do: "deleteRule", rule: { family: 4, priority: 77, table: 300 } }, want: "ENOENT" },
];

/** Routes that go in and come out the same. Each is written twice: the second time must change nothing. */
const KEPT: readonly Route[] = [
  { dst: "192.200.0.5/32", type: "unicast", dev: "cali0", protocol: 3, scope: "link", metric: 1024 },
  { dst: "192.200.0.0/26", type: "blackhole", protocol: 179 },
  { dst: "192.200.0.64/26", type: "throw", protocol: 80, table: 300 },
  { dst: "192.200.0.128/26", type: "unreachable", protocol: 80 },
  { dst: "192.200.1.0/26", type: "unicast", via: "10.0.0.9", dev: "cali0", protocol: 179 },
  { dst: "192.200.2.0/26", type: "unicast", via: "172.31.0.9", dev: "cali0", onlink: true, protocol: 80 },
  { dst: "192.200.3.0/26", type: "unicast", dev: "cali0", src: "10.0.0.1", mtu: 1400, protocol: 80 },
  { dst: "0.0.0.0/0", type: "unicast", via: "10.0.0.254", dev: "cali0", protocol: 4 },
  {
    dst: "192.200.4.0/26",
    type: "unicast",
    protocol: 179,
    multipath: [
      { via: "10.0.0.7", dev: "cali0" },
      { via: "10.0.0.8", dev: "cali0", weight: 3 },
    ],
  },
  { dst: "fd00:1::/122", type: "blackhole", protocol: 179 },
  { dst: "fd00:2::5/128", type: "unicast", dev: "cali0", protocol: 3, metric: 512 },
  { dst: "fd00:3::/122", type: "unicast", via: "fe80::1", dev: "cali0", protocol: 179 },
];

export function netlinkContract(name: string, subject: NetlinkSubject): void {
  const each = (title: string, body: (on: Awaited<ReturnType<NetlinkSubject["open"]>>) => Promise<void>) =>
    test(`${name}: ${title}`, async () => {
      const on = await subject.open();
      try {
        await body(on);
      } finally {
        await on.close();
      }
    });
  const setUp = async (nl: Netlink) => {
    for (const result of await nl.apply(SETUP)) expect(result).toEqual({ ok: true, value: undefined });
  };

  each("a batch refuses each bad change by its errno and does the rest", async ({ nl }) => {
    await setUp(nl);
    const results = await nl.apply(REFUSED.map((row) => row.op));
    const got = REFUSED.map((row, i) => `${row.name}: ${codeOf(results[i])}`);
    expect(got).toEqual(REFUSED.map((row) => `${row.name}: ${row.want}`));
  });

  each("a single change throws what a batch returns", async ({ nl }) => {
    await expect(nl.deleteLink("nope")).rejects.toThrow(NetlinkError);
    await expect(nl.deleteLink("nope")).rejects.toMatchObject({ code: "ENODEV", errno: 19, op: "delete link nope" });
  });

  each("links are deleted while other calls go on; one that went meanwhile is ENODEV", async ({ nl, other, otherPath }) => {
    const names = Array.from({ length: 6 }, (_, i) => `cali${i}`);
    for (const name of names) await nl.addLink({ kind: "veth", name, peer: { name, netns: otherPath } });
    const fromBothEnds = [...names.map((name) => nl.deleteLink(name)), ...names.map((name) => other.deleteLink(name))];
    await nl.addLink({ kind: "bridge", name: "br0" });
    const outcomes = await Promise.allSettled(fromBothEnds);
    const reasons = outcomes.flatMap((o) => (o.status === "rejected" ? [(o.reason as NetlinkError).code] : []));
    expect(reasons).toEqual(names.map(() => "ENODEV"));
    expect((await nl.links()).map((l) => l.name)).toEqual(["lo", "br0"]);
    expect((await other.links()).map((l) => l.name)).toEqual(["lo"]);
  });

  each("routes come out as they went in, and can be written again", async ({ nl }) => {
    await setUp(nl);
    for (let round = 0; round < 2; round++) {
      const results = await nl.apply(KEPT.map((route) => ({ do: "replaceRoute", route })));
      expect(results.map(codeOf)).toEqual(KEPT.map(() => "ok"));
    }
    const found = await nl.routes({ table: "all" });
    for (const route of KEPT)
      expect(
        found.filter((r) => sameRoute(route, r)),
        JSON.stringify(route),
      ).toHaveLength(1);
  });

  each("route filters: table, protocol, link, type, family", async ({ nl }) => {
    await setUp(nl);
    await nl.apply(KEPT.map((route) => ({ do: "replaceRoute", route })));
    const dsts = async (filter: Parameters<Netlink["routes"]>[0]) =>
      (await nl.routes(filter))
        .map((r) => r.dst)
        .filter((dst) => !dst.startsWith("fe80"))
        .toSorted();
    expect(await dsts({ table: 300 })).toEqual(["192.200.0.64/26"]);
    expect(await dsts({ table: 4242 })).toEqual([]);
    expect(await dsts({ protocol: 3 })).toEqual(["192.200.0.5/32", "fd00:2::5/128"]);
    expect(await dsts({ type: "blackhole", family: 6 })).toEqual(["fd00:1::/122"]);
    expect(await dsts({ link: "cali0", protocol: 179, family: 4 })).toEqual(["192.200.1.0/26", "192.200.4.0/26"]);
    expect(await dsts({ link: "nope" })).toEqual([]);
  });

  each("the route to an address: the longest, then the lowest metric; none where it is discarded or unknown", async ({ nl }) => {
    await setUp(nl);
    await nl.addLink({ kind: "bridge", name: "br0", up: true });
    await nl.apply(KEPT.map((route) => ({ do: "replaceRoute", route })));
    const to = async (ip: string) => {
      const route = await nl.routeTo(ip);
      return route === undefined ? "none" : `${route.dst} ${route.dev} ${route.metric ?? 0}`;
    };
    expect(await to("192.200.0.5")).toBe("192.200.0.5/32 cali0 1024");
    await nl.replaceRoute({ dst: "192.200.0.5/32", type: "unicast", dev: "br0", scope: "link", protocol: 3 });
    expect(await to("192.200.0.5")).toBe("192.200.0.5/32 br0 0");
    expect(await to("192.200.0.6")).toBe("none");
    expect(await to("192.200.0.130")).toBe("none");
    expect(await to("192.200.1.1")).toBe("192.200.1.0/26 cali0 0");
    expect(await to("8.8.8.8")).toBe("0.0.0.0/0 cali0 0");
    expect(await to("fd00:2::5")).toBe("fd00:2::5/128 cali0 512");
    expect([await to("fd00:1::1"), await to("fd00:9::1")]).toEqual(["none", "none"]);
  });

  each("deleting a route needs no more than its destination, and takes as much as is given", async ({ nl }) => {
    await setUp(nl);
    await nl.replaceRoute({ dst: "192.200.0.0/26", type: "blackhole", protocol: 179 });
    await nl.deleteRoute({ dst: "192.200.0.0/26", type: "blackhole", protocol: 179 });
    await nl.replaceRoute({ dst: "192.200.0.5/32", type: "unicast", dev: "cali0", protocol: 3, metric: 1024 });
    await nl.deleteRoute({ dst: "192.200.0.5/32", dev: "cali0" });
    expect((await nl.routes({ family: 4 })).map((r) => r.dst)).toEqual(["10.0.0.0/24"]);
  });

  each("a link that goes down takes its routes and neighbours along, and its subnet comes back with it", async ({ nl }) => {
    await setUp(nl);
    await nl.replaceRoute({ dst: "192.200.0.5/32", type: "unicast", dev: "cali0", protocol: 3 });
    await nl.replaceNeighbour({ link: "cali0", ip: "192.200.0.5", mac: VETH.mac });
    await nl.setLink("cali0", { up: false });
    expect(await nl.routes({ family: 4 })).toEqual([]);
    expect(await nl.neighbours("cali0")).toEqual([]);
    await nl.setLink("cali0", { up: true });
    const routes = await nl.routes({ family: 4 });
    expect(routes.map((r) => `${r.dst} ${r.dev} ${r.scope} proto ${r.protocol} src ${r.src}`)).toEqual([
      "10.0.0.0/24 cali0 link proto 2 src 10.0.0.1",
    ]);
  });

  each("a veth's peer is made in the other namespace and goes with it", async ({ nl, other, otherPath }) => {
    await nl.addLink({ ...VETH, txqlen: 500, numTxQueues: 1, peer: { name: "eth0", mac: "ee:ee:ee:ee:ee:01", netns: otherPath } });
    expect(await nl.link("cali0")).toMatchObject({ kind: "veth", up: true, carrier: false, mtu: 1450, mac: VETH.mac, txqlen: 500 });
    await other.setLink("eth0", { up: true, name: "eth0", mtu: 1450 });
    expect(await other.link("eth0")).toMatchObject({ kind: "veth", up: true, mtu: 1450, mac: "ee:ee:ee:ee:ee:01" });
    expect((await other.link("eth0"))?.index).toBe((await nl.link("cali0"))?.peerIndex);
    expect(await nl.link("eth0")).toBeUndefined();
    await other.deleteLink("eth0");
    expect((await nl.links()).map((l) => l.name)).toEqual(["lo"]);
  });

  each("a link moves to another namespace under a new name", async ({ nl, other, otherPath }) => {
    await nl.addLink({ ...VETH, peer: { name: "tmp0" } });
    await nl.setLink("tmp0", { netns: otherPath, name: "eth0" });
    expect((await other.links()).map((l) => l.name)).toEqual(["lo", "eth0"]);
    expect((await nl.links()).map((l) => l.name)).toEqual(["lo", "cali0"]);
  });

  each("a later change of a batch sees the names that an earlier one made", async ({ nl }) => {
    const results = await nl.apply([
      { do: "addLink", spec: { ...VETH, peer: { name: "tmp0" } } },
      { do: "setLink", link: "tmp0", set: { name: "eth0" } },
      { do: "setLink", link: "eth0", set: { up: true } },
      { do: "replaceRoute", route: { dst: "10.5.0.0/24", type: "unicast", dev: "eth0", protocol: 80 } },
      { do: "deleteLink", link: "cali0" },
      { do: "replaceAddress", link: "eth0", cidr: "10.0.0.1/24" },
    ]);
    expect(results.map(codeOf)).toEqual(["ok", "ok", "ok", "ok", "ok", "ENODEV"]);
  });

  each("vxlan: options, FDB and neighbours", async ({ nl }) => {
    await nl.addLink({
      kind: "vxlan",
      name: "vxlan.calico",
      vni: 4096,
      port: 4789,
      local: "10.0.2.6",
      mac: "66:00:00:00:00:01",
      mtu: 1410,
      up: true,
    });
    expect(await nl.link("vxlan.calico")).toMatchObject({ kind: "vxlan", mtu: 1410, mac: "66:00:00:00:00:01" });
    expect((await nl.link("vxlan.calico"))?.vxlan).toEqual({ vni: 4096, port: 4789, local: "10.0.2.6", learning: false });
    const entry = { link: "vxlan.calico", mac: "66:00:00:00:00:02", dst: "10.0.2.7" };
    await nl.replaceFdb(entry);
    await nl.replaceFdb({ ...entry, dst: "10.0.2.8" });
    expect(await nl.fdb("vxlan.calico")).toEqual([{ ...entry, dst: "10.0.2.8", state: "permanent" }]);
    await nl.deleteFdb({ ...entry, dst: "10.0.2.8" });
    expect(await nl.fdb("vxlan.calico")).toEqual([]);
    await nl.replaceNeighbour({ link: "vxlan.calico", ip: "192.200.2.0", mac: "66:00:00:00:00:02" });
    // The kernel adds its own multicast groups when it gets to report them.
    const neighbours = (await nl.neighbours("vxlan.calico")).filter(({ ip }) => !ip.startsWith("ff02:"));
    expect(neighbours).toEqual([{ link: "vxlan.calico", ip: "192.200.2.0", mac: "66:00:00:00:00:02", state: "permanent" }]);
  });

  each("proxy neighbours are separate from neighbours", async ({ nl }) => {
    await setUp(nl);
    await nl.replaceNeighbour({ link: "cali0", ip: "169.254.1.1", proxy: true });
    await nl.replaceNeighbour({ link: "cali0", ip: "10.0.0.3", mac: VETH.mac });
    expect((await nl.neighbours("cali0")).map((n) => `${n.ip} ${n.proxy ?? false}`).toSorted()).toEqual([
      "10.0.0.3 false",
      "169.254.1.1 true",
    ]);
    await nl.deleteNeighbour({ link: "cali0", ip: "169.254.1.1", proxy: true });
    expect((await nl.neighbours("cali0")).map((n) => n.ip)).toEqual(["10.0.0.3"]);
  });

  each("addresses: replaced, listed by link, deleted with their subnet", async ({ nl }) => {
    await setUp(nl);
    await nl.replaceAddress("cali0", "10.0.0.1/24");
    await nl.replaceAddress("eth0", "10.7.0.1/32", { scope: "link" });
    expect(await nl.addresses({ link: "cali0", family: 4 })).toEqual([{ link: "cali0", cidr: "10.0.0.1/24", scope: "global" }]);
    expect(await nl.addresses({ link: "eth0", family: 4 })).toEqual([{ link: "eth0", cidr: "10.7.0.1/32", scope: "link" }]);
    await nl.deleteAddress("cali0", "10.0.0.1/24");
    expect(await nl.addresses({ link: "cali0", family: 4 })).toEqual([]);
    expect(await nl.routes({ family: 4 })).toEqual([]);
  });

  each("rules: added once, listed, deleted", async ({ nl }) => {
    const rule = { family: 4, priority: 100, table: 300, mark: 0x10, mask: 0xff, src: "10.0.0.0/8" } as const;
    await nl.addRule(rule);
    await expect(nl.addRule(rule)).rejects.toMatchObject({ code: "EEXIST" });
    expect((await nl.rules()).filter((r) => r.table === 300)).toEqual([rule]);
    await nl.deleteRule(rule);
    expect((await nl.rules()).filter((r) => r.table === 300)).toEqual([]);
  });

  each("changes tells what happens after it was called, and ends with the signal", async ({ nl }) => {
    const stop = new AbortController();
    const changes = nl.changes(stop.signal);
    await setUp(nl);
    await nl.replaceRoute({ dst: "10.5.0.0/24", type: "blackhole", protocol: 80 });
    await nl.deleteRoute({ dst: "10.5.0.0/24", type: "blackhole" });
    await nl.deleteLink("cali0");
    const seen: string[] = [];
    for await (const events of changes) {
      for (const e of events) {
        if (e.kind === "linkChanged") seen.push(`${e.kind} ${e.link.name}`);
        else if (e.kind === "linkRemoved") seen.push(`${e.kind} ${e.name}`);
        else if (e.kind === "addressChanged") seen.push(`${e.kind} ${e.address.cidr}`);
        else if (e.kind === "routeChanged" || e.kind === "routeRemoved") seen.push(`${e.kind} ${e.route.dst}`);
      }
      if (seen.includes("linkRemoved cali0")) stop.abort();
    }
    for (const want of [
      "linkChanged cali0",
      "linkChanged eth0",
      "routeChanged 10.5.0.0/24",
      "routeRemoved 10.5.0.0/24",
      "linkRemoved cali0",
    ]) {
      expect(seen).toContain(want);
    }
  });

  each("changes can leave out routes", async ({ nl }) => {
    const stop = new AbortController();
    const changes = nl.changes(stop.signal, { of: ["links"] });
    await nl.replaceRoute({ dst: "10.5.0.0/24", type: "blackhole", protocol: 80 });
    await nl.addLink({ kind: "bridge", name: "br0" });
    for await (const events of changes) {
      expect(events.map((e) => e.kind)).not.toContain("routeChanged");
      if (events.some((e) => e.kind === "linkChanged" && e.link.name === "br0")) stop.abort();
    }
  });
}

function replace(route: Route): NetlinkOp {
  return { do: "replaceRoute", route };
}

function codeOf(result: Awaited<ReturnType<Netlink["apply"]>>[number] | undefined): string {
  return result === undefined ? "missing" : result.ok ? "ok" : result.error.code;
}
