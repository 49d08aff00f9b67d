/**
 * Bits of the packet mark, and the text that sets and tests them.
 *
 * Source: Calico felix/dataplane/driver.go (mark allocation: lowest bit of the mask first).
 */

export type Marks = {
  readonly accept: number;
  readonly pass: number;
  readonly drop: number;
  readonly scratch0: number;
  readonly scratch1: number;
};

const NAMES = ["accept", "pass", "drop", "scratch0", "scratch1"] as const;

/** Bits handed out from the lowest of the mask. Throws when the mask has too few. */
export function assignMarks(mask: number): Marks {
  const bits = Array.from({ length: 32 }, (_, i) => 2 ** i).filter((bit) => (mask & bit) !== 0);
  if (bits.length < NAMES.length) {
    throw new Error(`Cannot assign mark bits: mask ${hex(mask)} has ${bits.length}, felix needs ${NAMES.length}; widen iptablesMarkMask`);
  }
  return Object.fromEntries(NAMES.map((name, i) => [name, bits[i]!])) as Marks;
}

/** Calico's default mask. */
export const DEFAULT_MARK_MASK = 0xffff0000;
export const MARKS: Marks = assignMarks(DEFAULT_MARK_MASK);

function hex(n: number): string {
  return `0x${(n >>> 0).toString(16)}`;
}

export const markSet = (bits: number): string => `-m mark --mark ${hex(bits)}/${hex(bits)}`;
export const markClear = (bits: number): string => `-m mark --mark 0/${hex(bits)}`;
export const setMark = (bits: number): string => `--jump MARK --set-mark ${hex(bits)}/${hex(bits)}`;
export const setMasked = (bits: number, mask: number): string => `--jump MARK --set-mark ${bits === 0 ? "0" : hex(bits)}/${hex(mask)}`;
export const clearMark = (bits: number): string => setMasked(0, bits);
/** All the bits that felix gives meaning to. */
export const allMarks = (m: Marks): number => m.accept | m.pass | m.drop | m.scratch0 | m.scratch1;
