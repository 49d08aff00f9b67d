/** Rows of `ipam show`. Source: calico calicoctl/commands/ipam/show.go. */
import type { PoolUtilization } from "@calico/ipam";

export const USAGE_HEADINGS = ["GROUPING", "CIDR", "IPS TOTAL", "IPS IN USE", "IPS RESERVED", "IPS FREE"];
export const USAGE_ALIGN = ["left", "left", "right", "right", "right", "right"] as const;

type Usage = { readonly capacity: number; readonly free: number; readonly reserved: number };

/** One row per pool, and with `blocks` one per block below its pool, those outside of every pool last. Reserved addresses are not free. */
export function usageRows(pools: readonly PoolUtilization[], blocks: boolean): string[][] {
  return pools.flatMap((pool) => {
    const head = pool.cidr === undefined ? [] : [usageRow("IP Pool", pool.cidr, pool)];
    return blocks ? [...head, ...pool.blocks.map((block) => usageRow("Block", block.cidr, block))] : head;
  });
}

function usageRow(grouping: string, cidr: string, { capacity, free, reserved }: Usage): string[] {
  const share = (count: number) => `${formatG5(count)} (${roundHalfEven((100 * count) / capacity)}%)`;
  return [grouping, cidr, formatG5(capacity), share(capacity - free), share(reserved), share(free - reserved)];
}

/** C's `%.0f` of a number that is not negative: a half goes to the even neighbour. */
function roundHalfEven(value: number): number {
  const whole = Math.floor(value);
  const isDown = value - whole < 0.5 || (value - whole === 0.5 && whole % 2 === 0);
  return isDown ? whole : whole + 1;
}

/** C's `%.5g`: five significant digits, no trailing zeros, an exponent from 100000 on. */
export function formatG5(value: number): string {
  if (value === 0) return "0";
  const exponent = Math.floor(Math.log10(Math.abs(Number(value.toPrecision(5)))));
  if (exponent >= -4 && exponent < 5) return String(Number(value.toPrecision(5)));
  const [mantissa = "", power = ""] = value.toExponential(4).split("e");
  const digits = power.slice(1).padStart(2, "0");
  return `${mantissa.replace(/\.?0+$/, "")}e${power.startsWith("-") ? "-" : "+"}${digits}`;
}
