/** `ipam show`: how full the pools are, or who holds one address. */
import { formatIp, parseIp } from "@calico/model";
import { renderBordered } from "../domain/bordered.ts";
import { CliError } from "../domain/cli-error.ts";
import { USAGE_ALIGN, USAGE_HEADINGS, usageRows } from "../domain/usage.ts";
import type { Owner } from "@calico/ipam";
import type { Context } from "../ports.ts";

export async function ipamShow(context: Context, options: { readonly ip?: string; readonly showBlocks?: boolean }): Promise<void> {
  const ipam = await context.ipam();
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
