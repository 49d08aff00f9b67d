/** What became of one test, or of one file that could not be run at all. One JSON line each between a suite's process and the runner. */
export interface Outcome {
  readonly suite: string;
  readonly file: string;
  readonly name: string;
  readonly state: "passed" | "failed" | "skipped";
  /** Of a failure: the error. Of a skipped test: why. */
  readonly detail?: string;
}

export interface Totals {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export function countOutcomes(outcomes: readonly Outcome[]): Totals {
  const of = (state: Outcome["state"]) => outcomes.filter((o) => o.state === state).length;
  return { passed: of("passed"), failed: of("failed"), skipped: of("skipped") };
}

/** The last line: `12 passed, 0 failed`, with `, 3 skipped` if there are any. */
export function closingLine({ passed, failed, skipped }: Totals): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

/** 0 only if something ran and nothing failed: a run that found no test proves nothing. */
export function exitCodeOf({ passed, failed }: Totals): 0 | 1 {
  return failed === 0 && passed > 0 ? 0 : 1;
}

/** What a suite's process left, made whole: if it ended badly or said nothing, that is a failure of its own. */
export function completeSuite(
  suite: string,
  outcomes: readonly Outcome[],
  ended: { readonly code: number | null; readonly signal: string | null },
): readonly Outcome[] {
  const hasFailed = outcomes.some((o) => o.state === "failed");
  const how = ended.signal === null ? `exit code ${ended.code}` : `signal ${ended.signal}`;
  if (ended.code !== 0 && !hasFailed)
    return [
      ...outcomes,
      {
        suite,
        file: "",
        name: "the suite's process",
        state: "failed",
        detail: `ended with ${how} though no test failed; its output is above`,
      },
    ];
  return outcomes;
}

/** The lines before the closing one: what failed and what was skipped, each with its reason. */
export function summaryLines(outcomes: readonly Outcome[]): readonly string[] {
  const line = (o: Outcome) => [o.suite, o.file, o.name].filter((part) => part !== "").join(" › ");
  const skipped = outcomes
    .filter((o) => o.state === "skipped")
    .map((o) => `skipped  ${line(o)}${o.detail === undefined ? "  (no reason given)" : `  (${o.detail})`}`);
  const failed = outcomes.filter((o) => o.state === "failed").map((o) => `FAILED   ${line(o)}`);
  return [...skipped, ...failed];
}

/** One line of a suite's report; undefined if it is none. */
export function parseOutcome(line: string): Outcome | undefined {
  if (line.trim() === "") return undefined;
  return JSON.parse(line) as Outcome;
}
