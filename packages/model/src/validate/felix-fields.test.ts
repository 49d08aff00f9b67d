import { expect, test } from "vitest";
import { checkFelixFields } from "./felix-fields.ts";
import { unknownFields } from "./unknown-fields.ts";
import { parseResource } from "../resources/parse.ts";
import { validateResource } from "./validate.ts";

const good: Readonly<Record<string, unknown>>[] = [
  { bpfEnabled: false, ipipMTU: 1440, iptablesRefreshInterval: "1m30s", routeRefreshInterval: "0s", reportingInterval: "" },
  { defaultEndpointToHostAction: "ACCEPT", chainInsertMode: "append", logSeverityScreen: "debug", iptablesBackend: "nft" },
  { iptablesMarkMask: 0xffff0000, natPortRange: "32768:65535", bpfPSNATPorts: 20000, kubeNodePortRanges: ["30000:32767", 8080] },
  {
    failsafeInboundHostPorts: [],
    failsafeOutboundHostPorts: [
      { protocol: "udp", port: 53 },
      { port: 22, net: "10.0.0.0/8" },
    ],
  },
  { healthTimeoutOverrides: [{ name: "Calc", timeout: "30s" }], routeTableRanges: [{ min: 1, max: 250 }], bpfLogFilters: { all: "tcp" } },
  { bpfConntrackTimeouts: { tcpSynSent: "20s", udpTimeout: "Auto" }, externalNodesList: ["10.0.0.1", "fd00::/64"], istioDSCPMark: "AF41" },
  { programClusterRoutes: "EnabledIPIPOnly", deviceRouteSourceAddressIPv6: "fd00::1", featureDetectOverride: "SNATFullyRandom=true,X=" },
];

test.for(good.map((spec) => [Object.keys(spec).join(", "), spec] as const))("checkFelixFields: takes %s", ([, spec]) => {
  expect(checkFelixFields(spec)).toEqual([]);
});

test.for<readonly [string, unknown, RegExp]>([
  ["bpfEnabled", "true", /^must be true or false$/],
  ["vxlanPort", "4789", /^must be a whole number/],
  ["healthPort", 70000, /^must be a whole number from 0 to 65535$/],
  ["ipv4NormalRoutePriority", 0, /^must be a whole number from 1 to 2147483646$/],
  ["wireguardListeningPort", 0, /^must be a whole number from 1 to 65535$/],
  ["iptablesRefreshInterval", 90, /^must be a duration/],
  ["iptablesRefreshInterval", "90", /^must be a duration/],
  ["iptablesMarkMask", 0x10000, /^must have at least 2 of 32 bits set$/],
  ["iptablesFilterDenyAction", "Return", /^must be one of Drop, Reject$/],
  ["programClusterRoutes", "enabled", /^must be one of Enabled, Disabled, EnabledIPIPOnly, EnabledNoEncapOnly$/],
  ["natOutgoingAddress", "fd00::1", /^must be an IPv4 address$/],
  ["natPortRange", "9:1", /^must be a port or a range/],
  [
    "failsafeInboundHostPorts",
    [
      { protocol: "tcp", port: 22 },
      { protocol: "icmp", port: 1 },
    ],
    /^\[1\]: protocol: must be one of tcp, udp, sctp$/,
  ],
  ["failsafeInboundHostPorts", { port: 22 }, /^must be a list$/],
  ["failsafeOutboundHostPorts", [{ net: "10.0.0.0/8" }], /^\[0\]: port: must be a whole number/],
  ["healthTimeoutOverrides", [{ name: "x", timeout: 3 }], /^\[0\]: timeout: must be a duration/],
  ["routeTableRange", { min: 9, max: 1 }, /^min must not be above max$/],
  ["externalNodesList", ["10.0.0.0/8", "x"], /^\[1\]: must be a CIDR$/],
  ["bpfLogFilters", { all: 1 }, /^\[0\]: must be a text$/],
  ["interfacePrefix", "cali,", /^must be interface name prefixes/],
  ["wireguardInterfaceName", "wireguard.calico.0", /^must be an interface name/],
  ["logPrefix", 5, /^must be a text$/],
])("checkFelixFields: %s = %j is refused", ([name, value, reason]) => {
  expect(checkFelixFields({ [name]: value })).toEqual([{ field: `spec.${name}`, value, reason: expect.stringMatching(reason) }]);
});

test("FelixConfiguration: a value of the wrong type is refused when it is written, and does not cost the object when it is read", () => {
  const object = {
    kind: "FelixConfiguration",
    apiVersion: "projectcalico.org/v3",
    metadata: { name: "default" },
    spec: { bpfEnabled: "yes", fromTheFuture: 1 },
  };
  expect(parseResource("FelixConfiguration", object).ok).toBe(true);
  const written = validateResource("FelixConfiguration", object);
  expect(written.ok ? [] : written.error.map(({ field }) => field)).toEqual(["spec.fromTheFuture", "spec.bpfEnabled"]);
  expect(unknownFields("FelixConfiguration", { spec: { bpfEnabled: true } })).toEqual([]);
});
