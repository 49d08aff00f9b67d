/** Communities as text. Source: RFC 1997, RFC 8092 §5. */

export type LargeCommunity = readonly [global: number, local1: number, local2: number];

/** `65000:100` */
export function formatCommunity(value: number): string {
  return `${Math.floor(value / 65536)}:${value % 65536}`;
}

/** `aa:nn` of two 16-bit numbers, or `aa:nn:mm` of three 32-bit ones; undefined for anything else. */
export function parseCommunity(text: string): number | LargeCommunity | undefined {
  const parts = text.split(":");
  if (!parts.every((part) => /^(0|[1-9]\d{0,9})$/.test(part))) return undefined;
  const [a = 0, b = 0, c = 0] = parts.map(Number);
  if (parts.length === 2 && a <= 0xffff && b <= 0xffff) return a * 65536 + b;
  if (parts.length === 3 && Math.max(a, b, c) <= 0xffffffff) return [a, b, c];
  return undefined;
}
