/** `validate -f FILE`: everything that apply checks before it connects to the datastore. */
import { conclude } from "../domain/outcome.ts";
import { readObjects } from "./read-files.ts";
import type { Io } from "../ports.ts";
import type { FileOptions } from "./read-files.ts";

export async function validate(io: Io, options: FileOptions): Promise<void> {
  const objects = await readObjects(io, options);
  conclude({ verb: { past: "validated", plain: "validate" }, kinds: objects.map(({ kind }) => kind), handled: objects.length }, io.print);
}
