import { createHash } from "node:crypto";

/** The MAC of a node's VXLAN device when its Node object names none: `66` and five octets of SHA-1 of its name. Source: Calico felix/dataplane/linux/vxlan_mgr.go. */
export function vxlanMac(node: string): string {
  const digest = createHash("sha1").update(node).digest("hex");
  return ["66", ...digest.slice(0, 10).match(/../g)!].join(":");
}
