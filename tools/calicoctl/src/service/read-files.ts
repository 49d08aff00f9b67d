/** `-f FILE`: the objects of a file, a folder, or standard input. */
import { CliError } from "../domain/cli-error.ts";
import { parseObjects } from "../domain/documents.ts";
import type { AnyApiObject } from "@calico/model";
import type { Document } from "../domain/documents.ts";
import type { Io } from "../ports.ts";

export type FileOptions = {
  readonly filename: string;
  readonly recursive?: boolean;
  readonly skipEmpty?: boolean;
  readonly namespace?: string;
};

/** All objects, validated: one that is wrong stops the command before anything is written. */
export async function readObjects(io: Io, options: FileOptions): Promise<AnyApiObject[]> {
  const files = await io.resourceFiles(options.filename, options.recursive ?? false);
  const perFile = await Promise.all(files.map(async (file) => ({ file, documents: await readDocuments(io, file) })));
  const empty = perFile.find(({ documents }) => documents.length === 0);
  if (empty !== undefined && !options.skipEmpty)
    throw new CliError(`failed to execute command: no resources specified in file ${empty.file}`);
  if (files.length === 0 && !options.skipEmpty)
    throw new CliError(`failed to execute command: no resources specified in directory ${options.filename}`);
  return parseObjects(
    perFile.flatMap(({ documents }) => documents),
    options.namespace,
  );
}

/** JSON is YAML. An empty document (`---` twice) is none. */
async function readDocuments(io: Io, file: string): Promise<readonly Document[]> {
  const values = await io.parseYaml(file, await io.readText(file));
  return values
    .filter((json) => json !== null && json !== undefined)
    .map((json) => ({ file: file === "-" ? "standard input" : file, json }));
}
