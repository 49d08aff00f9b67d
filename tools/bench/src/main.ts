/** Benchmarks: one suite a call; a table for people, one JSON object for programs. */
import process from "node:process";
import { untilSignal } from "@calico/daemon";
import Table from "cli-table3";
import { Argument, Command } from "commander";
import type { Row, Suite } from "./row.ts";
import { bus } from "./suites/bus.ts";
import { cni } from "./suites/cni.ts";
import { demo } from "./suites/demo.ts";
import { ipam } from "./suites/ipam.ts";
import { replay } from "./suites/replay.ts";

const suites: Readonly<Record<string, Suite>> = { bus, cni, demo, ipam, replay };
const listed = Object.entries(suites).map(([name, { description }]) => `  ${name.padEnd(8)} ${description}`);

await new Command("bench")
  .description(`measure, beside a peer where there is one\n\nsuites:\n${listed.join("\n")}`)
  .addArgument(new Argument("<suite>").choices(Object.keys(suites)))
  .option("--quick", "few repetitions: shows that the suite works, not figures to quote", false)
  .option("--json", "one JSON object {suite, rows} on stdout", false)
  .action(async (name: string, o: { quick: boolean; json: boolean }) => {
    const signal = untilSignal("SIGINT", "SIGTERM");
    const print = console.log;
    console.log = console.error; // stdout is for the result alone
    const rows = await suites[name]?.run({
      quick: o.quick,
      signal,
      progress: (text) => process.stderr.isTTY && process.stderr.write(`\r\u001b[K${text}`),
    });
    console.log = print;
    console.log(o.json ? JSON.stringify({ suite: name, rows }) : renderTable(rows ?? []));
    process.exit(rows?.some(({ ok }) => ok === false) ? 1 : 0);
  })
  .parseAsync()
  .catch((error: unknown) => {
    console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  });

function renderTable(rows: readonly Row[]): string {
  const table = new Table({ head: ["", "figure", "value", "unit", "peer", "ratio", "goal"] });
  const text = (v: number | string | null) => (v === null ? "" : String(v));
  for (const r of rows)
    table.push([r.ok === null ? "" : r.ok ? "✔" : "✘", r.name, text(r.value), r.unit, text(r.peer), text(r.ratio), text(r.goal)]);
  return table.toString();
}
