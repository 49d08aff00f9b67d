/** `ipam check`: nothing is written but the report. */
import { heldBy, ownerOf, parseAffinity, parseBlock, parseHandle, type Block } from "@calico/ipam";
import type { KeyValue } from "@calico/datastore";
import { formatCidr, formatIp, IPAM_HANDLE_PREFIX, IPAM_PREFIX, nthIp, parseCidr, parseKey, prefixOf } from "@calico/model";
import type { Cidr } from "@calico/model";
import { findProblems, problemCount } from "../domain/ipam-check.ts";
import { renderReport } from "../domain/ipam-report.ts";
import type { Findings, Records } from "../domain/ipam-check.ts";
import type { ReportAllocation } from "../domain/ipam-report.ts";
import { VERSION } from "../domain/version.ts";
import { loadBalancers } from "./load-balancers.ts";
import { mustOk } from "./write.ts";
import type { Context } from "../ports.ts";

export type CheckOptions = {
  readonly showAllIps: boolean;
  readonly showProblemIps: boolean;
  readonly output?: string;
  readonly kubeconfig?: string;
};

export async function ipamCheck(context: Context, options: CheckOptions): Promise<void> {
  const { print } = context.io;
  const client = await context.client();
  const info = mustOk(await client.get({ kind: "ClusterInformation", name: "default" }), "unable to retrieve the cluster information");
  print("Checking IPAM for inconsistencies...\n");
  const { records, broken } = await load(context, options.kubeconfig);
  const found = findProblems(records);
  say(context, { records, found, options });
  if (broken.length > 0) print(`Found ${broken.length} blocks that cannot be read; nothing is given from them or released in them:`);
  for (const text of broken) print(`  ${text}`);
  print(`Check complete; found ${problemCount(found) + broken.length} problems.`);
  if (options.output === undefined) return;
  await context.io.writeText(
    options.output,
    renderReport({
      version: VERSION,
      clusterGUID: info.spec.clusterGUID ?? "",
      datastoreLocked: info.spec.datastoreReady === false,
      clusterInformationRevision: info.metadata.resourceVersion ?? "",
      clusterType: info.spec.clusterType ?? "",
      allocations: found.allocations,
      leakedHandles: [...found.leakedHandles],
    }),
  );
}

async function load(context: Context, kubeconfig: string | undefined): Promise<{ records: Records; broken: readonly string[] }> {
  const { print } = context.io;
  const store = await context.store();
  const client = await context.client();
  print("Loading all IPAM blocks...");
  // Blocks, handles and affinities as of one revision: an address that is given meanwhile is in all of them, or in none.
  const { items, revision } = await store.list(prefixOf("IPAMBlock"));
  const { blocks, unread, broken } = readBlocks(items);
  print(`Found ${blocks.length} IPAM blocks.`);
  for (const block of blocks) print(` IPAM block ${formatCidr(block.cidr)} affinity=${block.affinity ?? "<none>"}:`);
  print(`IPAM blocks record ${blocks.reduce((sum, b) => sum + b.allocations.length - b.unallocated.length, 0)} allocations.\n`);
  const handles = new Map(
    (await store.list(IPAM_HANDLE_PREFIX, { revision })).items.map(({ key, value, modRevision }) => {
      const handle = parseHandle(value);
      return [key.slice(IPAM_HANDLE_PREFIX.length), { handle: handle.ok ? handle.value : undefined, revision: modRevision }] as const;
    }),
  );
  const affinities = [];
  for (const type of ["host", "virtual"]) {
    for (const { key, value } of (await store.list(`${IPAM_PREFIX}${type}/`, { revision })).items) {
      const { cidr, host } = parseKey(key) ?? {};
      if (cidr !== undefined && host !== undefined) affinities.push({ claimant: `${type}:${host}`, cidr, state: parseAffinity(value) });
    }
  }
  print("Loading all IPAM pools...");
  const pools = (await client.list("IPPool")).items.flatMap(({ spec }): Cidr[] => {
    const cidr = parseCidr(spec.cidr);
    return cidr.ok && spec.disabled !== true ? [cidr.value] : [];
  });
  for (const pool of pools) print(`  ${formatCidr(pool)}`);
  print(`Found ${pools.length} active IP pools.\n`);
  return { records: { blocks, unread, handles, affinities, pools, users: await loadUsers(context, { kubeconfig, blocks }) }, broken };
}

/** A record says itself which block it is of; one that says another than its key counts as not parsed. */
function readBlocks(items: readonly KeyValue[]): Pick<Records, "blocks" | "unread"> & { readonly broken: readonly string[] } {
  const read = items.map(({ key, value }) => {
    const cidr = parseCidr(parseKey(key)?.cidr ?? "");
    const block = parseBlock(value);
    const isElsewhere = block.ok && cidr.ok && formatCidr(block.value.cidr) !== formatCidr(cidr.value);
    if (block.ok && !isElsewhere) return { block: block.value };
    return { cidr, broken: `${key}: ${block.ok ? `it says that it is block ${formatCidr(block.value.cidr)}` : block.error}` };
  });
  return {
    blocks: read.flatMap(({ block }) => block ?? []),
    unread: read.flatMap(({ cidr }) => (cidr?.ok ? [cidr.value] : [])),
    broken: read.flatMap(({ broken }) => broken ?? []),
  };
}

/** Address → what uses it: tunnels of nodes, workload endpoints, pods, services of load balancers. */
async function loadUsers(
  context: Context,
  o: { readonly kubeconfig: string | undefined; readonly blocks: readonly Block[] },
): Promise<Map<string, string[]>> {
  const { print } = context.io;
  const client = await context.client();
  const users = new Map<string, string[]>();
  const note = (ip: string | undefined, user: string) => {
    const address = ip?.split("/")[0];
    if (address) users.set(address, [...(users.get(address) ?? []), user]);
  };
  print("Loading all nodes.");
  for (const { metadata, spec } of (await client.list("Node")).items) {
    const tunnels = [spec.bgp?.ipv4IPIPTunnelAddr, spec.ipv4VXLANTunnelAddr, spec.ipv6VXLANTunnelAddr];
    for (const ip of [...tunnels, spec.wireguard?.interfaceIPv4Address, spec.wireguard?.interfaceIPv6Address])
      note(ip, `Node(${metadata.name})`);
  }
  print(`Found ${users.size} node tunnel IPs.\n`);
  print("Loading all workload endpoints.");
  const before = users.size;
  for (const { metadata, spec } of (await client.list("WorkloadEndpoint")).items)
    for (const net of spec.ipNetworks ?? []) note(net, `Workload(${metadata.namespace ?? ""}/${metadata.name})`);
  print(`Found ${users.size - before} workload IPs.`);
  if (o.kubeconfig !== undefined)
    for (const { name, ips } of await context.pods(o.kubeconfig)) for (const ip of ips) note(ip, `Pod(${name})`);
  const services = await loadBalancers(await context.store());
  for (const block of o.blocks)
    for (const [ip, service] of serviceAddresses(block)) if (services.has(service)) note(ip, `Service(${service})`);
  print(`Workloads and nodes are using ${users.size} IPs.\n`);
  return users;
}

/** Addresses that blocks hold for Services, with the Service's name. */
function serviceAddresses(block: Block): readonly [string, string][] {
  return block.allocations.flatMap((_, ordinal): [string, string][] => {
    const { service, namespace } = ownerOf(block, ordinal)?.secondary ?? {};
    return service === undefined ? [] : [[formatIp(nthIp(block.cidr, ordinal)), `${namespace ?? ""}/${service}`]];
  });
}

function say({ io: { print } }: Context, { records, found, options }: { records: Records; found: Findings; options: CheckOptions }): void {
  const list = (texts: readonly string[]) => options.showProblemIps && texts.forEach((text) => print(`  ${text}`));
  const all = Object.values(found.allocations).flat();
  const held = [...records.handles.values()].reduce(
    (sum, { handle }) => sum + (handle === undefined ? 0 : heldBy(handle, 4) + heldBy(handle, 6)),
    0,
  );
  print(`Handles record ${held} addresses.\n`);
  print("Scanning for IPs that are allocated but not actually in use...");
  if (options.showAllIps) for (const a of all) if (a.inUse) print(`  ${a.ip} in use by ${a.owners.join(", ")}`);
  const services = new Map(records.blocks.flatMap(serviceAddresses));
  list(found.leaked.map((a) => `${a.ip} leaked; ${about(a, services.get(a.ip))}`));
  print(`Found ${found.leaked.length} IPs that are allocated in IPAM but not actually in use.`);
  const cooling = all.filter((a) => a.coolingDown).length;
  if (cooling > 0) print(`Found ${cooling} IPs that were released and are cooling down.`);
  print("Scanning for IPs that are in use by a workload or node but not allocated in IPAM...");
  const inUse = (ip: string) => `${ip} in use by ${(records.users.get(ip) ?? []).join(", ")} and not allocated`;
  list([...found.notInPool, ...found.notAllocated].map(inUse));
  print(`Found ${found.notInPool.length} in-use IPs that are not in active IP pools.`);
  print(`Found ${found.notAllocated.length} in-use IPs that are in active IP pools but have no corresponding IPAM allocation.\n`);
  print("Scanning for IPAM handles with no matching IPs...");
  list(found.leakedHandles.map((h) => `handle ${h.id} has no IPs`));
  print(`Found ${found.leakedHandles.length} handles with no matching IPs (and ${found.matchingHandles} handles with matches).`);
  print("Scanning for IPs with missing handle...");
  list(found.badHandles);
  print(`Found ${found.badHandles.length} handles mentioned in blocks with no matching handle resource.`);
  print("Scanning for block affinities that do not agree with their blocks...");
  list(found.affinityProblems);
  print(`Found ${found.affinityProblems.length} inconsistent block affinities.`);
  if (found.overlaps.length > 0) print(`Found ${found.overlaps.length} blocks that overlap others:`);
  for (const text of found.overlaps) print(`  ${text}`);
}

function about(a: ReportAllocation, service: string | undefined): string {
  const attributes = [
    service === undefined ? "" : `service=${service}`,
    a.pod && `pod=${a.namespace}/${a.pod}`,
    a.node && `node=${a.node}`,
    a.type && `type=${a.type}`,
    a.creationTimestamp && `created=${a.creationTimestamp}`,
  ];
  return [`handle=${a.handle || "<none>"}`, ...attributes.filter((text) => text !== "")].join(" ");
}
