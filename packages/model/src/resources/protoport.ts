/** Protocols and ports as rules write them. Source: calico api/pkg/lib/numorstring (protocol.go, port.go). */
import { z } from "zod";
import { err, ok } from "../result.ts";
import type { Result } from "../result.ts";

const PROTOCOLS = { TCP: 6, UDP: 17, ICMP: 1, ICMPv6: 58, SCTP: 132, UDPLite: 136 } as const;
const byLowerName = new Map(Object.keys(PROTOCOLS).map((name) => [name.toLowerCase(), name as keyof typeof PROTOCOLS]));

/** A known name in its own spelling, or a number from 1 to 255. */
export const protocol = z.union([z.number(), z.string()]).transform((value, ctx) => {
  const number = typeof value === "number" ? value : /^\d{1,3}$/.test(value) ? Number(value) : undefined;
  if (number !== undefined && Number.isInteger(number) && number >= 1 && number <= 255) return number;
  const name = typeof value === "string" ? byLowerName.get(value.toLowerCase()) : undefined;
  if (name !== undefined) return name;
  ctx.addIssue({ code: "custom", message: "must be TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite or a number from 1 to 255", input: value });
  return z.NEVER;
});

/** The number of a protocol that the schema accepted. */
export function protocolNumber(value: string | number): number | undefined {
  if (typeof value === "number") return value;
  const name = byLowerName.get(value.toLowerCase());
  return name === undefined ? undefined : PROTOCOLS[name];
}

export function protocolHasPorts(value: string | number): boolean {
  return [6, 17, 132].includes(protocolNumber(value) ?? 0);
}

export type PortMatch = { readonly min: number; readonly max: number } | { readonly name: string };

/** A port of a rule: a number, `"min:max"` (inclusive), or the name of an endpoint's port. */
export function parsePort(value: string | number): Result<PortMatch, string> {
  const text = String(value);
  const range = /^(\d{1,5})(?::(\d{1,5}))?$/.exec(text);
  if (!range) {
    return isPortName(text) ? ok({ name: text }) : err(`must be a port number, a range "min:max" or a port name`);
  }
  const min = Number(range[1]);
  const max = Number(range[2] ?? range[1]);
  if (min < 1 || max > 65535) return err("port numbers must be from 1 to 65535");
  return min <= max ? ok({ min, max }) : err("the first port of a range must not be above the last");
}

/** Source: Kubernetes apimachinery IsValidPortName: at most 15, lower-case letters, digits and inner single dashes, at least one letter. */
function isPortName(text: string): boolean {
  return text.length <= 15 && /^[a-z0-9]+(-[a-z0-9]+)*$/i.test(text) && /[a-z]/i.test(text);
}

/** Numbers come out as numbers, ranges and names as text. */
export const port = z.union([z.number(), z.string()]).transform((value, ctx) => {
  const parsed = parsePort(value);
  if (!parsed.ok) {
    ctx.addIssue({ code: "custom", message: parsed.error, input: value });
    return z.NEVER;
  }
  if ("name" in parsed.value) return parsed.value.name;
  const { min, max } = parsed.value;
  return min === max ? min : `${min}:${max}`;
});
