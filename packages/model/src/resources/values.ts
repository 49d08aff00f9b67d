/** Field types that many kinds use. Source: calico api/pkg/apis/projectcalico/v3 and lib/numorstring; libcalico-go/lib/validator/v3. */
import { z } from "zod";
import { familyBits, parseCidr, parseCidrLoose, parseInterfaceAddress, parseIp } from "../ip.ts";
import { usesGlobal } from "../selector/ast.ts";
import { parseSelectorNode } from "../selector/parse.ts";

/** Refuses a string for the reason that `check` gives. */
function checked(check: (text: string) => string | undefined) {
  return z.string().superRefine((text, ctx) => {
    const reason = check(text);
    if (reason !== undefined) ctx.addIssue({ code: "custom", message: reason, input: text });
  });
}

export const ip = checked((text) => (parseIp(text).ok ? undefined : "must be a valid IP address"));
export const ipv4 = checked((text) => (isFamily(text, 4) ? undefined : "must be a valid IPv4 address"));
export const ipv6 = checked((text) => (isFamily(text, 6) ? undefined : "must be a valid IPv6 address"));

function isFamily(text: string, family: 4 | 6): boolean {
  const parsed = parseIp(text);
  return parsed.ok && parsed.value.family === family;
}

/** A network without host bits, or a bare address. */
export const net = checked((text) => {
  if (!text.includes("/")) return parseIp(text).ok ? undefined : "must be a valid CIDR or IP address";
  const parsed = parseCidr(text);
  return parsed.ok ? undefined : parsed.error;
});

/** A network without host bits. */
export const cidr = checked((text) => {
  const parsed = parseCidr(text);
  return parsed.ok ? undefined : parsed.error;
});

/** A network or an address; host bits are allowed. */
export const looseNet = checked((text) => {
  const parsed = parseCidrLoose(text);
  return parsed.ok ? undefined : parsed.error;
});

/** A /32 or /128, or a bare address. */
export const hostNet = checked((text) => {
  const parsed = parseCidrLoose(text);
  if (!parsed.ok) return parsed.error;
  return parsed.value.len === familyBits(parsed.value.family) ? undefined : "must be a single address (/32 or /128)";
});

/** An interface's address: an address, with the length of its subnet or without. */
export const interfaceAddress = checked((text) => {
  const parsed = parseInterfaceAddress(text);
  return parsed.ok ? undefined : parsed.error;
});

const DSCP_NAME = /^(DF|EF|CS[0-7]|AF([1-4])([1-3]))$/i;

/** The six bits of a DSCP value; undefined if it is none. DF 0, EF 46, CSn 8n, AFxy 8x+2y. */
export function dscpNumber(value: string | number): number | undefined {
  const number = typeof value === "number" || /^\d{1,2}$/.test(value) ? Number(value) : undefined;
  if (number !== undefined) return Number.isInteger(number) && number >= 0 && number <= 63 ? number : undefined;
  const name = DSCP_NAME.exec(String(value))?.map((part) => part?.toUpperCase());
  if (name === undefined) return undefined;
  if (name[2] !== undefined) return 8 * Number(name[2]) + 2 * Number(name[3]);
  return name[0] === "DF" ? 0 : name[0] === "EF" ? 46 : 8 * Number(name[0]?.slice(2));
}

/** A DSCP value: a number from 0 to 63, or a name such as EF. */
export const dscp = z.union([z.number(), z.string()]).refine((value) => dscpNumber(value) !== undefined, {
  error: "must be a DSCP value: 0 to 63, DF, EF, AF11 to AF43 or CS0 to CS7",
});

const asDotted = /^(\d{1,5})\.(\d{1,5})$/;

/** An AS number: a number, its decimal text, or the dotted form `1.10`; a number after parsing. */
export const asNumber = z.union([z.number(), z.string()]).transform((value, ctx) => {
  const parsed = typeof value === "number" ? value : asNumberOf(value);
  if (parsed !== undefined && Number.isInteger(parsed) && parsed >= 0 && parsed <= 0xffffffff) return parsed;
  ctx.addIssue({ code: "custom", message: "must be an AS number from 0 to 4294967295, or dotted", input: value });
  return z.NEVER;
});

function asNumberOf(text: string): number | undefined {
  const dotted = asDotted.exec(text);
  if (!dotted) return /^\d{1,10}$/.test(text) ? Number(text) : undefined;
  const [high, low] = [Number(dotted[1]), Number(dotted[2])];
  return high <= 0xffff && low <= 0xffff ? high * 65536 + low : undefined;
}

/** A selector. `global` says whether `global()` may stand in it, alone. The issue carries the offset of a syntax error as `params.at`. */
export function selectorText(options: { readonly global?: boolean; readonly max?: number } = {}) {
  return z.string().superRefine((text, ctx) => {
    const bad = (message: string, at?: number) =>
      ctx.addIssue({ code: "custom", message, input: text, ...(at === undefined ? {} : { params: { at } }) });
    if (options.max !== undefined && text.length > options.max) return bad(`must be at most ${options.max} characters`);
    const node = parseSelectorNode(text);
    if (!node.ok) return bad(`invalid selector: ${node.error.reason}`, node.error.at);
    if (!usesGlobal(node.value)) return;
    if (options.global !== true) return bad("global() can only be used in an EntityRule namespaceSelector", text.indexOf("global("));
    if (node.value.op !== "global") bad("global() cannot be combined with other selectors", text.indexOf("global("));
  });
}

/** A duration in Go's text form. */
export const duration = z.string().regex(/^-?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^0$/, "must be a duration such as 10s or 1m30s");

/** A name of an object: DNS-1123 subdomain. */
export const dnsSubdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
export const dnsLabel = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
export const interfaceName = z.string().regex(/^[a-zA-Z0-9_.-]{1,15}$/, "must be an interface name of at most 15 characters");
