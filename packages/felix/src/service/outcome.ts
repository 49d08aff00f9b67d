/** What one part of an apply did: names of what it wrote, what it found altered by others, and what it could not do. */
export type Outcome = {
  readonly changed: string[];
  readonly repaired: string[];
  /** What failed, on which object, and why; it stays to be done. */
  readonly failures: string[];
};

export function newOutcome(): Outcome {
  return { changed: [], repaired: [], failures: [] };
}

export function addOutcome(to: Outcome, from: Outcome): void {
  to.changed.push(...from.changed);
  to.repaired.push(...from.repaired);
  to.failures.push(...from.failures);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
