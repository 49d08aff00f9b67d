/** Patches of JSON values. Source: RFC 7386 (merge), RFC 6902 (JSON patch). */
import { CliError } from "./cli-error.ts";

type Json = Readonly<Record<string, unknown>>;
type Operation = { readonly op: string; readonly path: string; readonly value?: unknown; readonly from?: string };

/** RFC 7386. Also what a strategic patch comes to here: no list of these kinds has a merge key. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const out: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete out[key];
    else out[key] = mergePatch(out[key], value);
  }
  return out;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** RFC 6902. Throws a CliError naming the operation that does not fit. */
export function jsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw new CliError("a JSON patch must be a list of operations");
  return (patch as Operation[]).reduce(applyOperation, structuredClone(target));
}

function applyOperation(document: unknown, operation: Operation): unknown {
  const bad = (why: string) => new CliError(`cannot apply the patch operation ${JSON.stringify(operation)}: ${why}`);
  const path = pointer(operation.path, bad);
  switch (operation.op) {
    case "add":
    case "replace":
      return edit(document, path, { insert: operation.op === "add", value: operation.value, bad });
    case "remove":
      return edit(document, path, { insert: false, value: undefined, bad });
    case "test":
      if (JSON.stringify(valueAt(document, path)) !== JSON.stringify(operation.value)) throw bad("the value is another");
      return document;
    case "copy":
    case "move": {
      const from = pointer(operation.from ?? "", bad);
      const value = valueAt(document, from);
      const rest = operation.op === "move" ? edit(document, from, { insert: false, value: undefined, bad }) : document;
      return edit(rest, path, { insert: true, value, bad });
    }
    default:
      throw bad("unknown operation");
  }
}

function pointer(text: string, bad: (why: string) => Error): readonly string[] {
  if (typeof text !== "string" || (text !== "" && !text.startsWith("/"))) throw bad('a path must begin with "/"');
  return text
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function valueAt(document: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Json | undefined)?.[key], document);
}

type Edit = { readonly insert: boolean; readonly value: unknown; readonly bad: (why: string) => Error };

function edit(document: unknown, path: readonly string[], change: Edit): unknown {
  const last = path.at(-1);
  if (last === undefined) return change.value;
  const parent = valueAt(document, path.slice(0, -1));
  if (Array.isArray(parent)) editList(parent as unknown[], last, change);
  else if (isObject(parent)) editObject(parent as Record<string, unknown>, last, change);
  else throw change.bad("there is no such path");
  return document;
}

function editList(list: unknown[], key: string, { insert, value, bad }: Edit): void {
  const index = key === "-" && insert ? list.length : Number(key);
  if (!Number.isInteger(index) || index < 0 || index > list.length - (insert ? 0 : 1)) throw bad("there is no such index");
  if (value === undefined) list.splice(index, 1);
  else list.splice(index, insert ? 0 : 1, value);
}

function editObject(object: Record<string, unknown>, key: string, { insert, value, bad }: Edit): void {
  if (!insert && !Object.hasOwn(object, key)) throw bad("there is no such path");
  if (value === undefined) delete object[key];
  else object[key] = value;
}
