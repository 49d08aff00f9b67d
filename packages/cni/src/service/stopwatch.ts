/** Where the time of a call went: each lap is since the one before. */
export interface Stopwatch {
  lap(name: string): void;
  /** Milliseconds, to a hundredth. */
  laps(): Readonly<Record<string, number>>;
}

export function makeStopwatch(now: () => number): Stopwatch {
  let last = now();
  const laps: Record<string, number> = {};
  return {
    lap(name) {
      const at = now();
      laps[name] = Math.round((at - last) * 100) / 100;
      last = at;
    },
    laps: () => laps,
  };
}
