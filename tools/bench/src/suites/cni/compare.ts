/** Ours beside the reference plugins, by median and 99th percentile. Goals are against ptp. */
import { percentile, type Row } from "../../row.ts";
import { type Times, timesOf } from "./calls.ts";

export type Goals = {
  readonly medianAtMost?: { readonly ADD?: number; readonly DEL?: number };
  readonly p99BelowMs?: number;
};

export function compare(
  how: string,
  times: Times,
  goals: Goals,
  o: { readonly commands?: readonly ("ADD" | "DEL")[] } = {},
): readonly Row[] {
  return (o.commands ?? ["ADD", "DEL"]).flatMap((command) =>
    (["ptp+host-local", "bridge+host-local"] as const)
      .filter((peer) => times.has(`${peer} ${command}`))
      .flatMap((peer) => {
        const bound = peer === "ptp+host-local" ? goals : {};
        const value = (p: number) => percentile(timesOf(times, `calico ${command}`), p);
        const other = (p: number) => percentile(timesOf(times, `${peer} ${command}`), p);
        const row = (p: number, goal: string | undefined, isMet: boolean): Row => ({
          name: `${command}, ${how}, p${p}, beside ${peer}`,
          value: short(value(p)),
          unit: "ms",
          peer: short(other(p)),
          ratio: short(value(p) / other(p)),
          goal: goal ?? null,
          ok: goal === undefined ? null : isMet,
        });
        const atMost = bound.medianAtMost?.[command];
        const below = bound.p99BelowMs;
        return [
          row(50, atMost === undefined ? undefined : `≤ ${atMost}×`, value(50) / other(50) <= (atMost ?? 0)),
          row(99, below === undefined ? undefined : `< ${below} ms`, value(99) < (below ?? 0)),
        ];
      }),
  );
}

function short(value: number): number {
  return Number(value.toPrecision(4));
}
