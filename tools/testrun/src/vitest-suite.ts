/**
 * One vitest suite in a process of its own: progress on stdout, one JSON line per test into the report file.
 * Arguments: suite name, vitest config, report file, then path filters.
 */
import { appendFileSync } from "node:fs";
import { relative } from "node:path";
import process from "node:process";
import { startVitest, type TestCase, type TestModule } from "vitest/node";
import type { Outcome } from "./outcome.ts";

const [suite = "", config = "", report = "", ...filters] = process.argv.slice(2);
const root = process.cwd();

function say(outcome: Outcome): void {
  appendFileSync(report, `${JSON.stringify(outcome)}\n`);
  if (outcome.state === "failed")
    process.stdout.write(`FAILED   ${outcome.suite} › ${outcome.file} › ${outcome.name}\n${indent(outcome.detail ?? "")}\n`);
}

const indent = (text: string) => text.replaceAll(/^/gm, "    ");
const textOf = (errors: readonly { readonly message?: string; readonly stack?: string; readonly diff?: string }[]) =>
  errors.map((e) => [e.stack ?? e.message ?? "unknown error", e.diff].filter((part) => part !== undefined).join("\n")).join("\n");

function outcomeOf(file: string, test: TestCase): Outcome {
  const result = test.result();
  const base = { suite, file, name: test.fullName };
  if (result.state === "passed") return { ...base, state: "passed" };
  if (result.state === "failed") return { ...base, state: "failed", detail: textOf(result.errors) };
  return { ...base, state: "skipped", ...(result.state === "skipped" && result.note !== undefined ? { detail: result.note } : {}) };
}

function moduleEnded(module: TestModule): void {
  const file = relative(root, module.moduleId);
  const outcomes = [...module.children.allTests()].map((test) => outcomeOf(file, test));
  const broken = [...module.errors(), ...[...module.children.allSuites()].flatMap((s) => [...s.errors()])];
  if (broken.length > 0) outcomes.push({ suite, file, name: "the file itself", state: "failed", detail: textOf(broken) });
  outcomes.forEach(say);
  const count = (state: Outcome["state"]) => outcomes.filter((o) => o.state === state).length;
  const parts = (["passed", "failed", "skipped"] as const).filter((s) => count(s) > 0).map((s) => `${count(s)} ${s}`);
  process.stdout.write(
    `${suite.padEnd(5)}  ${file}  ${parts.join(", ") || "no tests"}  ${(module.diagnostic().duration / 1000).toFixed(1)} s\n`,
  );
}

const vitest = await startVitest("test", filters, {
  config,
  watch: false,
  passWithNoTests: true,
  reporters: [
    {
      onTestModuleEnd: moduleEnded,
      onUserConsoleLog: ({ content }) => void process.stdout.write(`${indent(content.trimEnd())}\n`),
      onTestRunEnd: (_modules, unhandled) => {
        for (const error of unhandled) say({ suite, file: "", name: "unhandled error", state: "failed", detail: textOf([error]) });
      },
    },
  ],
});
await vitest.close();
