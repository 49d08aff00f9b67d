/** patch and label: read, change, write back; again if another wrote meanwhile. */
import { CliError } from "../domain/cli-error.ts";
import { revalidate } from "../domain/documents.ts";
import { writeRefusal } from "../domain/kind-table.ts";
import { jsonPatch, mergePatch } from "../domain/patch.ts";
import { parseTargets } from "./targets.ts";
import { inputOf } from "./write.ts";
import type { AnyApiObject } from "@calico/model";
import type { Context } from "../ports.ts";
import type { Target } from "./targets.ts";

const ATTEMPTS = 5;

export type PatchOptions = {
  readonly kind: string;
  readonly name: string;
  readonly patch: string;
  readonly type?: string;
  readonly namespace?: string;
};

export async function patch(context: Context, options: PatchOptions): Promise<void> {
  const change = patchOf(options);
  const target = oneTarget(options);
  await modify(context, target, change, `failed to patch '${target.kind}' resource`);
  context.io.print(`Successfully patched 1 '${target.kind}' resource`);
}

function patchOf({ patch: text, type = "strategic" }: PatchOptions): (object: unknown) => unknown {
  if (!["strategic", "merge", "json"].includes(type)) throw new CliError(`invalid patch type '${type}': expected strategic, json or merge`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new CliError(`the patch is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  return (object) => (type === "json" ? jsonPatch(object, json) : mergePatch(object, json));
}

export type LabelOptions = {
  readonly kind: string;
  readonly name: string;
  readonly label: string;
  readonly remove?: boolean;
  readonly overwrite?: boolean;
  readonly namespace?: string;
};

export async function label(context: Context, options: LabelOptions): Promise<void> {
  const target = oneTarget(options);
  const about = `${options.kind} ${options.name}`;
  const [key = "", value] = options.label.split(/=(.*)/s);
  if (!options.remove && value === undefined)
    throw new CliError(`invalid label ${options.label}: expected key=value, or key with --remove`);
  const change = (object: AnyApiObject): unknown => {
    const { [key]: old, ...others } = object.metadata.labels ?? {};
    if (options.remove && old === undefined) throw new CliError(`can not remove label of ${about}, key ${key} does not exist`);
    if (!options.remove && old !== undefined && !options.overwrite) {
      throw new CliError(`failed to update label of ${about}, key ${key} is already present. please use '--overwrite' to set a new value.`);
    }
    return { ...object, metadata: { ...object.metadata, labels: options.remove ? others : { ...others, [key]: value } } };
  };
  await modify(context, target, change, `failed to label '${target.kind}' resource`);
  context.io.print(
    options.remove
      ? `Successfully removed label ${key} from ${about}.`
      : `Successfully ${options.overwrite ? "updated" : "set"} label ${key} on ${about}`,
  );
}

function oneTarget({ kind, name, namespace }: { readonly kind: string; readonly name: string; readonly namespace?: string }): Target {
  const [target] = parseTargets(kind, [name], namespace);
  if (target === undefined) throw new CliError("the name of a resource is missing");
  return target;
}

/** `change` may run again on a newer object. Throws a CliError that begins with `doing`. */
async function modify(context: Context, target: Target, change: (object: AnyApiObject) => unknown, doing: string): Promise<void> {
  const refused = writeRefusal("patch", target.kind, target.name);
  if (refused !== undefined) throw new CliError(`${doing}: ${refused}`);
  const client = await context.client();
  for (let attempt = 1; ; attempt++) {
    const there = await client.get(target);
    if (!there.ok) throw new CliError(`${doing}: ${there.error.message}`);
    const next = revalidate(change(there.value as AnyApiObject), target.kind);
    const { uid, creationTimestamp, resourceVersion } = there.value.metadata;
    const done = await client.update(
      inputOf({ ...next, metadata: { ...next.metadata, uid, creationTimestamp, resourceVersion } } as AnyApiObject),
    );
    if (done.ok) return;
    if (done.error.kind !== "updateConflict" || attempt >= ATTEMPTS) throw new CliError(`${doing}: ${done.error.message}`);
  }
}
