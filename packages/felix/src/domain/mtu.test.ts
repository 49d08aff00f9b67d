import { expect, test } from "vitest";
import { podMtu } from "./mtu.ts";

const link = (name: string, mtu: number, up = true) => ({ name, mtu, up });

test.for([
  { name: "no tunnel", links: [link("enp0s3", 1500)], tunnels: { vxlan: false, ipip: false }, want: 1500 },
  {
    name: "the smallest interface counts",
    links: [link("enp0s3", 9000), link("eth1", 1400)],
    tunnels: { vxlan: false, ipip: false },
    want: 1400,
  },
  { name: "VXLAN takes 50", links: [link("eth0", 1500)], tunnels: { vxlan: true, ipip: true }, want: 1450 },
  { name: "IPIP takes 20", links: [link("eth0", 1500)], tunnels: { vxlan: false, ipip: true }, want: 1480 },
  {
    name: "interfaces that are down or not real do not count",
    links: [link("eth0", 1500), link("eth1", 600, false), link("docker0", 500), link("cali1", 500)],
    tunnels: { vxlan: false, ipip: false },
    want: 1500,
  },
  { name: "nothing real, nothing said", links: [link("lo", 65536)], tunnels: { vxlan: false, ipip: false }, want: undefined },
])("podMtu: $name", ({ links, tunnels, want }) => {
  expect(podMtu(links, tunnels)).toBe(want);
});
