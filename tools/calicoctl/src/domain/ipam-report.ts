/** The report of `ipam check`. Source: calico calicoctl/commands/ipam/check.go; facts §8.3.5. */
import { z } from "zod";
import { parseExact, renderExact } from "./exact-json.ts";
import { CliError } from "./cli-error.ts";

const optional = z.string().default("");
const allocationSchema = z.object({
  ip: z.string(),
  handle: optional,
  sequenceNumber: z.bigint().optional(),
  pod: optional,
  namespace: optional,
  node: optional,
  type: optional,
  creationTimestamp: optional,
  inUse: z.boolean(),
  borrowed: z.boolean().default(false),
  coolingDown: z.boolean().default(false),
  owners: z
    .array(z.string())
    .nullish()
    .transform((list) => list ?? []),
});

const reportSchema = z.object({
  version: optional,
  clusterGUID: optional,
  datastoreLocked: z.boolean(),
  clusterInformationRevision: optional,
  clusterType: optional,
  allocations: z.record(z.string(), z.array(allocationSchema)),
  leakedHandles: z
    .array(z.object({ id: z.string(), revision: z.string().optional() }))
    .nullish()
    .transform((list) => list ?? []),
});

export type ReportAllocation = Readonly<z.output<typeof allocationSchema>>;
export type Report = Readonly<z.output<typeof reportSchema>>;
export type LeakedHandle = Report["leakedHandles"][number];

export function renderReport(report: Report): string {
  return `${renderExact(report)}\n`;
}

export function parseReport(file: string, text: string): Report {
  let json: unknown;
  try {
    json = parseExact(text, new Set(["sequenceNumber"]));
  } catch (cause) {
    throw new CliError(`cannot read report ${file}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  const parsed = reportSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new CliError(`cannot read report ${file}: it is none of ipam check's: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}`);
}

export type Cluster = { readonly guid: string; readonly revision: string; readonly version: string };

/** Why the reports may not be acted on; undefined if they may. Source: facts §4.9.2. */
export function reportProblem(reports: readonly Report[], cluster: Cluster, force: boolean): string | undefined {
  if (reports.some((r) => r.clusterGUID !== cluster.guid))
    return "the report is of another cluster: its clusterGUID is not this cluster's. Run calicoctl ipam check -o FILE here";
  if (!force && reports.some((r) => r.version !== cluster.version))
    return `the report was made by another version of calicoctl than ${cluster.version}; make it again, or use --force`;
  if (!force && reports.some((r) => !r.datastoreLocked))
    return "the datastore was not locked when the report was made, so that addresses may have been given since. Run calicoctl datastore migrate lock before ipam check, or use --force";
  if (reports.every((r) => r.clusterInformationRevision !== cluster.revision))
    return "no report is recent: the cluster information has changed since. Run calicoctl ipam check -o FILE again and give that report too";
  return undefined;
}

/** The allocations that every report calls leaked, and the handles likewise. */
export function leakedInAll(reports: readonly Report[]): {
  readonly allocations: readonly ReportAllocation[];
  readonly handles: readonly LeakedHandle[];
} {
  const [first, ...others] = reports;
  if (first === undefined) return { allocations: [], handles: [] };
  const leaked = (r: Report) =>
    Object.values(r.allocations)
      .flat()
      .filter((a) => !a.inUse && !a.coolingDown);
  const idOf = (a: ReportAllocation) => `${a.ip} ${a.handle} ${a.sequenceNumber ?? ""}`;
  const inAll = others.map((r) => new Set(leaked(r).map(idOf)));
  const handlesInAll = others.map((r) => new Set(r.leakedHandles.map((h) => h.id)));
  return {
    allocations: leaked(first).filter((a) => inAll.every((ids) => ids.has(idOf(a)))),
    handles: first.leakedHandles.filter((h) => handlesInAll.every((ids) => ids.has(h.id))),
  };
}
