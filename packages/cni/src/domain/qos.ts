/**
 * A pod's traffic limits from its annotations. What is out of range is clamped, what cannot be read is left out; either
 * way the pod starts and the problem is told.
 *
 * Deviation: a peak rate that is not above the bandwidth is left out, since the kernel refuses it.
 * Source: calico libcalico-go/lib/backend/k8s/conversion (qos annotations); facts §3.5.7.
 */
import { parseQuantity } from "./quantity.ts";

export type QosControls = Readonly<Record<string, number | string>>;
export type Qos = { readonly controls: QosControls; readonly problems: readonly string[] };

type Limit = { readonly name: string; readonly min: bigint; readonly max: bigint; readonly range: string };
const LIMITS: readonly Limit[] = [
  { name: "Bandwidth", min: 1000n, max: 10n ** 15n, range: "1k and 1P" },
  { name: "Burst", min: 1000n, max: 34_359_738_360n, range: "1k and 34359738360" },
  { name: "Peakrate", min: 1010n, max: 1_010_000_000_000_000n, range: "1.01k and 1.01P" },
  { name: "Minburst", min: 1000n, max: 100_000_000n, range: "1k and 100M" },
  { name: "PacketRate", min: 1n, max: 10_000n, range: "1 and 10k" },
  { name: "PacketBurst", min: 1n, max: 10_000n, range: "1 and 10k" },
  { name: "MaxConnections", min: 1n, max: 4_294_967_295n, range: "1 and 4294967295" },
];

const DEFAULT_BURST = 4 * 1024 ** 3;
const DEFAULT_PACKET_BURST = 5;

/** DSCP by its number or name. Source: calico api/pkg/lib/numorstring/dscp.go. */
const DSCP_NAMES = /^(DF|EF|LE|CS[0-7]|AF[1-4][1-3])$/i;

export function qosOf(annotations: Readonly<Record<string, string>>): Qos {
  const controls: Record<string, number | string> = {};
  const problems: string[] = [];
  for (const direction of ["ingress", "egress"] as const) {
    for (const limit of LIMITS) {
      const key = annotationOf(annotations, direction, limit.name);
      const value = key === undefined ? undefined : limited(key, annotations[key] ?? "", { limit, problems });
      if (value !== undefined) controls[`${direction}${limit.name}`] = value;
    }
    settle(controls, direction, problems);
  }
  const dscp = annotations["qos.projectcalico.org/dscp"];
  const asDscp = dscp === undefined ? undefined : dscpOf(dscp);
  if (asDscp !== undefined) controls["dscp"] = asDscp;
  else if (dscp !== undefined)
    problems.push(`annotation qos.projectcalico.org/dscp: ${JSON.stringify(dscp)} is no DSCP value; it is ignored`);
  return { controls, problems };
}

function annotationOf(annotations: Readonly<Record<string, string>>, direction: string, name: string): string | undefined {
  const own = `qos.projectcalico.org/${direction}${name}`;
  const candidates = name === "Bandwidth" ? [own, `kubernetes.io/${direction}-bandwidth`] : [own];
  return candidates.find((key) => annotations[key] !== undefined);
}

function limited(key: string, text: string, { limit, problems }: { limit: Limit; problems: string[] }): number | undefined {
  const value = parseQuantity(text);
  if (value === undefined) {
    problems.push(`annotation ${key}: ${JSON.stringify(text)} is no quantity; it is ignored`);
    return undefined;
  }
  if (value >= limit.min && value <= limit.max) return Number(value);
  problems.push(`annotation ${key}: ${text} is not between ${limit.range}; the nearest is used`);
  return Number(value < limit.min ? limit.min : limit.max);
}

/** What depends on something else, and defaults. */
function settle(controls: Record<string, number | string>, direction: "ingress" | "egress", problems: string[]): void {
  const key = (name: string) => `${direction}${name}`;
  const drop = (name: string, why: string) => {
    if (controls[key(name)] === undefined) return;
    delete controls[key(name)];
    problems.push(`annotation qos.projectcalico.org/${key(name)}: ${why}; it is ignored`);
  };
  const bandwidth = controls[key("Bandwidth")];
  if (bandwidth === undefined) for (const name of ["Burst", "Peakrate", "Minburst"]) drop(name, `needs ${key("Bandwidth")}`);
  else controls[key("Burst")] ??= DEFAULT_BURST;
  if (bandwidth !== undefined && Number(controls[key("Peakrate")]) <= Number(bandwidth))
    drop("Peakrate", `must be above ${key("Bandwidth")}`);
  if (controls[key("Peakrate")] === undefined) drop("Minburst", `needs ${key("Peakrate")}`);
  if (controls[key("PacketRate")] === undefined) drop("PacketBurst", `needs ${key("PacketRate")}`);
  else controls[key("PacketBurst")] ??= DEFAULT_PACKET_BURST;
}

function dscpOf(text: string): number | string | undefined {
  if (/^\d{1,2}$/.test(text)) return Number(text) <= 63 ? Number(text) : undefined;
  return DSCP_NAMES.test(text) ? text.toUpperCase() : undefined;
}
