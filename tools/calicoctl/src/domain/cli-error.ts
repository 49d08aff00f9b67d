/** Something that a person must see: `message` goes to standard error, the exit code is 1. */
export class CliError extends Error {
  override readonly name = "CliError";
}
