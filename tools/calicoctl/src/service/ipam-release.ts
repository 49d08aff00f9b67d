/** `ipam release`: one address, or what reports of `ipam check` agree on. */
import { formatIp, handleKey, parseIp } from "@calico/model";
import { CliError } from "../domain/cli-error.ts";
import { leakedInAll, parseReport, reportProblem } from "../domain/ipam-report.ts";
import type { LeakedHandle, ReportAllocation } from "../domain/ipam-report.ts";
import { VERSION } from "../domain/version.ts";
import { mustOk } from "./write.ts";
import type { Context } from "../ports.ts";

export async function ipamRelease(
  context: Context,
  options: { readonly ip?: string; readonly reports: readonly string[]; readonly force: boolean },
): Promise<void> {
  if ((options.ip === undefined) === (options.reports.length === 0)) throw new CliError("give either --ip or --from-report");
  if (options.ip !== undefined) return await releaseOne(context, options.ip);
  const reports = [];
  for (const file of options.reports) reports.push(parseReport(file, await context.io.readText(file)));
  const client = await context.client();
  const info = mustOk(await client.get({ kind: "ClusterInformation", name: "default" }), "unable to retrieve the cluster information");
  const cluster = { guid: info.spec.clusterGUID ?? "", revision: info.metadata.resourceVersion ?? "", version: VERSION };
  const problem = reportProblem(reports, cluster, options.force);
  if (problem !== undefined) throw new CliError(problem);
  const leaked = leakedInAll(reports);
  await releaseAll(context, leaked.allocations);
  await releaseHandles(context, leaked.handles);
}

async function releaseOne(context: Context, text: string): Promise<void> {
  const ip = parseIp(text);
  if (!ip.ok) throw new CliError(ip.error);
  const outcome = await (await context.ipam()).releaseIps([{ ip: formatIp(ip.value) }]);
  if (!outcome.ok) throw new CliError(outcome.error.message);
  if (outcome.value.released.length === 0) throw new CliError(`IP address ${formatIp(ip.value)} is not assigned`);
  context.io.print(`Successfully released IP address ${formatIp(ip.value)}`);
}

/** With handle and sequence number of the report, so that what was given again since is left alone; handle by handle, so that one that changed stops no other. */
async function releaseAll({ io, ipam: open }: Context, allocations: readonly ReportAllocation[]): Promise<void> {
  const ipam = await open();
  io.print(`Releasing ${allocations.length} old IPs...`);
  let released = 0;
  for (const [, group] of Map.groupBy(allocations, (a) => a.handle || a.ip)) {
    const outcome = await ipam.releaseIps(
      group.map((a) => ({
        ip: a.ip,
        ...(a.handle === "" ? {} : { handle: a.handle }),
        ...(a.sequenceNumber === undefined ? {} : { sequence: a.sequenceNumber }),
      })),
    );
    if (outcome.ok) released += outcome.value.released.length;
    else io.print(`  ${group.map((a) => a.ip).join(", ")} left alone: ${outcome.error.message}`);
  }
  io.print(`Released ${released} IPs successfully`);
}

async function releaseHandles({ io, store: open }: Context, handles: readonly LeakedHandle[]): Promise<void> {
  const store = await open();
  const count = { released: 0, skipped: 0, errors: 0 };
  for (const { id, revision } of handles) {
    if (revision === undefined) {
      count.errors++;
      continue;
    }
    const gone = await store.delete(handleKey(id), Number(revision));
    if (gone.ok) count.released++;
    else count.skipped++;
  }
  io.print(`Released ${count.released} handles; ${count.skipped} skipped; ${count.errors} errors.`);
}
