/** JSON whose integers above 2^53 stay exact: sequence numbers are nanoseconds. */

/** Indented as Calico's reports are; bigints become digits. */
export function renderExact(value: unknown): string {
  const text = JSON.stringify(value, (_key, v: unknown) => (typeof v === "bigint" ? `\u0000${v}` : v), 2);
  return text.replace(/"\\u0000(\d+)"/g, "$1");
}

/** Integers of `fields` become bigints. */
export function parseExact(text: string, fields: ReadonlySet<string>): unknown {
  const revive = (key: string, value: unknown, context?: { readonly source?: string }) =>
    typeof value === "number" && fields.has(key) ? BigInt(context?.source ?? value) : value;
  return JSON.parse(text, revive as (key: string, value: unknown) => unknown);
}
