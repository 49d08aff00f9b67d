/** calico-replay: the event log, or an archive of it, read back. Arguments → adapter/commands.ts → domain. */
import process from "node:process";
import { CommanderError } from "commander";
import { FAILED, makeProgram } from "./adapter/commands.ts";

try {
  await makeProgram((code) => (process.exitCode = code)).parseAsync(process.argv);
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : FAILED;
  else {
    process.stderr.write(`calico-replay: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = FAILED;
  }
}
