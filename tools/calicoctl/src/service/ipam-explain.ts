/** `ipam explain`: what an address is now, and how it came to that. */
import { escapeToken, type PastMessage } from "@calico/bus";
import { parseBlock, parseHandle, type Block } from "@calico/ipam";
import { cidrContains, formatCidr, formatIp, handleKey, parseCidr, parseIp, parseKey, prefixOf } from "@calico/model";
import type { Ip } from "@calico/model";
import { CliError } from "../domain/cli-error.ts";
import { blockMoments, cniMoments, gcMoments, holderText, suspectMoments, timeline } from "../domain/explain.ts";
import type { Context, NatsFlags } from "../ports.ts";
import { loadBalancers } from "./load-balancers.ts";

export type ExplainOptions = { readonly ip: string; readonly servers: readonly string[]; readonly flags: NatsFlags };

export async function ipamExplain(context: Context, options: ExplainOptions): Promise<void> {
  const parsed = parseIp(options.ip);
  if (!parsed.ok) throw new CliError(parsed.error);
  const ip = parsed.value;
  const { print } = context.io;
  const text = formatIp(ip);
  const block = await blockOf(context, ip);
  print(`IP ${text}`);
  for (const line of await nowLines(context, { ip, block })) print(`  ${line}`);
  print("");
  if (options.servers.length === 0) return print("History: not known; give --nats or NATS_URL for the event log");
  await using past = await context.past(options.servers, options.flags);
  const blocks = await past.read("log", "calico.v3.ipamblocks._.*");
  const versions = blocks.filter(({ subject }) => isBlockOf(subject, ip));
  const { moments, handles } = blockMoments(versions, ip);
  const cni = cniMoments(await past.read("node", "calico.cni.>"), { ip: text, handles });
  const gc = gcMoments(await past.read("ipam", `calico.ipam.gc.${escapeToken(text)}`));
  const suspect = suspectMoments(await past.read("ipam", `calico.ipam.suspect.${escapeToken(text)}`));
  const lines = timeline([...moments, ...suspect, ...gc, ...cni]);
  print(lines.length === 0 ? "History: the event log knows nothing of it" : "History, as far as the event log keeps it:");
  for (const line of lines) print(line);
}

/** A block of any size and of any time: pools come and go. */
function isBlockOf(subject: PastMessage["subject"], ip: Ip): boolean {
  const name = decodeURIComponent(subject.split(".").at(-1) ?? "");
  const cidr = parseCidr(name.replace("-", "/"));
  return cidr.ok && cidrContains(cidr.value, ip);
}

async function blockOf(context: Context, ip: Ip): Promise<Block | undefined> {
  for (const { key, value } of (await (await context.store()).list(prefixOf("IPAMBlock"))).items) {
    const cidr = parseCidr(parseKey(key)?.cidr ?? "");
    if (!cidr.ok || !cidrContains(cidr.value, ip)) continue;
    const block = parseBlock(value);
    if (!block.ok) throw new CliError(`cannot explain ${formatIp(ip)}: ${block.error}; run calicoctl ipam check`);
    return block.value;
  }
  return undefined;
}

async function nowLines(
  context: Context,
  { ip, block }: { readonly ip: Ip; readonly block: Block | undefined },
): Promise<readonly string[]> {
  const client = await context.client();
  const text = formatIp(ip);
  const pool = (await client.list("IPPool")).items.find(({ spec }) => {
    const cidr = parseCidr(spec.cidr);
    return cidr.ok && cidrContains(cidr.value, ip);
  });
  const lines = [
    pool === undefined ? "Pool: none" : `Pool: ${pool.metadata.name} (${pool.spec.cidr})${pool.spec.disabled ? ", disabled" : ""}`,
  ];
  lines.push(block === undefined ? "Block: none" : `Block: ${formatCidr(block.cidr)} of ${block.affinity ?? "nobody"}`);
  const owner = await (await context.ipam()).ownerOf(text);
  if (!owner.ok && owner.error.kind !== "notFound") throw new CliError(owner.error.message);
  if (!owner.ok) lines.push(`State: ${owner.error.message.includes("cooldown") ? "released, cooling down" : "free"}`);
  else
    lines.push(
      `State: assigned to ${holderText({ handle: owner.value.handle ?? "(none)", sequence: String(owner.value.sequence ?? "none"), attrs: owner.value.attrs, alternate: owner.value.alternate })}`,
    );
  if (owner.ok && owner.value.attrs["timestamp"] !== undefined) lines.push(`Assigned at: ${owner.value.attrs["timestamp"]}`);
  if (owner.ok && owner.value.handle !== undefined) lines.push(await handleLine(context, owner.value.handle));
  const users = (await client.list("WorkloadEndpoint")).items.filter(({ spec }) =>
    spec.ipNetworks?.some((net) => net.split("/")[0] === text),
  );
  for (const { metadata } of users)
    lines.push(
      `Evidence: workload endpoint ${metadata.namespace ?? ""}/${metadata.name} has it, revision ${metadata.resourceVersion ?? "?"}`,
    );
  for (const node of (await client.list("Node")).items)
    if (JSON.stringify(node.spec).includes(`"${text}"`)) lines.push(`Evidence: node ${node.metadata.name} has it as a tunnel's address`);
  if (owner.ok) lines.push(...(await serviceLines(context, owner.value.attrs)));
  if (owner.ok && users.length === 0 && owner.value.attrs["pod"] !== undefined)
    lines.push("Evidence: no workload endpoint has it; see calicoctl ipam check");
  return lines;
}

/** Of an address that a Service of type LoadBalancer holds: whether there is one. */
async function serviceLines(context: Context, { service, namespace }: Readonly<Record<string, string>>): Promise<readonly string[]> {
  if (service === undefined) return [];
  const name = `${namespace ?? ""}/${service}`;
  const isThere = (await loadBalancers(await context.store())).has(name);
  return [
    isThere
      ? `Evidence: service ${name} is of type LoadBalancer`
      : `Evidence: no service ${name} of type LoadBalancer is known; see calicoctl ipam check`,
  ];
}

async function handleLine(context: Context, id: string): Promise<string> {
  const kv = await (await context.store()).get(handleKey(id));
  const handle = kv === undefined ? undefined : parseHandle(kv.value);
  if (handle?.ok !== true) return `Handle: ${id} has no readable record; run calicoctl ipam check`;
  return `Handle: ${id} has ${[...handle.value].map(([cidr, count]) => `${count} of ${cidr}`).join(", ")}, revision ${kv?.modRevision ?? "?"}`;
}
