/**
 * testrun: every test of the repository, one after another: unit, e2e, shell checks. The last line is `N passed, N failed`.
 * Arguments: suites to run (unit, e2e, shell; default all), and after `--` path filters.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { closingLine, completeSuite, countOutcomes, exitCodeOf, parseOutcome, summaryLines, type Outcome } from "./outcome.ts";
import { runShellChecks } from "./shell-suite.ts";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../../..");
const CONFIGS: Readonly<Record<string, string>> = { unit: "vitest.config.ts", e2e: "vitest.e2e.config.ts" };
const SUITES = ["unit", "e2e", "shell"];

async function runVitest(suite: string, filters: readonly string[]): Promise<readonly Outcome[]> {
  const folder = mkdtempSync(join(tmpdir(), "calico-testrun-"));
  try {
    const report = join(folder, "report.jsonl");
    const args = [join(here, "vitest-suite.ts"), suite, CONFIGS[suite] ?? "", report, ...filters];
    const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
    const ended = await new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => resolve({ code, signal }));
    });
    const lines = existsSync(report) ? readFileSync(report, "utf8").split("\n") : [];
    return completeSuite(
      suite,
      lines.flatMap((line) => parseOutcome(line) ?? []),
      ended,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const words = process.argv.slice(2);
const split = words.includes("--") ? words.indexOf("--") : words.length;
const suites = split === 0 ? SUITES : words.slice(0, split);
const filters = words.slice(split + 1);
const unknown = suites.filter((s) => !SUITES.includes(s));
if (unknown.length > 0) throw new Error(`Unknown suite "${unknown.join(", ")}"; there are ${SUITES.join(", ")}`);

const outcomes: Outcome[] = [];
for (const suite of suites) {
  process.stdout.write(`\n== ${suite}\n`);
  outcomes.push(...(suite === "shell" ? await runShellChecks(root, filters) : await runVitest(suite, filters)));
}
const totals = countOutcomes(outcomes);
process.stdout.write(`\n${[...summaryLines(outcomes), closingLine(totals)].join("\n")}\n`);
process.exitCode = exitCodeOf(totals);
