import { expect, test } from "vitest";
import { hex } from "../../testing/hex.ts";
import type { SessionContext } from "./attribute.ts";
import { decodeUpdate, encodeUpdate } from "./update.ts";
import type { Update } from "./update.ts";

const IBGP: SessionContext = { as4: true, ibgp: true };
const EBGP: SessionContext = { as4: true, ibgp: false };
const OLD: SessionContext = { as4: false, ibgp: false };

const ORIGIN = "400101 00";
const EMPTY_PATH = "400200";
const NEXT_HOP = "400304 c0a85166";
const LOCAL_PREF = "400504 00000064";
const GOOD = `${ORIGIN} ${EMPTY_PATH} ${NEXT_HOP} ${LOCAL_PREF}`;
const BLOCK = "1ac0c83bc0";

/** An update's body from its attributes and NLRI. */
function body(attributes: string, nlri = BLOCK, withdrawn = ""): Uint8Array {
  const [a, n, w] = [hex(attributes), hex(nlri), hex(withdrawn)];
  return Uint8Array.from([w.length >> 8, w.length & 255, ...w, a.length >> 8, a.length & 255, ...a, ...n]);
}

function print(octets: Uint8Array, session: SessionContext): string {
  const r = decodeUpdate(octets, session);
  if (!r.ok) return `RESET ${r.error.reason} ${r.error.code.join("/")}`;
  const { update, faults } = r.value;
  const parts = [
    ...update.unreach.map(({ prefixes }) => `-${prefixes.join(",")}`),
    ...update.reach.map(({ prefixes, nextHop }) => `+${prefixes.join(",")} via ${nextHop}`),
    ...(update.endOfRib === undefined ? [] : [`end v${update.endOfRib}`]),
    ...faults.map((f) => `(${f.reason} ${f.disposition})`),
  ];
  return parts.join(" ");
}

const ANNOUNCED = "+192.200.59.192/26 via 192.168.81.102";
const WITHDRAWN = "-192.200.59.192/26";

test.for<{ name: string; octets: Uint8Array; session?: SessionContext; want: string }>([
  { name: "a route", octets: body(GOOD), want: ANNOUNCED },
  { name: "a withdrawal", octets: body("", "", BLOCK), want: WITHDRAWN },
  { name: "End-of-RIB of IPv4", octets: hex("0000 0000"), want: "end v4" },
  { name: "End-of-RIB of IPv6", octets: body("800f03 0002 01", ""), want: "end v6" },
  {
    name: "IPv6 by MP_REACH_NLRI",
    octets: body(`${ORIGIN} ${EMPTY_PATH} ${LOCAL_PREF} 800e1a 0002 01 10 fd000000000000000000000000000001 00 20fd000010`, ""),
    want: "+fd00:10::/32 via fd00::1",
  },
  {
    name: "a family that we do not speak is passed over",
    octets: body(`${ORIGIN} ${EMPTY_PATH} ${LOCAL_PREF} 800e05 0019 41 00 00`, ""),
    want: "",
  },
  { name: "withdrawn length over the end", octets: hex("0005 0000"), want: "RESET withdrawnOverruns 3/1" },
  { name: "attribute length over the end", octets: hex("0000 0005"), want: "RESET attributesOverrun 3/1" },
  { name: "a bad prefix among the announced", octets: body(GOOD, "21c000020100"), want: "RESET badPrefixLength 3/10" },
  {
    name: "ORIGIN 3 is no origin",
    octets: body(`400101 03 ${EMPTY_PATH} ${NEXT_HOP} ${LOCAL_PREF}`),
    want: `${WITHDRAWN} (ORIGIN: malformed treatAsWithdraw)`,
  },
  {
    name: "AS_PATH segment without an AS",
    octets: body(`${ORIGIN} 400202 0200 ${NEXT_HOP} ${LOCAL_PREF}`),
    want: `${WITHDRAWN} (AS_PATH: malformed treatAsWithdraw)`,
  },
  {
    name: "AS_PATH segment that overruns",
    octets: body(`${ORIGIN} 400206 0202 0000fde8 ${NEXT_HOP} ${LOCAL_PREF}`),
    want: `${WITHDRAWN} (AS_PATH: malformed treatAsWithdraw)`,
  },
  {
    name: "NEXT_HOP of three octets",
    octets: body(`${ORIGIN} ${EMPTY_PATH} 400303 c0a851 ${LOCAL_PREF}`),
    want: `${WITHDRAWN} (NEXT_HOP: malformed treatAsWithdraw)`,
  },
  {
    name: "NEXT_HOP that is multicast",
    octets: body(`${ORIGIN} ${EMPTY_PATH} 400304 e0000001 ${LOCAL_PREF}`),
    want: `${WITHDRAWN} (NEXT_HOP: malformed treatAsWithdraw)`,
  },
  { name: "no NEXT_HOP", octets: body(`${ORIGIN} ${EMPTY_PATH} ${LOCAL_PREF}`), want: `${WITHDRAWN} (NEXT_HOP: missing treatAsWithdraw)` },
  {
    name: "no LOCAL_PREF from inside",
    octets: body(`${ORIGIN} ${EMPTY_PATH} ${NEXT_HOP}`),
    want: `${WITHDRAWN} (LOCAL_PREF: missing treatAsWithdraw)`,
  },
  { name: "no LOCAL_PREF from outside is right", octets: body(`${ORIGIN} ${EMPTY_PATH} ${NEXT_HOP}`), session: EBGP, want: ANNOUNCED },
  {
    name: "LOCAL_PREF from outside is dropped unread",
    octets: body(`${ORIGIN} ${EMPTY_PATH} ${NEXT_HOP} 400503 000000`),
    session: EBGP,
    want: ANNOUNCED,
  },
  {
    name: "well-known attribute with the optional flag",
    octets: body(`c00101 00 ${EMPTY_PATH} ${NEXT_HOP} ${LOCAL_PREF}`),
    want: `${WITHDRAWN} (ORIGIN: attributeFlags treatAsWithdraw)`,
  },
  { name: "unknown well-known attribute", octets: body(`${GOOD} 406301 00`), want: "RESET unrecognizedWellKnown 3/2" },
  { name: "unknown optional attribute", octets: body(`${GOOD} c06301 00`), want: ANNOUNCED },
  { name: "attribute that overruns the list", octets: body(`${GOOD} c0089f 00`), want: `${WITHDRAWN} (attributeOverruns treatAsWithdraw)` },
  { name: "duplicate: the first counts", octets: body(`${GOOD} 400101 02`), want: `${ANNOUNCED} (duplicateAttribute attributeDiscard)` },
  { name: "duplicate MP_UNREACH_NLRI", octets: body("800f03 0002 01 800f03 0002 01", ""), want: "RESET duplicateAttribute 3/1" },
  {
    name: "ATOMIC_AGGREGATE with a value is discarded",
    octets: body(`${GOOD} 400601 00`),
    want: `${ANNOUNCED} (ATOMIC_AGGREGATE: malformed attributeDiscard)`,
  },
  {
    name: "AGGREGATOR of seven octets is discarded",
    octets: body(`${GOOD} c00707 00000000000000`),
    want: `${ANNOUNCED} (AGGREGATOR: malformed attributeDiscard)`,
  },
  { name: "COMMUNITIES of no fours", octets: body(`${GOOD} c00803 000000`), want: `${WITHDRAWN} (COMMUNITIES: malformed treatAsWithdraw)` },
  {
    name: "LARGE_COMMUNITY of no twelves",
    octets: body(`${GOOD} c02004 00000000`),
    want: `${WITHDRAWN} (LARGE_COMMUNITY: malformed treatAsWithdraw)`,
  },
  {
    name: "CLUSTER_LIST of no fours",
    octets: body(`${GOOD} 800a03 000000`),
    want: `${WITHDRAWN} (CLUSTER_LIST: malformed treatAsWithdraw)`,
  },
  {
    name: "MP_REACH_NLRI with an odd next hop",
    octets: body("800e08 0002 01 03 000000 00", ""),
    want: "RESET MP_REACH_NLRI: badNextHopLength 3/9",
  },
])("decodeUpdate: $name", ({ octets, session = IBGP, want }) => {
  expect(print(octets, session)).toBe(want);
});

test("decodeUpdate: AS4_PATH gives an old speaker's AS_TRANS its meaning", () => {
  const path = "40020a 0204 fde8 5ba0 5ba0 fde9";
  const as4 = "c0110e 0203 00030d40 00030d41 0000fde9";
  const r = decodeUpdate(body(`${ORIGIN} ${path} ${NEXT_HOP} ${as4}`), OLD);
  expect(r.ok && r.value.update.attributes.asPath).toEqual([{ type: "sequence", ases: [65000, 200000, 200001, 65001] }]);
});

test("encodeUpdate: a table that does not fit one message is split, and nothing is lost", () => {
  const prefixes = Array.from({ length: 3000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
  const update: Update = {
    unreach: [{ family: 4, prefixes }],
    reach: [{ family: 4, nextHop: "192.0.2.1", prefixes }],
    attributes: { origin: "igp", asPath: [], localPref: 100 },
  };
  const bodies = encodeUpdate(update, IBGP);
  expect(Math.max(...bodies.map((b) => b.length))).toBeLessThanOrEqual(4096 - 19);
  const decoded = bodies.map((b) => decodeUpdate(b, IBGP)).map((r) => (r.ok ? r.value.update : expect.fail(r.error.reason)));
  expect(decoded.flatMap((u) => u.reach.flatMap((g) => g.prefixes))).toEqual(prefixes);
  expect(decoded.flatMap((u) => u.unreach.flatMap((g) => g.prefixes))).toEqual(prefixes);
});
