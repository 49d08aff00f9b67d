import { expect, test } from "vitest";
import { hex, toHex } from "../../testing/hex.ts";
import { decodeOpen, encodeOpen } from "./open.ts";

const HEAD = "04 fc00 005a c0a85165";

test.for<{ name: string; wire: string; want: string }>([
  { name: "no parameters: an old speaker", wire: `${HEAD} 00`, want: "as 64512 hold 90 id 192.168.81.101 {}" },
  {
    name: "four-octet AS",
    wire: `04 5ba0 005a c0a85165 08 0206 4104 00030d40`,
    want: 'as 200000 hold 90 id 192.168.81.101 {"as4":200000}',
  },
  { name: "unknown capabilities are passed over", wire: `${HEAD} 06 0204 7f02 0000`, want: "as 64512 hold 90 id 192.168.81.101 {}" },
  {
    name: "graceful restart",
    wire: `${HEAD} 0a 0208 4006 8078 0001 01 80`,
    want: 'as 64512 hold 90 id 192.168.81.101 {"gracefulRestart":{"restarted":true,"timeSec":120,"families":[{"family":4,"forwarding":true}]}}',
  },
  {
    name: "extended parameter length",
    wire: `${HEAD} ff ff 0005 02 0002 0200`,
    want: 'as 64512 hold 90 id 192.168.81.101 {"routeRefresh":true}',
  },
  { name: "version 3", wire: `03 fc00 005a c0a85165 00`, want: "unsupportedVersion 2/1" },
  { name: "hold time 2", wire: `04 fc00 0002 c0a85165 00`, want: "badHoldTime 2/6" },
  { name: "identifier 0.0.0.0", wire: `04 fc00 005a 00000000 00`, want: "badRouterId 2/3" },
  { name: "parameters over the end", wire: `${HEAD} 04 0200`, want: "parameterLength 2/0" },
  { name: "authentication parameter", wire: `${HEAD} 02 0100`, want: "unknownParameter 2/4" },
  { name: "capability that overruns its parameter", wire: `${HEAD} 04 0202 4104`, want: "truncatedCapability 2/0" },
])("decodeOpen: $name", ({ wire, want }) => {
  const r = decodeOpen(hex(wire));
  expect(
    r.ok
      ? `as ${r.value.as} hold ${r.value.holdTimeSec} id ${r.value.routerId} ${JSON.stringify(r.value.capabilities)}`
      : `${r.error.reason} ${r.error.code.join("/")}`,
  ).toBe(want);
});

test("encodeOpen: an AS number that does not fit is AS_TRANS, and the capability has the real one", () => {
  const octets = encodeOpen({ as: 200000, holdTimeSec: 90, routerId: "192.168.81.101", capabilities: { as4: 200000 } });
  expect(toHex(octets)).toBe("045ba0005ac0a851650802064104" + "00030d40");
});
