/** Whether the n-th failure in a row is logged: the 1st, 2nd, 4th, 8th and so on, so that an outage is seen and not repeated. */
export function isWorthSaying(failures: number): boolean {
  return Number.isInteger(Math.log2(failures));
}
