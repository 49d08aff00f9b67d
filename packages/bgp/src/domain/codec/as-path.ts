/**
 * AS_PATH: segments of two- or four-octet AS numbers, and the merge of AS4_PATH from speakers that only know two octets.
 *
 * Source: RFC 4271 §4.3 (b) and §9.1.2.2 (a), RFC 5065 §3, RFC 6793 §4.2.3, RFC 7606 §7.2.
 */
import { AS_TRANS } from "./open.ts";
import { readU16, readU32, u16, u32 } from "./octets.ts";

export type AsSegment = { readonly type: "set" | "sequence" | "confedSequence" | "confedSet"; readonly ases: readonly number[] };

const TYPES = [undefined, "set", "sequence", "confedSequence", "confedSet"] as const;

/** Undefined if malformed: an unknown type, no AS in a segment, or a segment that overruns. */
export function decodeAsPath(value: Uint8Array, as4: boolean): readonly AsSegment[] | undefined {
  const width = as4 ? 4 : 2;
  const out: AsSegment[] = [];
  let at = 0;
  while (at < value.length) {
    const type = TYPES[value[at] ?? 0];
    const count = value[at + 1] ?? 0;
    const end = at + 2 + count * width;
    if (type === undefined || count === 0 || end > value.length) return undefined;
    const ases: number[] = [];
    for (let i = at + 2; i < end; i += width) ases.push(as4 ? readU32(value, i) : readU16(value, i));
    out.push({ type, ases });
    at = end;
  }
  return out;
}

export function encodeAsPath(path: readonly AsSegment[], as4: boolean): readonly number[] {
  return path.flatMap((segment) => [
    TYPES.indexOf(segment.type),
    segment.ases.length,
    ...segment.ases.flatMap((as) => (as4 ? u32(as) : u16(as > 0xffff ? AS_TRANS : as))),
  ]);
}

/** How long the path counts: a set is one, confederation segments are nothing. */
export function asPathLength(path: readonly AsSegment[]): number {
  return path.reduce((sum, s) => sum + (s.type === "sequence" ? s.ases.length : s.type === "set" ? 1 : 0), 0);
}

/** The AS that the route came from last; undefined for a path that begins with no sequence. */
export function neighbourAs(path: readonly AsSegment[]): number | undefined {
  return path[0]?.type === "sequence" ? path[0].ases[0] : undefined;
}

export function containsAs(path: readonly AsSegment[], as: number): number {
  return path.reduce((sum, s) => sum + s.ases.filter((a) => a === as).length, 0);
}

export function prependAs(path: readonly AsSegment[], as: number): readonly AsSegment[] {
  const [first, ...rest] = path;
  if (first?.type === "sequence" && first.ases.length < 255) return [{ type: "sequence", ases: [as, ...first.ases] }, ...rest];
  return [{ type: "sequence", ases: [as] }, ...path];
}

/** The real path of a route that crossed an old speaker: what it put in front, then AS4_PATH. */
export function mergeAs4Path(path: readonly AsSegment[], as4Path: readonly AsSegment[]): readonly AsSegment[] {
  const extra = asPathLength(path) - asPathLength(as4Path);
  if (extra < 0) return path;
  const front: AsSegment[] = [];
  let left = extra;
  for (const segment of path) {
    if (left <= 0) break;
    if (segment.type === "sequence") {
      front.push({ type: "sequence", ases: segment.ases.slice(0, left) });
      left -= Math.min(left, segment.ases.length);
    } else {
      front.push(segment);
      left -= segment.type === "set" ? 1 : 0;
    }
  }
  const last = front.at(-1);
  const first = as4Path[0];
  if (last?.type === "sequence" && first?.type === "sequence" && last.ases.length + first.ases.length <= 255) {
    return [...front.slice(0, -1), { type: "sequence", ases: [...last.ases, ...first.ases] }, ...as4Path.slice(1)];
  }
  return [...front, ...as4Path];
}

/** `65001 65002 {65003 65004}` */
export function formatAsPath(path: readonly AsSegment[]): string {
  return path.map((s) => (s.type === "set" || s.type === "confedSet" ? `{${s.ases.join(" ")}}` : s.ases.join(" "))).join(" ");
}
