/** What a command says at its end, when it was given several objects. Source: calico calicoctl/commands (create.go, apply.go, …). */
import { CliError } from "./cli-error.ts";

export type Tally = {
  /** Past tense and infinitive, such as `created` and `create`. */
  readonly verb: { readonly past: string; readonly plain: string };
  readonly kinds: readonly string[];
  readonly handled: number;
  readonly skipped?: number;
  /** Why it stopped, if it did. */
  readonly error?: string;
};

/** The line to print on success; throws the CliError of a failure, with `print` having said what was done until then. */
export function conclude({ verb, kinds, handled, skipped = 0, error }: Tally, print: (line: string) => void): void {
  const total = kinds.length;
  const single = new Set(kinds).size === 1 ? `'${kinds[0]}' ` : "";
  if (total === 0) throw new CliError("No resources specified");
  if (error === undefined) {
    if (handled > 0 || skipped === 0) print(`Successfully ${verb.past} ${handled} ${single}resource(s)`);
    if (skipped > 0) print(`Skipped ${skipped} ${single}resource(s)`);
    return;
  }
  if (handled > 0) {
    print(`Partial success: ${verb.past} the first ${handled} out of ${total} ${single}resources:`);
    throw new CliError(`hit error: ${error}`);
  }
  if (total === 1) throw new CliError(`failed to ${verb.plain} ${single}resource: [${error}]`);
  throw new CliError(`failed to ${verb.plain} any ${single}resources: [${error}]`);
}
