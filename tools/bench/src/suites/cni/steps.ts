/** Where the time goes, by what the daemons log of themselves. */
import { percentile, plain, type Row } from "../../row.ts";

const LABELS: Readonly<Record<string, string>> = {
  facts: "cluster, pod and namespace read",
  ipam: "IPAM, the device made meanwhile",
  kernel: "kernel (ADD: addresses and routes; DEL: the device)",
  endpoint: "endpoint written",
  policy: "policy wait",
  datastore: "endpoint and address given back",
  all: "agent, from request to answer",
};

/** Medians of the steps of calls in the agent's log; `only` names the steps that are wanted. */
export function stepsOf(log: string, o: { readonly command: string; readonly only?: readonly string[] }): readonly Row[] {
  const steps = new Map<string, number[]>();
  for (const line of log.split("\n").filter((l) => l.includes('"stepsMs"'))) {
    const { command, stepsMs, durationMs } = JSON.parse(line) as { command: string; stepsMs: Record<string, number>; durationMs: number };
    if (command !== o.command) continue;
    for (const [step, ms] of Object.entries({ ...stepsMs, all: durationMs })) steps.set(step, [...(steps.get(step) ?? []), ms]);
  }
  return [...steps]
    .filter(([step]) => o.only === undefined || o.only.includes(step))
    .map(([step, ms]) => plain(`where it goes, ${o.command}: ${LABELS[step] ?? step}, p50`, percentile(ms, 50), "ms"));
}

/** Of the policy wait: felix's own account of the applies that brought a pod's route. */
export function felixSteps(log: string): readonly Row[] {
  const applies = log
    .split("\n")
    .filter((l) => l.includes('"kernel changed"') && l.includes('"route cali'))
    .map((l) => JSON.parse(l) as { busMs: number; calcMs: number; kernelMs: number });
  if (applies.length === 0) return [];
  const median = (of: "busMs" | "calcMs" | "kernelMs") =>
    percentile(
      applies.map((a) => a[of]),
      50,
    );
  return [
    plain("of the policy wait: the event waits in felix, p50", median("busMs"), "ms"),
    plain("of the policy wait: felix calculates, p50", median("calcMs"), "ms"),
    plain("of the policy wait: felix writes the kernel, p50", median("kernelMs"), "ms"),
  ];
}
