/** Whether two values of plain data (objects, arrays, primitives, octets) are the same. */
export function deepEqual(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && deepEqual(field(a, key), field(b, key)));
}

function field(of: object, key: string): unknown {
  return (of as Readonly<Record<string, unknown>>)[key];
}
