import { spawn } from "node:child_process";
import { globSync } from "node:fs";
import process from "node:process";
import type { Outcome } from "./outcome.ts";

/** Exit code by which a check says that it cannot run here; the last line that it printed is the reason. */
const SKIPPED = 77;

/** Run every `*.check.sh` of the packages and tools. Exit code 0 passes, 77 skips, everything else fails. */
export async function runShellChecks(root: string, filters: readonly string[]): Promise<readonly Outcome[]> {
  const files = globSync("{packages,tools}/*/{test,src}/**/*.check.sh", { cwd: root }).filter(
    (f) => filters.length === 0 || filters.some((x) => f.includes(x)),
  );
  const outcomes: Outcome[] = [];
  for (const file of files.toSorted()) {
    const { code, output } = await runScript(root, file);
    const base = { suite: "shell", file, name: "" };
    const lastLine = output.trim().split("\n").at(-1) ?? "";
    if (code === 0) outcomes.push({ ...base, state: "passed" });
    else if (code === SKIPPED) outcomes.push({ ...base, state: "skipped", detail: lastLine });
    else outcomes.push({ ...base, state: "failed", detail: output });
    const state = outcomes.at(-1)?.state ?? "";
    process.stdout.write(`shell  ${file}  ${state}\n${state === "failed" ? output.replaceAll(/^/gm, "    ") : ""}`);
  }
  return outcomes;
}

function runScript(root: string, file: string): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn("bash", [file], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code: code ?? 1, output: signal === null ? output : `${output}\nended by ${signal}\n` }));
  });
}
