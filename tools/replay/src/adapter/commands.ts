/** The command line: options → history → answer. */
import { ALL_KINDS } from "@calico/model";
import { Command, Option } from "commander";
import { boundHistory } from "../domain/bounds.ts";
import { formatChanges, formatPaths } from "../domain/field-diff.ts";
import type { History } from "../domain/history.ts";
import { limitsAt, limitsSince, wantedBy, type Wanted } from "../domain/limits.ts";
import { formatPoint, formatTime, isAfter, type Point, upTo } from "../domain/point.ts";
import { fold } from "../domain/fold.ts";
import { type Entry, timeline } from "../domain/timeline.ts";
import { API_KINDS, objectsToApply } from "../service/objects.ts";
import { COMPONENTS, type Component, printRendered, render } from "../service/render.ts";
import { readArchive, writeArchive } from "./archive-file.ts";
import { cidrs, families, type FilterOptions, kindOption, pointOption, type SourceOptions, withSource } from "./command-options.ts";
import { describeDiff, type DiffFormat, printDiff } from "./diff-output.ts";
import { readLog } from "./log.ts";
import { makeOutput, type Output, printData, printTable, printYaml } from "./output.ts";

export const DIFFERENT = 1;
export const FAILED = 2;

/** Something that a person can put right, or has to know. */
export class ReplayError extends Error {
  override readonly name = "ReplayError";
}

type Exit = (code: number) => void;

export function makeProgram(exit: Exit, output: Output = makeOutput()): Command {
  const program = new Command("calico-replay")
    .description(
      "What happened, and what it made the agents do: the event log read back.\nTimes are UTC. Exit codes: 0 done, 1 different (diff --exit-code), 2 failed.",
    )
    .enablePositionalOptions()
    .showHelpAfterError("(--help tells more)")
    .exitOverride();
  for (const add of [addTimeline, addState, addDiff, addExport, addImport, addRender]) add(program, output, exit);
  return program;
}

async function openSource(o: SourceOptions, { progress }: Output): Promise<History> {
  if (o.archive !== undefined) return (await readArchive(o.archive)).history;
  const isGuarded = [o.natsCa, o.natsCert, o.natsKey, o.natsCreds, o.natsUser].some((given) => given !== undefined);
  return readLog({ servers: o.nats, timeoutMs: o.timeout * 1000, progress, ...(isGuarded ? { access: { ...o, node: o.natsName } } : {}) });
}

/** Refuse an answer that would lack something, unless a part is good enough. */
function checkLimits(
  history: History,
  point: Point,
  o: { readonly wanted: Wanted; readonly partial: boolean; readonly output: Output },
): void {
  const { kinds } = history.archived ?? {};
  const absent = (o.wanted.kinds ?? []).filter((kind) => kinds !== undefined && !kinds.includes(kind));
  const limits = limitsAt(history, point, wantedBy(o.wanted));
  const missing = [...(absent.length === 0 ? [] : [`the archive has no ${absent.join(", ")}`]), ...limits.missing];
  if (point.by === "time" && history.archived === undefined && point.atMs > Date.now())
    o.output.note(`${formatPoint(point)} is yet to come: what there is now is shown`);
  if (limits.beyond !== undefined) throw new ReplayError(limits.beyond);
  for (const note of limits.notes) o.output.note(note);
  if (missing.length === 0) return;
  if (!o.partial) throw new ReplayError(`${missing.join("\n")}\n(--partial answers without them)`);
  for (const text of missing) o.output.note(text);
}

const partialOption = () => new Option("--partial", "answer also where the history is missing something, and say what").default(false);
const wantedOf = ({ kind, name, namespace }: FilterOptions): Wanted => ({
  ...(kind === undefined ? {} : { kinds: kind }),
  ...(name === undefined ? {} : { name }),
  ...(namespace === undefined ? {} : { namespace }),
});

function addTimeline(program: Command, output: Output): void {
  withSource(program.command("timeline"))
    .description("who changed what, when: one line a change, oldest first")
    .addOption(kindOption())
    .option("--name <name>", "only objects of this name")
    .option("-n, --namespace <namespace>", "only objects of this namespace")
    .addOption(pointOption("--since <point>", "from here on"))
    .addOption(pointOption("--until <point>", "up to here"))
    .addOption(
      new Option("-o, --output <format>", "format; wide has the values of fields")
        .choices(["table", "wide", "json", "yaml"])
        .default("table"),
    )
    .action(async (o: SourceOptions & FilterOptions & { since?: Point; until?: Point; output: TableFormat }) => {
      const history = await openSource(o, output);
      const wants = wantedBy(wantedOf(o));
      for (const limit of limitsSince(history, o.since, wants)) output.note(limit);
      const range = { ...(o.since && { since: o.since }), ...(o.until && { until: o.until }) };
      const entries = timeline(history, range, (record) => wants(record.ref));
      const isTable = o.output === "table" || o.output === "wide";
      if (isTable && entries.length === 0) return output.note("no such changes");
      const fields = o.output === "wide" ? formatChanges : formatPaths;
      await output.result(
        isTable ? timelineTable(entries, { fields, color: output.color }) : printData(entries, o.output as "json" | "yaml"),
      );
    });
}

type TableFormat = "table" | "wide" | "json" | "yaml";

function timelineTable(
  entries: readonly Entry[],
  { fields, color }: { readonly fields: (changes: Entry["fields"]) => string; readonly color: boolean },
): string {
  const rows = entries.map((e) => [`${e.time}${e.late ? "*" : ""}`, String(e.revision), e.change, e.object, e.author, fields(e.fields)]);
  const late = entries.some((e) => e.late) ? "* recorded then; it happened before\n" : "";
  return printTable(["TIME", "REVISION", "CHANGE", "OBJECT", "BY", "FIELDS"], rows, color) + late;
}

function addState(program: Command, output: Output): void {
  withSource(program.command("state"))
    .description("all objects as of a moment, for `calicoctl apply -f -`")
    .addOption(pointOption("--at <point>", "the moment").default({ by: "newest" }, "now"))
    .addOption(kindOption())
    .option("--name <name>", "only objects of this name")
    .option("-n, --namespace <namespace>", "only objects of this namespace")
    .addOption(partialOption())
    .addOption(new Option("-o, --output <format>", "format").choices(["yaml", "json"]).default("yaml"))
    .action(async (o: SourceOptions & FilterOptions & { at: Point; partial: boolean; output: "yaml" | "json" }) => {
      const history = await openSource(o, output);
      const carried = history.archived?.kinds;
      const kinds = o.kind ?? API_KINDS.filter((kind) => carried?.includes(kind) ?? true);
      checkLimits(history, o.at, { wanted: { ...wantedOf(o), kinds }, partial: o.partial, output });
      const wants = (id: string) => {
        const [, namespace, name] = id.split("/");
        return (o.name === undefined || o.name === name) && (o.namespace === undefined || o.namespace === namespace);
      };
      const { objects, leftOut } = await objectsToApply(fold(upTo(history, o.at)), kinds, wants);
      if (objects.length === 0 && leftOut.length === 0) output.note(`no such objects ${when(o.at)}`);
      const comments = leftOut.map((why) => `# left out: ${why.replaceAll("\n", " ")}\n`).join("");
      if (o.output === "yaml") return output.result(comments + objects.map((object) => `---\n${printYaml(object)}`).join(""));
      for (const why of leftOut) output.note(`left out: ${why}`);
      return output.result(printData(objects, "json"));
    });
}

function addDiff(program: Command, output: Output, exit: Exit): void {
  withSource(program.command("diff"))
    .description("what is different between two moments")
    .addOption(pointOption("--from <point>", "the earlier one").makeOptionMandatory())
    .addOption(pointOption("--to <point>", "the later one").default({ by: "newest" }, "now"))
    .addOption(kindOption())
    .option("--name <name>", "only objects of this name")
    .option("-n, --namespace <namespace>", "only objects of this namespace")
    .option("--exit-code", "exit 1 if there is a difference", false)
    .addOption(partialOption())
    .addOption(new Option("-o, --output <format>", "format").choices(["table", "wide", "diff", "json", "yaml"]).default("table"))
    .action(
      async (o: SourceOptions & FilterOptions & { from: Point; to: Point; exitCode: boolean; partial: boolean; output: DiffFormat }) => {
        const history = await openSource(o, output);
        const wanted = wantedOf(o);
        for (const at of [o.from, o.to]) checkLimits(history, at, { wanted, partial: o.partial, output });
        const wants = wantedBy(wanted);
        if (isAfter(o.from, o.to)) output.note("--from is after --to: what was done since --to is shown undone");
        const changes = describeDiff(fold(upTo(history, o.from)), fold(upTo(history, o.to)), (record) => wants(record.ref));
        if (changes.length === 0) output.note("no difference");
        await output.result(printDiff(changes, o.output, output.color));
        if (o.exitCode && changes.length > 0) exit(DIFFERENT);
      },
    );
}

function addExport(program: Command, output: Output): void {
  withSource(program.command("export"))
    .description("write the log, or a part of it, into one file for a bug report; secrets are taken out")
    .argument("<file>", "gzip of JSON lines")
    .addOption(pointOption("--since <point>", "the state here, then what followed"))
    .addOption(pointOption("--until <point>", "up to here"))
    .addOption(kindOption())
    .action(async (file: string, o: SourceOptions & FilterOptions & { since?: Point; until?: Point }) => {
      const whole = await openSource(o, output);
      const { since, until, kind: kinds } = o;
      for (const limit of limitsSince(whole, since, wantedBy(wantedOf(o)))) output.note(limit);
      const bounds = { ...(since && { since }), ...(until && { until }), ...(kinds && { kinds }) };
      const now = Date.now();
      const history = boundHistory(whole, bounds, now);
      await writeArchive(file, history, { nowMs: now });
      output.note(`${history.records.length} changes, revisions ${history.begin?.revision} to ${history.end.revision}, written to ${file}`);
    });
}

function addImport(program: Command, output: Output): void {
  program
    .command("import")
    .description("check an archive and tell what is in it; the other commands read it by --archive")
    .argument("<file>")
    .addOption(new Option("-o, --output <format>", "format").choices(["yaml", "json"]).default("yaml"))
    .action(async (file: string, o: { output: "yaml" | "json" }) => {
      const { header, history } = await readArchive(file, { everyValue: true });
      const counts = ALL_KINDS.map((kind) => [kind, history.records.filter((r) => r.ref.ref.kind === kind).length] as const).filter(
        ([, n]) => n > 0,
      );
      const place = ({ revision, atMs }: { revision: number; atMs: number }) => ({ revision, time: formatTime(atMs) });
      const limits = limitsSince(history, undefined, () => true);
      const { format, version, cluster, created, count } = header;
      await output.result(
        printData(
          {
            format,
            version,
            cluster,
            created,
            from: place(header.begin),
            to: place(header.end),
            count,
            changes: Object.fromEntries(counts),
            limits,
          },
          o.output,
        ),
      );
    });
}

const componentOption = () => new Option("--component <name>", "whose program").choices([...COMPONENTS, "all"]).default("all");

type RenderOptions = SourceOptions & {
  readonly node: string;
  readonly at: Point;
  readonly component: Component | "all";
  readonly families: readonly (4 | 6)[];
  readonly natFamilies: readonly (4 | 6)[];
  readonly clusterCidr: ReturnType<typeof cidrs>;
  readonly device?: string;
  readonly partial: boolean;
  readonly output: "text" | "json" | "yaml";
};

const when = (point: Point): string => (point.by === "newest" ? "now" : `at ${formatPoint(point)}`);

/** A program for a node that is not there is most often one for a name mistyped. */
function checkNode(history: History, o: RenderOptions): void {
  const carried = history.archived?.kinds?.includes("Node") ?? true;
  const nodes = [...fold(upTo(history, o.at)).values()].flatMap(({ ref }) => (ref.ref.kind === "Node" ? [ref.ref.name] : []));
  if (!carried || o.partial || nodes.includes(o.node)) return;
  const known =
    nodes.length === 0 ? "there was none" : `those are ${nodes.toSorted().slice(0, 20).join(", ")}${nodes.length > 20 ? ", …" : ""}`;
  throw new ReplayError(`there is no node "${o.node}" ${when(o.at)}: ${known}\n(--partial answers all the same)`);
}

function addRender(program: Command, output: Output): void {
  withSource(program.command("render"))
    .description("the exact programs that the agents of a node would hand to its kernel")
    .requiredOption("--node <name>", "the node")
    .addOption(pointOption("--at <point>", "as of").default({ by: "newest" }, "now"))
    .addOption(componentOption())
    .addOption(new Option("--families <list>", "felix: 4, 6 or 4,6").argParser(families).default([4, 6], "4,6"))
    .addOption(new Option("--nat-families <list>", "proxy-nat: its --ip-families").argParser(families).default([4], "4"))
    .addOption(new Option("--cluster-cidr <cidrs>", "proxy-nat: its --cluster-cidr").argParser(cidrs).default([], "none"))
    .option("--device <name>", "bgp: the device of the node's own subnet, which the log does not know")
    .addOption(partialOption())
    .addOption(new Option("-o, --output <format>", "format").choices(["text", "json", "yaml"]).default("text"))
    .action(async (o: RenderOptions) => {
      const history = await openSource(o, output);
      checkLimits(history, o.at, { wanted: {}, partial: o.partial, output });
      checkNode(history, o);
      const components = o.component === "all" ? COMPONENTS : [o.component];
      const { device, natFamilies, clusterCidr: clusterCidrs } = o;
      const settings = { families: o.families, natFamilies, clusterCidrs, ...(device === undefined ? {} : { device }) };
      const rendered = render(upTo(history, o.at), o.node, { ...settings, components });
      await output.result(o.output === "text" ? printRendered(rendered) : printData(rendered, o.output));
    });
}
