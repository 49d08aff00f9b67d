/** Which fields differ between two JSON values, by path: `spec.ingress[0].action`. */
export type FieldChange = { readonly path: string; readonly from?: unknown; readonly to?: unknown };

/** The datastore's own bookkeeping, in which every write differs. */
const BOOKKEEPING: ReadonlySet<string> = new Set([
  "metadata.resourceVersion",
  "metadata.uid",
  "metadata.creationTimestamp",
  "metadata.generation",
  "metadata.managedFields",
  "sequenceNumber",
]);

/**
 * In order of paths' appearance; absent sides are undefined. Lists are compared position by position; those of plain values that
 * grew or shrank are one change, since every later position has another value.
 */
export function diffFields(from: unknown, to: unknown): readonly FieldChange[] {
  const changes: FieldChange[] = [];
  collect("", from, to, changes);
  return changes;
}

function collect(path: string, from: unknown, to: unknown, into: FieldChange[]): void {
  if (BOOKKEEPING.has(path) || Object.is(from, to)) return;
  if (Array.isArray(from) && Array.isArray(to) && !(from.length !== to.length && [...from, ...to].every(isPlain))) {
    for (let i = 0; i < Math.max(from.length, to.length); i++) collect(`${path}[${i}]`, from[i], to[i], into);
  } else if (isObject(from) && isObject(to)) {
    for (const name of new Set([...Object.keys(from), ...Object.keys(to)])) {
      const [was, is] = [get(from, name), get(to, name)];
      if (!isNothing(was) || !isNothing(is)) collect(join(path, name), was, is, into);
    }
  } else {
    into.push({ path, ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) });
  }
}

/** A field that is absent and one with an empty object say the same; writers differ in which they store. */
function isNothing(value: unknown): boolean {
  return value === undefined || (isObject(value) && Object.keys(value).length === 0);
}

function join(path: string, name: string): string {
  const step = /^[A-Za-z_][\w-]*$/.test(name) ? name : `["${name}"]`;
  return path === "" || step.startsWith("[") ? `${path}${step}` : `${path}.${step}`;
}

const get = (object: Readonly<Record<string, unknown>>, name: string): unknown => (Object.hasOwn(object, name) ? object[name] : undefined);

const isPlain = (value: unknown): boolean => typeof value !== "object" || value === null;

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The paths on one line, no more than `limit` of them. */
export function formatPaths(changes: readonly FieldChange[], limit = 4): string {
  const shown = changes.slice(0, limit).map(({ path }) => path);
  return [...shown, ...(changes.length > limit ? [`+${changes.length - limit} more`] : [])].join(", ");
}

/** Each field with what it was and what it is. */
export function formatChanges(changes: readonly FieldChange[]): string {
  return changes.map(({ path, from, to }) => `${path}: ${short(from)} → ${short(to)}`).join(", ");
}

const SHORT_CHARS = 40;

function short(value: unknown): string {
  const text = value === undefined ? "none" : JSON.stringify(value);
  return text.length > SHORT_CHARS ? `${text.slice(0, SHORT_CHARS - 1)}…` : text;
}
