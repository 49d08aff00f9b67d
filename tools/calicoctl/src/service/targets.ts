/** What the KIND, NAME and namespace of a command line mean. */
import { kindInfo } from "@calico/model";
import { CliError } from "../domain/cli-error.ts";
import { kindOfName } from "../domain/kind-table.ts";
import type { ApiKind } from "@calico/model";

export type Target = { readonly kind: ApiKind; readonly name: string; readonly namespace?: string };

/** The kind a person named. */
export function parseKind(name: string): ApiKind {
  const kind = kindOfName(name);
  if (kind === undefined) throw new CliError(`failed to execute command: resource type '${name}' is not supported`);
  return kind;
}

/** The namespace that a command on `kind` is about; undefined for cluster-wide kinds. */
export function namespaceFor(kind: ApiKind, namespace: string | undefined): string | undefined {
  if (kindInfo(kind).namespaced) return namespace ?? "default";
  if (namespace !== undefined) throw new CliError(`failed to execute command: ${kind} is not namespaced`);
  return undefined;
}

/** Single objects by name. Names may be lists with commas. */
export function parseTargets(kindName: string, names: readonly string[], namespace: string | undefined): readonly Target[] {
  const kind = parseKind(kindName);
  const ns = namespaceFor(kind, namespace);
  return names
    .flatMap((text) => text.split(","))
    .filter((name) => name !== "")
    .map((name) => ({ kind, name, ...(ns === undefined ? {} : { namespace: ns }) }));
}
