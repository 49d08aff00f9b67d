/** What policies mean, packet by packet: the rendered chains and sets are walked as the kernel would walk them. */
import { aPolicy, anObject } from "@calico/model/testing";
import type { AnyObject } from "@calico/model";
import { expect, test } from "vitest";
import { programOf, tracePacket } from "../src/mod.ts";
import type { Packet } from "../src/mod.ts";
import { updated } from "../src/testing.ts";
import { NODE, PODS, baseCluster, ifaceOf } from "./cluster.ts";

type Row = {
  readonly name: string;
  readonly policies: readonly AnyObject[];
  readonly packet: string;
  readonly want: "accept" | "drop" | "none";
};

/** `client>web tcp/8080`: between pods by name or addresses; `tcp/1000>8080` gives the source port; `ICMP/8`, a state after `:`. */
function packetOf(text: string): Packet {
  const [who, what = ""] = text.split(" ");
  const [src, dst] = who!.split(">");
  const [protocolAndPort, state] = what.split(":");
  const [protocol, ports = ""] = protocolAndPort!.split("/");
  const [sport, dport] = ports.includes(">") ? ports.split(">").map(Number) : [40000, Number(ports)];
  const icmp = protocol === "icmp" ? { icmp: { type: Number(ports), code: 0 } } : { sport, dport };
  const end = (name: string) =>
    name in PODS ? { ip: PODS[name]!.ip, iface: PODS[name]!.node === undefined ? ifaceOf(name) : "eth0" } : { ip: name, iface: "eth0" };
  const from = end(src!);
  const to = end(dst!);
  return {
    in: from.iface,
    out: to.iface,
    src: from.ip,
    dst: to.ip,
    protocol: protocol!,
    ...icmp,
    ...(state === undefined ? {} : { state: state as Packet["state"] }),
  };
}

const ingress = (name: string, ...rules: object[]) => aPolicy(name, { selector: "app == 'web'", ingress: rules }, "default");
const allow = (source: object, rest: object = {}) => ({ action: "Allow", source, ...rest });
const gnp = (name: string, spec: object) => aPolicy(name, spec, undefined);
const tier = (name: string, spec: object) => anObject("Tier", { name }, spec);

const ports16 = Array.from({ length: 16 }, (_, i) => 1000 + 2 * i);

const ROWS: readonly Row[] = [
  { name: "without policy the namespace's profile allows", policies: [], packet: "client>web tcp/80", want: "accept" },
  { name: "a policy without rules denies", policies: [ingress("deny")], packet: "client>web tcp/80", want: "drop" },
  { name: "a policy of ingress leaves egress to the profile", policies: [ingress("deny")], packet: "web>192.0.2.1 tcp/80", want: "accept" },
  {
    name: "an established flow passes whatever the policy",
    policies: [ingress("deny")],
    packet: "client>web tcp/80:ESTABLISHED",
    want: "accept",
  },
  { name: "an invalid packet is dropped", policies: [], packet: "client>web tcp/80:INVALID", want: "drop" },
  {
    name: "a selector allows what matches",
    policies: [ingress("p", allow({ selector: "app == 'client'" }))],
    packet: "client>web tcp/80",
    want: "accept",
  },
  {
    name: "a selector finds pods of other nodes",
    policies: [ingress("p", allow({ selector: "app == 'client'" }))],
    packet: "remote>web tcp/80",
    want: "accept",
  },
  {
    name: "a selector stays in the policy's namespace",
    policies: [ingress("p", allow({ selector: "app == 'client'" }))],
    packet: "other>web tcp/80",
    want: "drop",
  },
  {
    name: "a namespace selector reaches another namespace",
    policies: [ingress("p", allow({ namespaceSelector: "team == 'b'" }))],
    packet: "other>web tcp/80",
    want: "accept",
  },
  {
    name: "namespace and pod selector must both match",
    policies: [ingress("p", allow({ namespaceSelector: "team == 'b'", selector: "app == 'nobody'" }))],
    packet: "other>web tcp/80",
    want: "drop",
  },
  {
    name: "namespaceSelector all() is every namespace",
    policies: [ingress("p", allow({ namespaceSelector: "all()" }))],
    packet: "other>web tcp/80",
    want: "accept",
  },
  {
    name: "namespaceSelector all() is not the world",
    policies: [ingress("p", allow({ namespaceSelector: "all()" }))],
    packet: "192.0.2.1>web tcp/80",
    want: "drop",
  },
  {
    name: "notSelector excludes",
    policies: [ingress("p", allow({ selector: "has(app)", notSelector: "zone == 'far'" }))],
    packet: "remote>web tcp/80",
    want: "drop",
  },
  {
    name: "a service account by name",
    policies: [ingress("p", allow({ serviceAccounts: { names: ["default"] } }))],
    packet: "client>web tcp/80",
    want: "accept",
  },
  {
    name: "a port",
    policies: [ingress("p", allow({}, { protocol: "TCP", destination: { ports: [80] } }))],
    packet: "client>web tcp/80",
    want: "accept",
  },
  {
    name: "another port",
    policies: [ingress("p", allow({}, { protocol: "TCP", destination: { ports: [80] } }))],
    packet: "client>web tcp/81",
    want: "drop",
  },
  {
    name: "another protocol",
    policies: [ingress("p", allow({}, { protocol: "TCP", destination: { ports: [80] } }))],
    packet: "client>web udp/80",
    want: "drop",
  },
  {
    name: "a range of ports, its last",
    policies: [ingress("p", allow({}, { protocol: "TCP", destination: { ports: ["80:90"] } }))],
    packet: "client>web tcp/90",
    want: "accept",
  },
  {
    name: "a source port",
    policies: [ingress("p", allow({ ports: [1234] }, { protocol: "TCP" }))],
    packet: "client>web tcp/1234>80",
    want: "accept",
  },
  {
    name: "notPorts",
    policies: [ingress("p", allow({}, { protocol: "TCP", destination: { notPorts: [80] } }))],
    packet: "client>web tcp/80",
    want: "drop",
  },
  {
    name: "the sixteenth port",
    policies: [ingress("p", allow({}, { protocol: "TCP", destination: { ports: ports16 } }))],
    packet: "client>web tcp/1030",
    want: "accept",
  },
  {
    name: "a port between sixteen",
    policies: [ingress("p", allow({}, { protocol: "TCP", destination: { ports: ports16 } }))],
    packet: "client>web tcp/1015",
    want: "drop",
  },
  {
    name: "sixteen notPorts",
    policies: [ingress("p", allow({}, { protocol: "TCP", destination: { notPorts: ports16 } }))],
    packet: "client>web tcp/1030",
    want: "drop",
  },
  {
    name: "a named port",
    policies: [ingress("p", allow({}, { protocol: "TCP", destination: { ports: ["http"] } }))],
    packet: "client>web tcp/8080",
    want: "accept",
  },
  {
    name: "a named port is not the others",
    policies: [ingress("p", allow({}, { protocol: "TCP", destination: { ports: ["http"] } }))],
    packet: "client>web tcp/80",
    want: "drop",
  },
  {
    name: "named and numbered ports together",
    policies: [ingress("p", allow({ selector: "app == 'client'" }, { protocol: "TCP", destination: { ports: ["http", 443] } }))],
    packet: "client>web tcp/443",
    want: "accept",
  },
  { name: "a network", policies: [ingress("p", allow({ nets: ["192.0.2.0/24"] }))], packet: "192.0.2.9>web tcp/80", want: "accept" },
  {
    name: "two networks, the second",
    policies: [ingress("p", allow({ nets: ["192.0.2.0/24", "198.51.100.0/24"] }))],
    packet: "198.51.100.9>web tcp/80",
    want: "accept",
  },
  {
    name: "two networks, neither",
    policies: [ingress("p", allow({ nets: ["192.0.2.0/24", "198.51.100.0/24"] }))],
    packet: "203.0.113.9>web tcp/80",
    want: "drop",
  },
  {
    name: "networks but not some",
    policies: [ingress("p", allow({ nets: ["192.0.2.0/24"], notNets: ["192.0.2.9/32", "192.0.2.10/32"] }))],
    packet: "192.0.2.9>web tcp/80",
    want: "drop",
  },
  {
    name: "networks but not some, another",
    policies: [ingress("p", allow({ nets: ["192.0.2.0/24"], notNets: ["192.0.2.9/32", "192.0.2.10/32"] }))],
    packet: "192.0.2.11>web tcp/80",
    want: "accept",
  },
  {
    name: "a network but not a part of it",
    policies: [ingress("p", allow({ nets: ["192.0.2.0/24"], notNets: ["192.0.2.9/32"] }))],
    packet: "192.0.2.9>web tcp/80",
    want: "drop",
  },
  {
    name: "a network but not a part of it, the rest",
    policies: [ingress("p", allow({ nets: ["192.0.2.0/24"], notNets: ["192.0.2.9/32"] }))],
    packet: "192.0.2.11>web tcp/80",
    want: "accept",
  },
  {
    name: "a protocol and not another",
    policies: [ingress("p", allow({}, { protocol: "TCP", notProtocol: "UDP" }))],
    packet: "192.0.2.9>web tcp/80",
    want: "accept",
  },
  {
    name: "a protocol and not the same",
    policies: [ingress("p", allow({}, { protocol: "TCP", notProtocol: 6 }))],
    packet: "192.0.2.9>web tcp/80",
    want: "drop",
  },
  {
    name: "many networks on both sides and many ports",
    policies: [
      ingress(
        "p",
        allow(
          { nets: ["192.0.2.0/24", "198.51.100.0/24"] },
          { protocol: "TCP", destination: { nets: ["10.0.0.0/30", "10.9.0.0/16"], ports: ports16 } },
        ),
      ),
    ],
    packet: "198.51.100.9>web tcp/1030",
    want: "accept",
  },
  {
    name: "many networks on both sides, wrong port",
    policies: [
      ingress(
        "p",
        allow(
          { nets: ["192.0.2.0/24", "198.51.100.0/24"] },
          { protocol: "TCP", destination: { nets: ["10.0.0.0/30", "10.9.0.0/16"], ports: ports16 } },
        ),
      ),
    ],
    packet: "198.51.100.9>web tcp/1031",
    want: "drop",
  },
  {
    name: "many networks on both sides, wrong source",
    policies: [
      ingress("p", allow({ nets: ["192.0.2.0/24", "198.51.100.0/24"] }, { destination: { nets: ["10.0.0.0/30", "10.9.0.0/16"] } })),
    ],
    packet: "203.0.113.1>web tcp/1",
    want: "drop",
  },
  {
    name: "a second split rule does not inherit the first's bits",
    policies: [
      ingress(
        "p",
        allow({ nets: ["192.0.2.0/24", "198.51.100.0/24"] }, { protocol: "UDP" }),
        allow({ nets: ["203.0.113.0/24", "203.0.112.0/24"] }),
      ),
    ],
    packet: "192.0.2.1>web tcp/80",
    want: "drop",
  },
  {
    name: "a set of networks by label",
    policies: [
      anObject("GlobalNetworkSet", { name: "offices", labels: { role: "office" } }, { nets: ["192.0.2.0/24"] }),
      ingress("p", allow({ namespaceSelector: "global()", selector: "role == 'office'" })),
    ],
    packet: "192.0.2.7>web tcp/80",
    want: "accept",
  },
  {
    name: "a namespaced set of networks",
    policies: [
      anObject("NetworkSet", { name: "offices", namespace: "default", labels: { role: "office" } }, { nets: ["192.0.2.0/24"] }),
      ingress("p", allow({ selector: "role == 'office'" })),
    ],
    packet: "192.0.2.7>web tcp/80",
    want: "accept",
  },
  {
    name: "icmp by type",
    policies: [ingress("p", allow({}, { protocol: "ICMP", icmp: { type: 8 } }))],
    packet: "client>web icmp/8",
    want: "accept",
  },
  {
    name: "icmp of another type",
    policies: [ingress("p", allow({}, { protocol: "ICMP", icmp: { type: 8 } }))],
    packet: "client>web icmp/0",
    want: "drop",
  },
  { name: "notProtocol", policies: [ingress("p", allow({}, { notProtocol: "UDP" }))], packet: "client>web udp/53", want: "drop" },
  {
    name: "ipVersion 6 says nothing of IPv4",
    policies: [ingress("p", allow({}, { ipVersion: 6 }))],
    packet: "client>web tcp/80",
    want: "drop",
  },
  {
    name: "the first rule that decides, decides",
    policies: [ingress("p", { action: "Deny", source: { selector: "app == 'client'" } }, { action: "Allow" })],
    packet: "client>web tcp/80",
    want: "drop",
  },
  {
    name: "a deny spares the others",
    policies: [ingress("p", { action: "Deny", source: { selector: "zone == 'far'" } }, { action: "Allow" })],
    packet: "client>web tcp/80",
    want: "accept",
  },
  {
    name: "log decides nothing",
    policies: [ingress("p", { action: "Log" }, { action: "Allow" })],
    packet: "client>web tcp/80",
    want: "accept",
  },
  { name: "log alone denies by the tier's end", policies: [ingress("p", { action: "Log" })], packet: "client>web tcp/80", want: "drop" },
  {
    name: "order decides between policies",
    policies: [gnp("a", { order: 2, ingress: [{ action: "Deny" }] }), gnp("z", { order: 1, ingress: [{ action: "Allow" }] })],
    packet: "client>web tcp/80",
    want: "accept",
  },
  {
    name: "no order is last",
    policies: [gnp("a", { ingress: [{ action: "Deny" }] }), gnp("z", { order: 1e9, ingress: [{ action: "Allow" }] })],
    packet: "client>web tcp/80",
    want: "accept",
  },
  {
    name: "egress policy of the sender",
    policies: [aPolicy("e", { selector: "app == 'client'", types: ["Egress"], egress: [] }, "default")],
    packet: "client>web tcp/80",
    want: "drop",
  },
  {
    name: "egress to a network",
    policies: [
      aPolicy(
        "e",
        { selector: "app == 'client'", types: ["Egress"], egress: [{ action: "Allow", destination: { nets: ["192.0.2.0/24"] } }] },
        "default",
      ),
    ],
    packet: "client>192.0.2.1 tcp/443",
    want: "accept",
  },
  {
    name: "an earlier tier denies",
    policies: [tier("sec", { order: 1 }), gnp("s", { tier: "sec", ingress: [{ action: "Deny" }] })],
    packet: "client>web tcp/80",
    want: "drop",
  },
  {
    name: "pass goes on to the next tier",
    policies: [tier("sec", { order: 1 }), gnp("s", { tier: "sec", ingress: [{ action: "Pass" }] }), ingress("p", { action: "Allow" })],
    packet: "client>web tcp/80",
    want: "accept",
  },
  {
    name: "pass past the last tier goes to the profile",
    policies: [tier("sec", { order: 1 }), gnp("s", { tier: "sec", ingress: [{ action: "Pass" }] })],
    packet: "client>web tcp/80",
    want: "accept",
  },
  {
    name: "the end of a tier denies",
    policies: [
      tier("sec", { order: 1 }),
      gnp("s", { tier: "sec", ingress: [{ action: "Pass", source: { nets: ["192.0.2.0/24"] } }] }),
      ingress("p", { action: "Allow" }),
    ],
    packet: "client>web tcp/80",
    want: "drop",
  },
  {
    name: "the end of a tier with default Pass goes on",
    policies: [
      tier("sec", { order: 1, defaultAction: "Pass" }),
      gnp("s", { tier: "sec", ingress: [{ action: "Deny", source: { nets: ["192.0.2.0/24"] } }] }),
      ingress("p", { action: "Allow" }),
    ],
    packet: "client>web tcp/80",
    want: "accept",
  },
  {
    name: "a tier nobody described still denies",
    policies: [gnp("s", { tier: "ghost", ingress: [{ action: "Deny" }] })],
    packet: "client>web tcp/80",
    want: "drop",
  },
  {
    name: "an untracked policy is not a workload's",
    policies: [gnp("u", { doNotTrack: true, applyOnForward: true, ingress: [{ action: "Deny" }] })],
    packet: "client>web tcp/80",
    want: "accept",
  },
  { name: "a tunnelled packet from a pod", policies: [], packet: "client>192.0.2.1 udp/4789", want: "drop" },
  { name: "traffic that touches no pod is not ours to judge", policies: [], packet: "192.0.2.1>192.0.2.2 tcp/80", want: "none" },
];

test.for(ROWS)("policy: $name", ({ policies, packet, want }) => {
  const program = programOf([...baseCluster(), ...policies].map(updated), NODE);
  const trace = tracePacket(program, packetOf(packet));
  expect(trace.verdict, trace.path.join("\n")).toBe(want);
});

test("dispatch: an interface of ours that no endpoint has is dropped in both directions", () => {
  const program = programOf(baseCluster().map(updated), NODE);
  const packet = { src: "10.0.0.77", dst: "192.0.2.1", protocol: "tcp", sport: 1, dport: 2 };
  expect(tracePacket(program, { ...packet, in: "cali00000000000", out: "eth0" }).verdict).toBe("drop");
  expect(tracePacket(program, { ...packet, in: "eth0", out: "cali00000000000" }).verdict).toBe("drop");
});

test("profiles: a missing profile lets nothing through", () => {
  const objects = baseCluster().filter((o) => o.metadata.name !== "kns.default");
  const program = programOf(objects.map(updated), NODE);
  expect(tracePacket(program, packetOf("client>web tcp/80")).verdict).toBe("drop");
});

test("host: what a pod sends to its own node is dropped by default, but first its egress policy is asked", () => {
  const program = programOf(baseCluster().map(updated), NODE);
  const packet = packetOf("client>192.168.81.101 tcp/22");
  expect(tracePacket(program, { ...packet, out: undefined }, "INPUT").verdict).toBe("drop");
});
