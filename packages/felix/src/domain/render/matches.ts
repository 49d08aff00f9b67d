/**
 * Fragments of iptables matches.
 *
 * Source: Calico felix/iptables/match_builder.go; iptables-extensions(8).
 */
import { setName } from "../names.ts";
import type { Family } from "../names.ts";
import type { Icmp, PortRange, Protocol } from "../rule.ts";

export type Direction = "source" | "destination";

/** xt_multiport takes 15 numbers; a range is two of them. */
const MULTIPORT_SLOTS = 15;

const SHORT = { source: "src", destination: "dst" } as const;

export const protocolMatch = (p: Protocol): string => `-p ${p}`;
export const notProtocolMatch = (p: Protocol): string => `! -p ${p}`;
export const netMatch = (d: Direction, net: string): string => `--${d} ${net}`;
export const notNetMatch = (d: Direction, net: string): string => `! --${d} ${net}`;

/** Address in a set of addresses and networks. */
export function setMatch(family: Family, id: string, d: Direction): string {
  return `-m set --match-set ${setName(family, id)} ${SHORT[d]}`;
}

export function notSetMatch(family: Family, id: string, d: Direction): string {
  return `-m set ! --match-set ${setName(family, id)} ${SHORT[d]}`;
}

/** Address and port in a set of (address, protocol, port). */
export function portSetMatch(family: Family, id: string, d: Direction): string {
  return `${setMatch(family, id, d)},${SHORT[d]}`;
}

export function notPortSetMatch(family: Family, id: string, d: Direction): string {
  return `${notSetMatch(family, id, d)},${SHORT[d]}`;
}

export function portsMatch(d: Direction, ports: readonly PortRange[]): string {
  return `-m multiport --${d}-ports ${ports.map(printPort).join(",")}`;
}

export function notPortsMatch(d: Direction, ports: readonly PortRange[]): string {
  return `-m multiport ! --${d}-ports ${ports.map(printPort).join(",")}`;
}

const printPort = ({ min, max }: PortRange): string => (min === max ? `${min}` : `${min}:${max}`);

/** Ports in groups that each fit into one multiport match. */
export function splitPorts(ports: readonly PortRange[]): readonly (readonly PortRange[])[] {
  const groups: PortRange[][] = [];
  let free = 0;
  for (const port of ports) {
    const slots = port.min === port.max ? 1 : 2;
    if (groups.length === 0 || free < slots) {
      groups.push([]);
      free = MULTIPORT_SLOTS;
    }
    groups.at(-1)!.push(port);
    free -= slots;
  }
  return groups;
}

/** Empty when neither type nor code is asked for. */
export function icmpMatch(family: Family, { type, code }: Icmp, not = false): string {
  if (type === undefined) return "";
  const value = code === undefined ? `${type}` : `${type}/${code}`;
  const bang = not ? "! " : "";
  return family === 4 ? `-m icmp ${bang}--icmp-type ${value}` : `-m icmp6 ${bang}--icmpv6-type ${value}`;
}
