/** `ipam show`: how full the pools are, or who holds one address. */
import { formatCidr, formatIp, nthIp, parseIp, prefixOf } from "@calico/model";
import { renderBordered } from "../domain/bordered.ts";
import { CliError } from "../domain/cli-error.ts";
import { USAGE_ALIGN, USAGE_HEADINGS, usageRows } from "../domain/usage.ts";
import { ownerOf as holderOf, parseBlock, parseClaimant, type Block, type IpamConfig, type Owner } from "@calico/ipam";
import type { Context } from "../ports.ts";

export type ShowOptions = {
  readonly ip?: string;
  readonly showBlocks?: boolean;
  readonly showBorrowed?: boolean;
  readonly showConfiguration?: boolean;
};

export async function ipamShow(context: Context, options: ShowOptions): Promise<void> {
  if (options.showBorrowed) return await showBorrowed(context);
  const ipam = await context.ipam();
  if (options.showConfiguration) {
    const config = await ipam.config();
    if (!config.ok) throw new CliError(config.error.message);
    context.io.print(renderBordered(["PROPERTY", "VALUE"], configRows(config.value)));
    return;
  }
  if (options.ip === undefined) {
    const rows = usageRows(await ipam.utilization(), options.showBlocks ?? false);
    context.io.print(renderBordered(USAGE_HEADINGS, rows, USAGE_ALIGN));
    return;
  }
  const ip = parseIp(options.ip);
  if (!ip.ok) throw new CliError(ip.error);
  const text = formatIp(ip.value);
  const owner = await ipam.ownerOf(text);
  if (owner.ok) context.io.print(ownerText(text, owner.value));
  else if (owner.error.kind === "notFound" || owner.error.kind === "noPool") context.io.print(`${text} is not assigned`);
  else throw new CliError(owner.error.message);
}

/** One row per field, in the order and with the names of Calico's struct. */
function configRows(c: IpamConfig): string[][] {
  return [
    ["StrictAffinity", String(c.strictAffinity)],
    ["AutoAllocateBlocks", String(c.autoAllocateBlocks)],
    ["MaxBlocksPerHost", String(c.maxBlocksPerHost)],
    ["KubeVirtVMAddressPersistence", JSON.stringify(c.kubeVirtPersistence)],
    ["IPCooldownSeconds", String(c.cooldownSec)],
  ];
}

const BORROWED_HEADINGS = ["IP", "BORROWING-NODE", "BLOCK", "BLOCK OWNER", "TYPE", "ALLOCATED-TO"];

async function showBorrowed(context: Context): Promise<void> {
  const { items } = await (await context.store()).list(prefixOf("IPAMBlock"));
  const rows = items.flatMap(({ key, value }) => {
    const block = parseBlock(value);
    if (!block.ok) throw new CliError(`cannot read ${key}: ${block.error}`);
    return borrowedRows(block.value);
  });
  context.io.print(renderBordered(BORROWED_HEADINGS, rows));
}

function borrowedRows(block: Block): string[][] {
  const { type, name } = parseClaimant(block.affinity) ?? {};
  if (type === "virtual") return [];
  return block.allocations.flatMap((_, ordinal) => {
    const owner = holderOf(block, ordinal);
    const { node, pod, namespace, type: kind } = owner?.secondary ?? {};
    if (owner === undefined || node === undefined || node === name) return [];
    const to = pod === undefined ? (owner.handleId ?? "") : `${namespace ?? ""}/${pod}`;
    return [[formatIp(nthIp(block.cidr, ordinal)), node, formatCidr(block.cidr), name ?? "", kind ?? (pod === undefined ? "" : "pod"), to]];
  });
}

function ownerText(ip: string, { handle, attrs, alternate }: Owner): string {
  const lines = [`IP ${ip} is in use`, `Handle ID: ${handle ?? "<none>"}`];
  lines.push(
    ...(Object.keys(attrs).length === 0 ? ["No Active Owner attributes defined"] : ["Active Owner Attributes:", ...attributeLines(attrs)]),
  );
  if (Object.keys(alternate).length > 0) lines.push("Alternate Owner Attributes:", ...attributeLines(alternate));
  return lines.join("\n");
}

function attributeLines(attributes: Readonly<Record<string, string>>): string[] {
  return Object.keys(attributes)
    .sort()
    .map((key) => `  ${key}: ${attributes[key]}`);
}
