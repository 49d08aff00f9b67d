/**
 * Tunnel addresses of a node: one per kind of encapsulation that a pool asks for, from such a pool, written into the Node.
 *
 * Source: calico node/pkg/allocateip/allocateip.go.
 */
import { cidrSize, formatCidr, formatIp, keyOf, nthIp, parseCidr, parseIp } from "@calico/model";
import type { Family } from "@calico/model";
import { poolOfIp, selectsNode } from "../domain/pools.ts";
import type { Labels, Pool } from "../domain/pools.ts";
import type { TunnelKind, TunnelOutcome } from "../ports.ts";
import { assignFamily } from "./auto-assign.ts";
import type { AssignPorts } from "./auto-assign.ts";
import type { Facts } from "./facts.ts";
import { parseJson } from "./facts.ts";
import { IpamFault, untilWritten } from "./fault.ts";
import { ownerOfIp } from "./query.ts";
import { releaseByHandle } from "./release-ips.ts";

type TunnelRow = {
  readonly kind: TunnelKind;
  readonly family: Family;
  readonly handle: string;
  readonly type: string;
  /** Where in Node.spec the address is. */
  readonly path: readonly string[];
  readonly wants: (pool: Pool) => boolean;
  /** Not for a pool's sake but for a key of the node's, and while the cluster wants it. */
  readonly wireguard?: { readonly key: string; readonly enabled: string };
};

const TUNNELS: readonly TunnelRow[] = [
  {
    kind: "ipip",
    family: 4,
    handle: "ipip-tunnel-addr-",
    type: "ipipTunnelAddress",
    path: ["bgp", "ipv4IPIPTunnelAddr"],
    wants: (p) => p.ipip !== "Never",
  },
  {
    kind: "vxlan",
    family: 4,
    handle: "vxlan-tunnel-addr-",
    type: "vxlanTunnelAddress",
    path: ["ipv4VXLANTunnelAddr"],
    wants: (p) => p.vxlan !== "Never",
  },
  {
    kind: "vxlanV6",
    family: 6,
    handle: "vxlan-v6-tunnel-addr-",
    type: "vxlanV6TunnelAddress",
    path: ["ipv6VXLANTunnelAddr"],
    wants: (p) => p.vxlan !== "Never",
  },
  {
    kind: "wireguard",
    family: 4,
    handle: "wireguard-tunnel-addr-",
    type: "wireguardTunnelAddress",
    path: ["wireguard", "interfaceIPv4Address"],
    wants: () => true,
    wireguard: { key: "wireguardPublicKey", enabled: "wireguardEnabled" },
  },
  {
    kind: "wireguardV6",
    family: 6,
    handle: "wireguard-v6-tunnel-addr-",
    type: "wireguardV6TunnelAddress",
    path: ["wireguard", "interfaceIPv6Address"],
    wants: () => true,
    wireguard: { key: "wireguardPublicKeyV6", enabled: "wireguardEnabledV6" },
  },
];

/**
 * Make the node's tunnel addresses what the pools ask for. Nothing is written when they are already.
 *
 * `usePodCidr`: pods have their addresses from the CIDRs that Kubernetes gave the node, by another IPAM; so have the tunnels, each the
 * first address, and nothing is assigned. WireGuard then uses the node's own addresses.
 */
export async function ensureTunnelAddresses(
  ports: AssignPorts,
  o: { readonly node: string; readonly facts: Facts; readonly usePodCidr?: boolean },
): Promise<readonly TunnelOutcome[]> {
  const out: TunnelOutcome[] = [];
  const felix = await readFelix(ports.reader, o.node);
  for (const row of TUNNELS) {
    const node = await readNode(ports, o.node);
    const wanted = row.wireguard === undefined || encrypts(row.wireguard, { felix, status: node.status });
    const pools = wanted ? o.facts.pools.filter((p) => usable(p, row, node.labels)) : [];
    const current = valueAt(node.spec, row.path);
    const wish = { row, pools, current, node: o.node, facts: o.facts };
    const address = o.usePodCidr ? await podCidrAddress(ports, wish, node.status) : await addressFor(ports, wish);
    if (address !== current) await writeNode(ports, { node: o.node, path: row.path, address });
    out.push({ kind: row.kind, address, changed: address !== current });
  }
  return out;
}

type Settings = Readonly<Record<string, unknown>>;

/** What FelixConfiguration says, the node's own fields over the cluster's. */
async function readFelix(reader: AssignPorts["reader"], node: string): Promise<Settings> {
  const merged: Record<string, unknown> = {};
  for (const name of ["default", `node.${node}`]) {
    const kv = await reader.get(keyOf({ kind: "FelixConfiguration", name }));
    Object.assign(merged, (parseJson(kv?.value ?? "{}") as { spec?: Settings } | undefined)?.spec);
  }
  return merged;
}

/** With host encryption the node's own addresses are used, so that no other is needed. */
function encrypts(row: { key: string; enabled: string }, o: { felix: Settings; status: Settings }): boolean {
  const hasKey = typeof o.status[row.key] === "string" && o.status[row.key] !== "";
  return hasKey && o.felix[row.enabled] === true && o.felix["wireguardHostEncryptionEnabled"] !== true;
}

function usable(pool: Pool, row: TunnelRow, labels: Labels): boolean {
  return !pool.disabled && pool.cidr.family === row.family && row.wants(pool) && pool.uses.includes("Tunnel") && selectsNode(pool, labels);
}

type Wanted = { row: TunnelRow; pools: readonly Pool[]; current: string | undefined; node: string; facts: Facts };

async function addressFor(ports: AssignPorts, o: Wanted): Promise<string | undefined> {
  const handle = `${o.row.handle}${o.node}`;
  if (o.current !== undefined && (await stillOurs(ports, o, handle))) return o.current;
  const held = await ports.records.handle(handle, { fresh: true });
  if (held.value !== undefined) await releaseByHandle(ports, { handle, cooldownSec: o.facts.config.cooldownSec });
  if (o.pools.length === 0) return undefined;
  // Asked for by CIDR: a pool's assignment mode does not stand against a tunnel.
  const cidrs = o.pools.map((p) => formatCidr(p.cidr));
  const request = {
    node: o.node,
    num4: 0,
    num6: 0,
    handle,
    attrs: { node: o.node, type: o.row.type },
    use: "Tunnel" as const,
    ...(o.row.family === 4 ? { pools4: cidrs } : { pools6: cidrs }),
  };
  const assigned = await assignFamily(ports, { request, facts: o.facts, family: o.row.family, count: 1 });
  const address = assigned.ips[0]?.address.split("/")[0];
  if (address === undefined)
    throw new IpamFault("limit", `Cannot give node ${o.node} its ${o.row.kind} tunnel address: ${assigned.messages.join("; ")}`);
  return address;
}

/** The first address after the CIDR's own. Source: calico libcalico-go/lib/backend/k8s/resources/node.go (getIPIPTunnelAddress). */
async function podCidrAddress(ports: AssignPorts, o: Wanted, { podCIDRs }: Settings): Promise<string | undefined> {
  await releaseByHandle(ports, { handle: `${o.row.handle}${o.node}`, cooldownSec: o.facts.config.cooldownSec });
  if (o.pools.length === 0 || o.row.wireguard !== undefined) return undefined;
  const cidrs = (Array.isArray(podCIDRs) ? podCIDRs : []).map((text) => parseCidr(String(text)));
  const own = cidrs.find((cidr) => cidr.ok && cidr.value.family === o.row.family && cidrSize(cidr.value) > 1n);
  if (own?.ok) return formatIp(nthIp(own.value, 1));
  throw new IpamFault(
    "noPool",
    `Cannot give node ${o.node} its ${o.row.kind} tunnel address: USE_POD_CIDR is set and status.podCIDRs of the Node has no IPv${o.row.family} one; kube-controllers copies them from Kubernetes`,
  );
}

async function stillOurs(ports: AssignPorts, o: Wanted, handle: string): Promise<boolean> {
  const ip = parseIp(o.current ?? "");
  if (!ip.ok || poolOfIp(o.pools, ip.value) === undefined) return false;
  try {
    return (await ownerOfIp(ports, { ip: o.current ?? "", facts: o.facts })).handle === handle;
  } catch (e) {
    if (e instanceof IpamFault && e.kind === "notFound") return false;
    throw e;
  }
}

type NodeJson = { metadata?: { labels?: Labels }; spec?: Record<string, unknown>; status?: Settings };

async function readNode(
  { records }: AssignPorts,
  node: string,
): Promise<{ labels: Labels; spec: Record<string, unknown>; status: Settings }> {
  const { value } = await records.text(keyOf({ kind: "Node", name: node }));
  const json = value === undefined ? undefined : (parseJson(value) as NodeJson | undefined);
  if (json === undefined) throw new IpamFault("notFound", `Cannot give tunnel addresses: there is no Node ${node} yet`);
  return { labels: json.metadata?.labels ?? {}, spec: json.spec ?? {}, status: json.status ?? {} };
}

function valueAt(spec: Record<string, unknown>, path: readonly string[]): string | undefined {
  const value = path.reduce<unknown>((at, field) => (at as Record<string, unknown> | undefined)?.[field], spec);
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** Change one field of the Node and leave every other as it is, whatever it is. */
async function writeNode(
  { records }: AssignPorts,
  o: { node: string; path: readonly string[]; address: string | undefined },
): Promise<void> {
  const key = keyOf({ kind: "Node", name: o.node });
  await untilWritten(`Node ${o.node}`, async () => {
    const { value, revision } = await records.text(key);
    const json = value === undefined ? undefined : (parseJson(value) as NodeJson | undefined);
    if (json === undefined) throw new IpamFault("notFound", `Cannot write the tunnel address: Node ${o.node} was removed`);
    json.spec = withField(json.spec ?? {}, o.path, o.address);
    const outcome = await records.commit([{ key, value: JSON.stringify(json), revision }]);
    return outcome.written ? "done" : "conflict";
  });
}

/** Empty objects on the way are dropped: an empty `bgp` is refused by validation. */
function withField(spec: Record<string, unknown>, [field, ...rest]: readonly string[], value: string | undefined): Record<string, unknown> {
  if (field === undefined) return spec;
  const { [field]: old, ...others } = spec;
  const next = rest.length === 0 ? value : withField((old as Record<string, unknown> | undefined) ?? {}, rest, value);
  const gone = next === undefined || (typeof next === "object" && Object.keys(next).length === 0);
  return gone ? others : { ...others, [field]: next };
}
