/** The BGP identifier. Source: facts §6.1.2 (CALICO_ROUTER_ID); FNV-1a 32. */
import { parseIp } from "@calico/model";

/** `setting` is an IPv4 address, `hash`, or nothing: then the node's address. Undefined if there is neither. */
export function routerIdOf(setting: string | undefined, node: string, ip4: string | undefined): string | undefined {
  if (setting === "hash") return hashToIp4(node);
  if (setting === undefined || setting === "") return ip4;
  const ip = parseIp(setting);
  return ip.ok && ip.value.family === 4 ? setting : undefined;
}

/** An address that is never in 0/8 or above 223/8, whatever the name. */
export function hashToIp4(name: string): string {
  let hash = 0x811c9dc5;
  for (const octet of new TextEncoder().encode(name)) hash = Math.imul(hash ^ octet, 0x01000193) >>> 0;
  const first = 1 + ((hash >>> 24) % 223);
  return `${first}.${(hash >>> 16) & 255}.${(hash >>> 8) & 255}.${hash & 255}`;
}
