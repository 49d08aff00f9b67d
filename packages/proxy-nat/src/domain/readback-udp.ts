import { parseIp } from "@calico/model";
import { OURS } from "./names.ts";
import type { Target } from "./endpoints.ts";
import type { UdpPort } from "./program.ts";

/**
 * The UDP ports and endpoints that the kernel translates now, from the nat table's `iptables-save`. A process that starts knows so which flows
 * went stale while nobody watched.
 */
export function parseSavedUdp(text: string): readonly UdpPort[] {
  const ports: { readonly vip: string; readonly port: number; readonly chain: string }[] = [];
  const jumps = new Map<string, string[]>();
  const targets = new Map<string, Target>();
  for (const line of text.split("\n")) {
    if (!line.startsWith(`-A ${OURS.chainPrefix}`)) continue;
    const chain = line.slice(3, line.indexOf(" ", 3));
    const jump = new RegExp(` -j (${OURS.servicePrefix}\\S+|${OURS.endpointPrefix}\\S+)`).exec(line)?.[1];
    const entry = / -d (\S+)\/(?:32|128) .*-p udp .*--dport (\d+)/.exec(line);
    const dnat = / -p udp .*--to-destination \[?([0-9a-f.:]+?)\]?:(\d+)(?: |$)/.exec(line);
    if (entry?.[1] !== undefined && jump !== undefined) ports.push({ vip: entry[1], port: Number(entry[2]), chain: jump });
    else if (jump !== undefined) jumps.set(chain, [...(jumps.get(chain) ?? []), jump]);
    else if (dnat?.[1] !== undefined) targets.set(chain, { ip: dnat[1], port: Number(dnat[2]) });
  }
  return ports.flatMap(({ vip, port, chain }) => {
    const ip = parseIp(vip);
    const reached = new Set(jumps.get(chain));
    return ip.ok ? [{ vip: ip.value, port, targets: [...reached].flatMap((sep) => targets.get(sep) ?? []) }] : [];
  });
}
