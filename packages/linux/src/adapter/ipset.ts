/** ipset by its own program. */
import { err, ok } from "@calico/model";
import { parseIpsetSave } from "../domain/ipset-save.ts";
import { readRefusedLine } from "../domain/restore-error.ts";
import type { Ipset, IpsetError } from "../ports.ts";
import { explainFailure, run, runOrThrow } from "./run.ts";
import type { RunResult } from "./run.ts";

export function openIpset(options: { readonly netnsPath?: string } = {}): Ipset {
  return {
    async restore(script) {
      const done = await run(["ipset", "restore", "-exist"], { ...options, stdin: script });
      return done.code === 0 ? ok(undefined) : err(restoreError(script, done));
    },
    async list(name) {
      const done = await run(["ipset", "save", ...(name === undefined ? [] : [name])], options);
      if (done.code === 0) return parseIpsetSave(done.stdout);
      if (name !== undefined && /does not exist/.test(done.stderr)) return [];
      throw new Error(`Cannot list IP sets: ${explainFailure(done)}`);
    },
    async names() {
      const text = await runOrThrow(["ipset", "list", "-name"], options);
      return text.split("\n").filter((line) => line !== "");
    },
  };
}

function restoreError(script: string, done: RunResult): IpsetError {
  if (done.failure === "timedOut" || done.failure === "notInstalled") {
    return { kind: done.failure, message: `Cannot apply IP sets: ${explainFailure(done)}` };
  }
  const refused = readRefusedLine(done.stderr, script);
  const where = refused ? ` at line ${refused.line} (${refused.text})` : "";
  return { kind: "refused", ...refused, message: `Cannot apply IP sets${where}: ${explainFailure(done)}` };
}
