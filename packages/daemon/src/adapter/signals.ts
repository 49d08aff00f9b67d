import process from "node:process";

/** An AbortSignal that fires once, with the signal's name as its reason, when one of `names` arrives. */
export function untilSignal(...names: readonly NodeJS.Signals[]): AbortSignal {
  const controller = new AbortController();
  for (const name of names) process.once(name, () => controller.abort(name));
  return controller.signal;
}
