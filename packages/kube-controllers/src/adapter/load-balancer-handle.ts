import { createHash } from "node:crypto";

/**
 * The IPAM handle of a Service's addresses. The uid is part of it: a Service made anew under an old name is another owner.
 *
 * Source: facts §4.7.4.
 */
export function loadBalancerHandle(service: { readonly namespace: string; readonly name: string; readonly uid: string }): string {
  const text = `${service.name}-${service.namespace}-${service.uid}`.toLowerCase();
  return `lb-${createHash("sha256").update(text).digest("base64url").replaceAll(/[-_.]/g, "")}`;
}
