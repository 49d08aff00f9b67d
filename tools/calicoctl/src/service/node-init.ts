/**
 * `node init`: what a node needs in the datastore before its daemons run. Running it again changes nothing.
 *
 * Source: calico node/pkg/lifecycle/startup (node resource, default pools, cluster information, nodename file).
 */
import { API_VERSION, formatIp, parseInterfaceAddress } from "@calico/model";
import { CliError } from "../domain/cli-error.ts";
import { VERSION } from "../domain/version.ts";
import { mustOk } from "./write.ts";
import type { ResourceClient } from "@calico/datastore";
import type { Node } from "@calico/model";
import type { Context } from "../ports.ts";

export type NodeInitOptions = {
  readonly name: string;
  /** The BGP address, with the length of its subnet. */
  readonly ip: string;
  readonly as?: string;
  readonly pool?: string;
  readonly blockSize?: number;
  readonly ipip?: string;
  readonly vxlan?: string;
  readonly natOutgoing?: boolean;
  readonly varDir: string;
};

const DEFAULT_POOL = "default-ipv4-ippool";

export async function nodeInit(context: Context, options: NodeInitOptions): Promise<void> {
  // A node of a newer version is how the cluster's version changes.
  const client = await context.client({ anyVersion: true });
  await client.ensureInitialized({ clusterType: "k8s,bgp", calicoVersion: VERSION });
  await refuseTakenAddress(client, options);
  await writeNode(client, options);
  const pool = await writePool(client, options);
  await writeFelixDefaults(client);
  await context.io.writeText(`${options.varDir}/nodename`, options.name);
  context.io.print(`Node ${options.name} has BGP address ${options.ip}; ${pool}; wrote ${options.varDir}/nodename`);
}

function bgpIp(address: string): string | undefined {
  const parsed = parseInterfaceAddress(address);
  return parsed.ok ? formatIp(parsed.value.ip) : undefined;
}

/** Two nodes with one address would take each other's routes. */
async function refuseTakenAddress(client: ResourceClient, { name, ip }: NodeInitOptions): Promise<void> {
  const own = bgpIp(ip);
  if (own === undefined || own.includes(":"))
    throw new CliError(`--ip "${ip}" is not an IPv4 address with the length of its subnet; expected for example 192.168.81.101/24`);
  const { items } = await client.list("Node");
  const other = items.find(
    (node) => node.metadata.name !== name && node.spec.bgp?.ipv4Address !== undefined && bgpIp(node.spec.bgp.ipv4Address) === own,
  );
  if (other !== undefined)
    throw new CliError(`node ${other.metadata.name} already has the BGP address ${own}: give this node another --ip, or delete that node`);
}

async function writeNode(client: ResourceClient, { name, ip, as }: NodeInitOptions): Promise<void> {
  const there = await client.get({ kind: "Node", name });
  if (!there.ok && there.error.kind !== "doesNotExist") mustOk(there, `cannot read node ${name}`);
  const old = there.ok ? there.value : undefined;
  const spec = {
    ...old?.spec,
    bgp: { ...old?.spec.bgp, ipv4Address: ip, ...(as === undefined ? {} : { asNumber: as }) },
    orchRefs: orchRefsOf(old, name),
  };
  const { resourceVersion: _, ...metadata } = old?.metadata ?? { name };
  mustOk(await client.apply({ kind: "Node", apiVersion: API_VERSION, metadata, spec }), `cannot write node ${name}`);
}

function orchRefsOf(old: Node | undefined, name: string): Node["spec"]["orchRefs"] {
  const refs = old?.spec.orchRefs ?? [];
  return refs.some((ref) => ref.orchestrator === "k8s") ? refs : [...refs, { nodeName: name, orchestrator: "k8s" }];
}

async function writePool(client: ResourceClient, o: NodeInitOptions): Promise<string> {
  const { items } = await client.list("IPPool");
  if (items.length > 0) return `${items.length} IP pool(s) exist, none made`;
  if (o.pool === undefined) return "no IP pool exists and --pool was not given";
  const spec = {
    cidr: o.pool,
    natOutgoing: o.natOutgoing ?? false,
    ...(o.blockSize === undefined ? {} : { blockSize: o.blockSize }),
    ...(o.ipip === undefined ? {} : { ipipMode: o.ipip }),
    ...(o.vxlan === undefined ? {} : { vxlanMode: o.vxlan }),
  };
  const made = await client.create({ kind: "IPPool", apiVersion: API_VERSION, metadata: { name: DEFAULT_POOL }, spec });
  if (!made.ok && made.error.kind === "alreadyExists") return `IP pool ${DEFAULT_POOL} exists`;
  mustOk(made, `cannot make IP pool ${DEFAULT_POOL}`);
  return `made IP pool ${DEFAULT_POOL} ${o.pool}`;
}

async function writeFelixDefaults(client: ResourceClient): Promise<void> {
  const made = await client.create({
    kind: "FelixConfiguration",
    apiVersion: API_VERSION,
    metadata: { name: "default" },
    spec: { logSeverityScreen: "Info" },
  });
  if (!made.ok && made.error.kind !== "alreadyExists") mustOk(made, "cannot write FelixConfiguration default");
}
