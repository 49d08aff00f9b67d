/**
 * Kubernetes quantities as whole numbers, rounded up: `10M`, `1.5Gi`, `12e6`, `500m`.
 *
 * Source: k8s.io/apimachinery pkg/api/resource (ParseQuantity, Value).
 */
const SUFFIXES: Readonly<Record<string, readonly [base: bigint, power: number]>> = {
  n: [10n, -9],
  u: [10n, -6],
  m: [10n, -3],
  "": [10n, 0],
  k: [10n, 3],
  M: [10n, 6],
  G: [10n, 9],
  T: [10n, 12],
  P: [10n, 15],
  E: [10n, 18],
  Ki: [2n, 10],
  Mi: [2n, 20],
  Gi: [2n, 30],
  Ti: [2n, 40],
  Pi: [2n, 50],
  Ei: [2n, 60],
};

/** Undefined if the text is no quantity. */
export function parseQuantity(text: string): bigint | undefined {
  const match = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)$/.exec(text);
  if (match === null) return undefined;
  const [, sign = "", whole = "", fraction = "", exponent, suffix = ""] = match;
  if (whole === "" && fraction === "") return undefined;
  const [base, power] = exponent === undefined ? (SUFFIXES[suffix] ?? [10n, 0]) : ([10n, Number(exponent)] as const);
  const up = base ** BigInt(Math.max(power, 0));
  const down = 10n ** BigInt(fraction.length) * base ** BigInt(Math.max(-power, 0));
  const scaled = BigInt(whole + fraction || "0") * up;
  return sign === "-" ? -(scaled / down) : (scaled + down - 1n) / down;
}
