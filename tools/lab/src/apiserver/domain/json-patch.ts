/** RFC 6902 JSON Patch and RFC 7396 JSON Merge Patch. Pure: the target is not changed. */
import { badRequest } from "./api-error.ts";
import { isMap, type Json, type JsonMap, sameJson } from "./api-object.ts";

/** Source: RFC 7396 §2. */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isMap(patch)) return patch;
  const result: Record<string, Json> = isMap(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

/** Source: RFC 6902 §4. Throws 400 for what is not a patch or does not fit, 422's sibling for a failed test. */
export function jsonPatch(target: Json, patch: Json): Json {
  if (!Array.isArray(patch)) throw badRequest("a JSON patch is a list of operations");
  return (patch as readonly Json[]).reduce<Json>((document, op, index) => {
    if (!isMap(op) || typeof op["op"] !== "string" || typeof op["path"] !== "string")
      throw badRequest(`operation ${index}: op and path are required`);
    return applyOne(document, op, `operation ${index} (${op["op"]} ${op["path"]})`);
  }, target);
}

function applyOne(document: Json, op: JsonMap, what: string): Json {
  const path = pointer(String(op["path"]), what);
  const value = () => {
    if (op["value"] === undefined) throw badRequest(`${what}: value is required`);
    return op["value"];
  };
  const from = () => pointer(typeof op["from"] === "string" ? op["from"] : "?", what);
  switch (op["op"]) {
    case "add":
      return put(document, path, value(), { what, insert: true });
    case "replace":
      read(document, path, what);
      return put(document, path, value(), { what, insert: false });
    case "remove":
      read(document, path, what);
      return remove(document, path, what);
    case "move":
      return put(remove(document, from(), what), path, read(document, from(), what), { what, insert: true });
    case "copy":
      return put(document, path, read(document, from(), what), { what, insert: true });
    case "test":
      if (!sameJson(read(document, path, what), value())) throw badRequest(`${what}: the test failed`);
      return document;
    default:
      throw badRequest(`${what}: unknown operation`);
  }
}

function pointer(text: string, what: string): readonly string[] {
  if (text === "") return [];
  if (!text.startsWith("/")) throw badRequest(`${what}: "${text}" is not a JSON pointer`);
  return text
    .slice(1)
    .split("/")
    .map((s) => s.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function read(value: Json, path: readonly string[], what: string): Json {
  let here: Json | undefined = value;
  for (const step of path) {
    here = Array.isArray(here) ? (here as readonly Json[])[indexOf(step, here.length - 1, what)] : isMap(here) ? here[step] : undefined;
    if (here === undefined) throw badRequest(`${what}: the path does not exist`);
  }
  return here;
}

function put(value: Json, path: readonly string[], next: Json, how: { readonly what: string; readonly insert: boolean }): Json {
  const [step, ...rest] = path;
  if (step === undefined) return next;
  if (Array.isArray(value)) {
    const list = [...(value as readonly Json[])];
    if (rest.length > 0) {
      const i = indexOf(step, list.length - 1, how.what);
      return list.with(i, put(list[i] as Json, rest, next, how));
    }
    const i = step === "-" ? list.length : indexOf(step, how.insert ? list.length : list.length - 1, how.what);
    return list.toSpliced(i, how.insert ? 0 : 1, next);
  }
  if (!isMap(value)) throw badRequest(`${how.what}: the path does not exist`);
  if (rest.length === 0) return { ...value, [step]: next };
  const inner = value[step];
  if (inner === undefined) throw badRequest(`${how.what}: the path does not exist`);
  return { ...value, [step]: put(inner, rest, next, how) };
}

function remove(value: Json, path: readonly string[], what: string): Json {
  const [step, ...rest] = path;
  if (step === undefined) throw badRequest(`${what}: the whole document cannot be removed`);
  if (Array.isArray(value)) {
    const list = value as readonly Json[];
    const i = indexOf(step, list.length - 1, what);
    return rest.length === 0 ? list.toSpliced(i, 1) : list.with(i, remove(list[i] as Json, rest, what));
  }
  if (!isMap(value)) throw badRequest(`${what}: the path does not exist`);
  const { [step]: inner, ...others } = value;
  return rest.length === 0 ? others : { ...value, [step]: remove(inner as Json, rest, what) };
}

function indexOf(step: string, max: number, what: string): number {
  const index = /^(0|[1-9]\d*)$/.test(step) ? Number(step) : -1;
  if (index < 0 || index > max) throw badRequest(`${what}: index "${step}" is out of range`);
  return index;
}
