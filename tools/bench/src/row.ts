/** One figure of a suite. `ratio` is ours / peer's, from the same run; `ok` compares with the goal, where there is one. */
export interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** The peer's figure, measured side by side; null where there is no peer. */
  readonly peer: number | null;
  readonly ratio: number | null;
  /** As a person reads it: "≤ 30". */
  readonly goal: string | null;
  readonly ok: boolean | null;
}

export interface SuiteOptions {
  /** Fewer repetitions: a smoke test of the suite, not figures to quote. */
  readonly quick: boolean;
  readonly signal: AbortSignal;
  readonly progress: (text: string) => void;
}

export type Suite = { readonly description: string; readonly run: (options: SuiteOptions) => Promise<readonly Row[]> };

/** A row without a peer, with a bound from above if `atMost` is given. */
export function plain(name: string, value: number, unit: string, atMost?: number): Row {
  const goal = atMost === undefined ? null : `≤ ${atMost}`;
  return { name, value: round(value), unit, peer: null, ratio: null, goal, ok: atMost === undefined ? null : value <= atMost };
}

export function percentile(values: readonly number[], p: number): number {
  if (values.length === 0) throw new Error("Cannot take a percentile of no values");
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil((p / 100) * sorted.length) - 1)] ?? 0;
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}
