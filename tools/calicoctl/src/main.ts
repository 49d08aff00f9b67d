/**
 * calicoctl: the operator's command line. Arguments → command (commands.ts) → datastore.
 * Anything that goes wrong is one message on standard error and exit code 1.
 */
import { makeContext } from "./adapter/context.ts";
import { makeNodeIo } from "./adapter/node-io.ts";
import { CommanderError } from "commander";
import { exitCodeOf, makeProgram } from "./commands.ts";

const io = makeNodeIo();
const program = makeProgram((flags) => makeContext(io, flags), {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
});
try {
  await program.parseAsync(process.argv);
} catch (error) {
  // Commander has said its own errors already.
  if (!(error instanceof CommanderError)) process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = exitCodeOf(error);
}
