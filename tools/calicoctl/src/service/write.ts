/** create, apply, replace, delete: one object after the other, until one fails. */
import { API_VERSION } from "@calico/model";
import { CliError } from "../domain/cli-error.ts";
import { writeRefusal } from "../domain/kind-table.ts";
import { conclude } from "../domain/outcome.ts";
import { readObjects } from "./read-files.ts";
import { parseTargets } from "./targets.ts";
import type { DatastoreError, ResourceClient, ResourceInput } from "@calico/datastore";
import type { AnyApiObject, ApiKind, Result } from "@calico/model";
import type { WriteVerb } from "../domain/kind-table.ts";
import type { Context } from "../ports.ts";
import type { FileOptions } from "./read-files.ts";
import type { Target } from "./targets.ts";

type Outcome = Promise<Result<unknown, DatastoreError | string>>;
type Step = (client: ResourceClient, object: AnyApiObject) => Outcome;

const REPLACE_ATTEMPTS = 5;
const PAST = { create: "created", apply: "applied", replace: "replaced", delete: "deleted" } as const;
const STEPS: Readonly<Record<"create" | "apply" | "replace", Step>> = {
  create: (client, object) => client.create(inputOf(object)),
  apply: (client, object) => client.apply(withoutRevision(object)),
  replace,
};

/** Writes the objects of a file. */
export async function writeFile(
  verb: "create" | "apply" | "replace",
  context: Context,
  options: FileOptions & { readonly skipExists?: boolean },
): Promise<void> {
  const objects = await readObjects(context.io, options);
  const client = await context.client();
  if (objects.length > 0) await client.ensureInitialized();
  const skip = (error: DatastoreError) => verb === "create" && options.skipExists === true && error.kind === "alreadyExists";
  await runAll(
    { verb, targets: objects.map((object) => ({ ...targetOf(object), run: () => STEPS[verb](client, object) })), skip },
    context,
  );
}

/** Deletes the objects that a file or the command line names. */
export async function deleteObjects(
  context: Context,
  what: {
    readonly kind?: string;
    readonly names?: readonly string[];
    readonly file?: FileOptions;
    readonly namespace?: string;
    readonly skipNotExists?: boolean;
  },
): Promise<void> {
  const targets = what.file
    ? (await readObjects(context.io, what.file)).map(targetOf)
    : parseTargets(what.kind ?? "", what.names ?? [], what.namespace);
  const skip = (error: DatastoreError) => what.skipNotExists === true && error.kind === "doesNotExist";
  await runAll(
    { verb: "delete", targets: targets.map((target) => ({ ...target, run: async () => (await context.client()).delete(target) })), skip },
    context,
  );
}

type Run = Target & { readonly run: () => Outcome };

async function runAll(
  o: { readonly verb: keyof typeof PAST; readonly targets: readonly Run[]; readonly skip: (error: DatastoreError) => boolean },
  { io }: Context,
): Promise<void> {
  let handled = 0;
  let skipped = 0;
  let failure: string | undefined;
  for (const { kind, name, run } of o.targets) {
    const refused = writeRefusal(o.verb as WriteVerb, kind, name);
    const done = refused === undefined ? await run() : ({ ok: false, error: refused } as const);
    if (done.ok) handled++;
    else if (typeof done.error !== "string" && o.skip(done.error)) skipped++;
    else {
      failure = typeof done.error === "string" ? done.error : done.error.message;
      break;
    }
  }
  const tally = { verb: { past: PAST[o.verb], plain: o.verb }, kinds: o.targets.map(({ kind }) => kind), handled, skipped };
  conclude(failure === undefined ? tally : { ...tally, error: failure }, io.print);
}

async function replace(client: ResourceClient, object: AnyApiObject): Outcome {
  const wanted = object.metadata.resourceVersion;
  for (let attempt = 1; ; attempt++) {
    const there = await client.get(targetOf(object));
    if (!there.ok) return there;
    const { uid, creationTimestamp, resourceVersion } = there.value.metadata;
    if (wanted !== undefined && wanted !== resourceVersion) {
      return {
        ok: false,
        error: `resource version '${wanted}' is out of date (latest: ${resourceVersion}). Update the resource YAML/JSON in order to make changes`,
      };
    }
    const done = await client.update(
      inputOf({ ...object, metadata: { ...object.metadata, uid, creationTimestamp, resourceVersion } } as AnyApiObject),
    );
    if (done.ok || done.error.kind !== "updateConflict" || attempt >= REPLACE_ATTEMPTS) return done;
  }
}

/** Calico's apply takes the revision that is there, whatever the file says. */
function withoutRevision(object: AnyApiObject): ResourceInput<ApiKind> {
  const { resourceVersion: _, ...metadata } = object.metadata;
  return { ...inputOf(object), metadata };
}

export function targetOf(object: AnyApiObject): Target {
  const { name, namespace } = object.metadata;
  return { kind: object.kind, name, ...(namespace === undefined ? {} : { namespace }) };
}

/** An object as the datastore takes it. */
export function inputOf(object: AnyApiObject): ResourceInput<ApiKind> {
  return { ...object, apiVersion: API_VERSION };
}

/** The value, or the CliError of what the datastore said. */
export function mustOk<T>(result: Result<T, DatastoreError>, doing: string): T {
  if (result.ok) return result.value;
  throw new CliError(`${doing}: ${result.error.message}`);
}
