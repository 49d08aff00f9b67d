import { parseCidr } from "@calico/model";
import { expect, test } from "vitest";
import type { PathAttributes } from "../codec/attribute.ts";
import { formatAsPath } from "../codec/as-path.ts";
import { exportPath, makeExportFilter, OWN_ROUTE_LOCAL_PREF } from "./export.ts";
import type { ExportPeer } from "./export.ts";
import { LOCAL_PATH } from "./path.ts";
import type { Path } from "./path.ts";

function cidr(text: string) {
  const parsed = parseCidr(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

const allowed = makeExportFilter({
  pools: [
    { cidr: cidr("192.200.0.0/16"), exported: true },
    { cidr: cidr("10.50.0.0/16"), exported: false },
  ],
  ownBlocks: [cidr("192.200.59.192/26")],
});

test.for<{ prefix: string; want: boolean; why: string }>([
  { prefix: "192.200.59.192/26", want: true, why: "our block, whole" },
  { prefix: "192.200.59.193/32", want: false, why: "a part of our block" },
  { prefix: "192.200.203.0/26", want: true, why: "another's block in an enabled pool" },
  { prefix: "192.200.203.4/32", want: true, why: "a borrowed address of another's block" },
  { prefix: "10.50.0.0/26", want: false, why: "in a pool that is disabled or not exported" },
  { prefix: "172.31.0.0/16", want: false, why: "in no pool" },
  { prefix: "0.0.0.0/0", want: false, why: "the default route" },
])("makeExportFilter: $why", ({ prefix, want }) => {
  expect(allowed(prefix)).toBe(want);
});

const IBGP: ExportPeer = { id: "i", localAs: 64512, ibgp: true, localAddress: "10.0.0.1", nextHopMode: "auto", rrClient: false };
const EBGP: ExportPeer = { ...IBGP, id: "e", ibgp: false };
const RR: ExportPeer = { ...IBGP, clusterId: "1.0.0.1", rrClient: true };

function learned(attributes: PathAttributes, o: { ibgp?: boolean; client?: boolean; peer?: string } = {}): Path {
  const { ibgp = true, client = false, peer = "x" } = o;
  return {
    from: { peer, address: "10.0.0.7", routerId: "10.0.0.7", ibgp, client },
    nextHop: "10.0.0.7",
    stale: false,
    attributes: { origin: "igp", asPath: [], ...attributes },
  };
}

test.for<{ name: string; path: Path; peer: ExportPeer; want: string }>([
  { name: "our own, inside", path: LOCAL_PATH, peer: IBGP, want: `via 10.0.0.1 path [] pref ${OWN_ROUTE_LOCAL_PREF}` },
  { name: "our own, outside: our AS, no preference", path: LOCAL_PATH, peer: EBGP, want: "via 10.0.0.1 path [64512]" },
  { name: "not back to where it came from", path: learned({}, { peer: "i" }), peer: IBGP, want: "none" },
  { name: "not back to where it came from, outside", path: learned({}, { peer: "e", ibgp: false }), peer: EBGP, want: "none" },
  { name: "inside to inside only by reflection", path: learned({}), peer: IBGP, want: "none" },
  {
    name: "outside to inside, next hop kept as BIRD does",
    path: learned({ asPath: [{ type: "sequence", ases: [65000] }] }, { ibgp: false }),
    peer: IBGP,
    want: "via 10.0.0.7 path [65000] pref 100",
  },
  {
    name: "next hop self on request",
    path: learned({}, { ibgp: false }),
    peer: { ...IBGP, nextHopMode: "self" },
    want: "via 10.0.0.1 path [] pref 100",
  },
  {
    name: "inside to outside: next hop is us, MED stays here",
    path: learned({ localPref: 200, med: 7 }),
    peer: EBGP,
    want: "via 10.0.0.1 path [64512]",
  },
  {
    name: "inside to outside, next hop kept on request",
    path: learned({}),
    peer: { ...EBGP, nextHopMode: "keep" },
    want: "via 10.0.0.7 path [64512]",
  },
  {
    name: "reflected from client to client",
    path: learned({ localPref: 50 }, { client: true }),
    peer: RR,
    want: "via 10.0.0.7 path [] pref 50 from 10.0.0.7 clusters 1.0.0.1",
  },
  {
    name: "reflected from client to others",
    path: learned({}, { client: true }),
    peer: { ...RR, rrClient: false },
    want: "via 10.0.0.7 path [] pref 100 from 10.0.0.7 clusters 1.0.0.1",
  },
  {
    name: "reflected from others to client, through more clusters",
    path: learned({ originatorId: "10.0.0.3", clusterList: ["2.0.0.1"] }),
    peer: RR,
    want: "via 10.0.0.7 path [] pref 100 from 10.0.0.3 clusters 1.0.0.1,2.0.0.1",
  },
  { name: "not from others to others", path: learned({}), peer: { ...RR, rrClient: false }, want: "none" },
])("exportPath: $name", ({ path, peer, want }) => {
  const route = exportPath(path, peer);
  const a = route?.attributes ?? {};
  const text = [
    `via ${route?.nextHop ?? ""} path [${formatAsPath(a.asPath ?? [])}]`,
    ...(a.localPref === undefined ? [] : [`pref ${a.localPref}`]),
    ...(a.med === undefined ? [] : [`med ${a.med}`]),
    ...(a.originatorId === undefined ? [] : [`from ${a.originatorId}`]),
    ...(a.clusterList === undefined ? [] : [`clusters ${a.clusterList.join(",")}`]),
  ];
  expect(route === undefined ? "none" : text.join(" ")).toBe(want);
});
