import { err, formatCidr, ok, parseCidrLoose, type Result } from "@calico/model";
import { isMap, listOf } from "./facts.ts";
import { convertSelector } from "./policy-selector.ts";

/** The side of a rule that a peer describes. */
export interface PeerFields {
  readonly selector?: string;
  readonly namespaceSelector?: string;
  readonly nets?: readonly string[];
  readonly notNets?: readonly string[];
}

/**
 * One peer. A block is by addresses only; everything else is by labels.
 *
 * Deviation: a block that does not parse is an error, where Calico's converter goes on with a peer that allows everybody.
 *
 * Source: calico libcalico-go/lib/backend/k8s/conversion (k8sPeerToCalicoFields); facts §1.11.2.
 */
export function convertPeer(peer: unknown, field: string): Result<PeerFields, string> {
  if (!isMap(peer)) return err(`${field}: expected a peer`);
  if (peer["ipBlock"] !== undefined && peer["ipBlock"] !== null) return convertBlock(peer["ipBlock"], `${field}.ipBlock`);
  if (peer["podSelector"] === undefined && peer["namespaceSelector"] === undefined)
    return err(`${field}: none of podSelector, namespaceSelector, ipBlock is set`);
  const selector = convertSelector(peer["podSelector"], "pods", `${field}.podSelector`);
  if (!selector.ok) return selector;
  const spaces = convertSelector(peer["namespaceSelector"], "namespaces", `${field}.namespaceSelector`);
  if (!spaces.ok) return spaces;
  return ok({ selector: selector.value, ...(spaces.value === "" ? {} : { namespaceSelector: spaces.value }) });
}

function convertBlock(block: unknown, field: string): Result<PeerFields, string> {
  if (!isMap(block)) return err(`${field}: expected an IP block`);
  const net = masked(block["cidr"], `${field}.cidr`);
  if (!net.ok) return net;
  const except = listOf(block["except"], `${field}.except`);
  if (!except.ok) return except;
  const notNets: string[] = [];
  for (const [i, one] of except.value.entries()) {
    const not = masked(one, `${field}.except[${i}]`);
    if (!not.ok) return not;
    notNets.push(not.value);
  }
  return ok({ nets: [net.value], ...(notNets.length === 0 ? {} : { notNets }) });
}

/** The network of a CIDR, host bits cleared; Kubernetes lets them through. */
function masked(text: unknown, field: string): Result<string, string> {
  const cidr = typeof text === "string" && text.includes("/") ? parseCidrLoose(text) : undefined;
  return cidr?.ok === true ? ok(formatCidr(cidr.value)) : err(`${field}: ${JSON.stringify(text)} is not a CIDR`);
}
