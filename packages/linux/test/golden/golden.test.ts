/** What the codec reads from a real kernel's octets (kernel.json, made by capture.ts); each line was compared with what `ip` says of the object. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { describeRoute } from "../../src/mod.ts";
import type { Route } from "../../src/mod.ts";
import { decodeAddress } from "../../src/domain/address.ts";
import { decodeLink } from "../../src/domain/link.ts";
import { decodeFdb, decodeNeighbour } from "../../src/domain/neighbour.ts";
import { decodeRoute, encodeWriteRoute } from "../../src/domain/route.ts";
import { sameRoute } from "../../src/domain/route-identity.ts";
import { decodeRule } from "../../src/domain/rule.ts";
import { NLMSG_HEADER_OCTETS } from "../../src/domain/wire.ts";

type Golden = { names: Record<string, string> } & Record<"links" | "addresses" | "routes4" | "routes6" | "neighbours" | "fdb" | "rules", { hex: string[] }>;
const golden = JSON.parse(readFileSync(new URL("kernel.json", import.meta.url), "utf8")) as Golden;
const nameOf = (index: number) => golden.names[index];
const octets = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"));

function routeLine(body: Uint8Array): string {
  const route = decodeRoute(body, nameOf);
  if (!route) return "not a route";
  const hops = route.multipath?.map((hop) => ` [${hop.via} ${hop.dev} ×${hop.weight}]`).join("") ?? "";
  const extra = `${route.src ? ` src ${route.src}` : ""}${route.mtu ? ` mtu ${route.mtu}` : ""}`;
  return `${describeRoute({ ...route, multipath: undefined })} scope ${route.scope}${extra}${hops}`;
}

const KINDS: { kind: Exclude<keyof Golden, "names">; line(body: Uint8Array): string; want: string[] }[] = [
  {
    kind: "links",
    line(body) {
      const l = decodeLink(body);
      const vxlan = l.vxlan ? ` vni ${l.vxlan.vni} port ${l.vxlan.port} local ${l.vxlan.local} learning ${l.vxlan.learning}` : "";
      const mac = l.name === "eth0" ? "random" : l.mac; // the kernel chose it
      return `${l.index} ${l.name} ${l.kind} up ${l.up} carrier ${l.carrier} mtu ${l.mtu} ${mac} qlen ${l.txqlen} peer ${l.peerIndex}${vxlan}`;
    },
    want: [
      "1 lo undefined up false carrier false mtu 65536 00:00:00:00:00:00 qlen 1000 peer undefined",
      "2 eth0 veth up true carrier true mtu 1500 random qlen 1000 peer 3",
      "3 cali0 veth up true carrier true mtu 1450 ee:ee:ee:ee:ee:ee qlen 1000 peer 2",
      "4 vxlan.calico vxlan up true carrier true mtu 1500 66:00:00:00:00:01 qlen 1000 peer undefined vni 4096 port 4789 local 10.0.0.1 learning false",
    ],
  },
  {
    kind: "addresses",
    line(body) {
      const a = decodeAddress(body, nameOf);
      return `${a?.link} ${a?.cidr} ${a?.scope}`;
    },
    want: ["cali0 10.0.0.1/24 global", "cali0 fd00::1/64 global", "cali0 fe80::ecee:eeff:feee:eeee/64 link"],
  },
  {
    kind: "routes4",
    line: routeLine,
    want: [
      "throw 10.10.0.0/16 proto 3 table 5 scope global",
      "10.8.0.0/16 proto 3 table 1000 scope global mtu 1400 [10.0.0.7 cali0 ×1] [10.0.0.8 cali0 ×3]",
      "10.0.0.0/24 dev cali0 proto 2 scope link src 10.0.0.1",
      "10.9.0.0/16 via fe80::9 dev cali0 proto 3 scope global src 10.0.0.1",
      "blackhole 192.200.59.192/26 proto 179 scope global",
      "192.200.59.193/32 dev cali0 proto 3 metric 1024 scope link",
      "192.200.203.0/26 via 192.168.81.102 dev cali0 proto 179 onlink scope global",
      "local 10.0.0.1/32 dev cali0 proto 2 table 255 scope host src 10.0.0.1",
      "broadcast 10.0.0.255/32 dev cali0 proto 2 table 255 scope link src 10.0.0.1",
    ],
  },
  {
    kind: "routes6",
    line: routeLine,
    want: [
      "fd00::/64 dev cali0 proto 2 metric 256 scope global",
      "blackhole fd00:1::/122 proto 179 metric 1024 scope global",
      "fd00:2::5/128 via fe80::1 dev cali0 proto 3 metric 1024 scope global",
      "fe80::/64 dev eth0 proto 2 metric 256 scope global",
      "fe80::/64 dev cali0 proto 2 metric 256 scope global",
      "fe80::/64 dev vxlan.calico proto 2 metric 256 scope global",
    ],
  },
  {
    kind: "neighbours",
    line(body) {
      const n = decodeNeighbour(body, nameOf);
      return `${n?.link} ${n?.ip} ${n?.mac} ${n?.state}`;
    },
    want: ["cali0 10.0.0.2 ee:ee:ee:ee:ee:02 permanent", "cali0 ff02::16 33:33:00:00:00:16 noarp"],
  },
  {
    kind: "fdb",
    line(body) {
      const e = decodeFdb(body, nameOf);
      return e?.link === "vxlan.calico" ? `${e.link} ${e.mac} dst ${e.dst} ${e.state}` : `${e?.link} multicast`;
    },
    want: [...Array<string>(3).fill("eth0 multicast"), ...Array<string>(4).fill("cali0 multicast"), "vxlan.calico 66:00:00:00:00:02 dst 10.0.0.7 permanent"],
  },
  {
    kind: "rules",
    line(body) {
      const r = decodeRule(body);
      return `${r?.priority} to ${r?.table}${r?.src ? ` from ${r.src}` : ""}${r?.mark ? ` mark ${r.mark}/${r.mask}` : ""}`;
    },
    want: ["0 to 255", "100 to 300 from 10.0.0.0/8 mark 16/255", "32766 to 254", "32767 to 253"],
  },
];

test.for(KINDS)("decode of the kernel's $kind", ({ kind, line, want }) => {
  expect(golden[kind].hex.map((hex) => line(octets(hex)))).toEqual(want);
});

test("encodeWriteRoute: every route of the kernel, written again, is the same route", () => {
  const index = (link: string) => Number(Object.keys(golden.names).find((i) => golden.names[i] === link));
  const resolve = { index, netnsFd: () => 0 };
  const routes: Route[] = [...golden.routes4.hex, ...golden.routes6.hex].flatMap((hex) => decodeRoute(octets(hex), nameOf) ?? []);
  expect(routes).toHaveLength(15);
  for (const route of routes) {
    const message = encodeWriteRoute(route, "replace", resolve);
    const again = decodeRoute(message.slice(NLMSG_HEADER_OCTETS), nameOf);
    expect(again && sameRoute(route, again), describeRoute(route)).toBe(true);
  }
});
