/** `get`: read, then show as a table, YAML or JSON. */
import { kindInfo } from "@calico/model";
import { CliError } from "../domain/cli-error.ts";
import { exported, listObject, parseFormat, renderTable } from "../domain/output.ts";
import { readObjects } from "./read-files.ts";
import { namespaceFor, parseKind, parseTargets } from "./targets.ts";
import { targetOf } from "./write.ts";
import type { ResourceClient } from "@calico/datastore";
import type { AnyApiObject, ApiKind } from "@calico/model";
import type { Format } from "../domain/output.ts";
import type { Context } from "../ports.ts";
import type { FileOptions } from "./read-files.ts";
import type { Target } from "./targets.ts";

export type GetOptions = {
  readonly kind?: string;
  readonly names?: readonly string[];
  readonly file?: FileOptions;
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly output?: string;
  readonly export?: boolean;
};

type Found = {
  readonly objects: readonly AnyApiObject[];
  readonly list?: { readonly kind: ApiKind; readonly resourceVersion: string };
  readonly errors: readonly string[];
};

export async function get(context: Context, options: GetOptions): Promise<void> {
  const format = parseFormat(options.output);
  if (options.allNamespaces && options.namespace !== undefined)
    throw new CliError("cannot use both --namespace and --all-namespaces flags at the same time");
  if (options.allNamespaces && (options.names?.length ?? 0) > 0)
    throw new CliError("cannot use --all-namespaces with the name of a resource");
  const client = await context.client();
  const found = await find(context, client, options);
  const objects = options.export ? found.objects.map(exported) : found.objects;
  if (found.list !== undefined || objects.length > 0) await show(context, client, { ...found, objects }, format, options);
  if (found.errors.length > 0) throw new CliError(found.errors.join("\n"));
}

async function find(context: Context, client: ResourceClient, options: GetOptions): Promise<Found> {
  if (options.file !== undefined) return readAll(client, (await readObjects(context.io, options.file)).map(targetOf));
  if (options.kind === undefined) throw new CliError("say what to get: a KIND, or -f FILE");
  if ((options.names?.length ?? 0) > 0) return readAll(client, parseTargets(options.kind, options.names ?? [], options.namespace));
  const kind = parseKind(options.kind);
  const namespace = namespaceFor(kind, options.namespace);
  const { items, resourceVersion, unparsable } = await client.list(kind, options.allNamespaces ? undefined : namespace);
  return { objects: items as readonly AnyApiObject[], list: { kind, resourceVersion }, errors: unparsable.map((error) => error.message) };
}

async function readAll(client: ResourceClient, targets: readonly Target[]): Promise<Found> {
  const results = await Promise.all(targets.map((target) => client.get(target)));
  return {
    objects: results.flatMap((result) => (result.ok ? [result.value as AnyApiObject] : [])),
    errors: results.flatMap((result) => (result.ok ? [] : [result.error.message])),
  };
}

async function show({ io }: Context, client: ResourceClient, found: Found, format: Format, options: GetOptions): Promise<void> {
  if (format.as === "yaml" || format.as === "json") {
    const { objects, list } = found;
    const value = list !== undefined ? listObject(list.kind, objects, list.resourceVersion) : objects.length === 1 ? objects[0] : objects;
    io.print(format.as === "json" ? JSON.stringify(value, undefined, 2) : await io.renderYaml(value));
    return;
  }
  const context = { defaultAsNumber: await defaultAsNumber(client, found) };
  for (const kind of new Set(found.list === undefined ? found.objects.map((object) => object.kind) : [found.list.kind])) {
    const ofKind = found.objects.filter((object) => object.kind === kind);
    io.print(renderTable(ofKind, { kind, format, allNamespaces: options.allNamespaces === true && kindInfo(kind).namespaced, context }));
  }
}

async function defaultAsNumber(client: ResourceClient, { objects }: Found): Promise<number> {
  const fallback = 64512;
  if (!objects.some((object) => object.kind === "Node")) return fallback;
  const config = await client.get({ kind: "BGPConfiguration", name: "default" });
  return config.ok ? (config.value.spec.asNumber ?? fallback) : fallback;
}
