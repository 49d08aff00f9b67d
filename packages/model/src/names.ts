/**
 * Names that Calico computes: of workload endpoints, of the host side of a pod's veth, and of what a virtual machine's addresses hang on.
 *
 * Source: calico libcalico-go/lib/names/workloadendpoint.go; libcalico-go/lib/backend/k8s/conversion (VethNameForWorkload);
 * libcalico-go/lib/ipam/vmipam (CreateVMHandleID), libcalico-go/lib/hash (GetLengthLimitedID).
 */
import { err, ok } from "./result.ts";
import { sha1Hex, sha256Base64Url } from "./adapter/hash.ts";
import type { Result } from "./result.ts";

/** `pod` for orchestrator k8s, `containerId` for cni, `workload` for others. */
export type WepNameParts = {
  readonly node: string;
  readonly orchestrator: string;
  readonly pod?: string;
  readonly workload?: string;
  readonly containerId?: string;
  readonly endpoint: string;
};

/** The name of a workload endpoint: its segments joined by `-`, a dash inside of a segment doubled. Throws if a segment is missing or begins or ends with a dash. */
export function wepName(parts: WepNameParts): string {
  return [
    segment("node", parts.node),
    segment("orchestrator", parts.orchestrator),
    segment(workloadField(parts.orchestrator), workloadOf(parts)),
    segment("endpoint", parts.endpoint),
  ].join("-");
}

function workloadField(orchestrator: string): string {
  return orchestrator === "k8s" ? "pod" : orchestrator === "cni" ? "containerId" : "workload";
}

function workloadOf(parts: WepNameParts): string | undefined {
  if (parts.orchestrator === "k8s") return parts.pod;
  if (parts.orchestrator === "cni") return parts.containerId;
  return parts.orchestrator === "libnetwork" ? "libnetwork" : parts.workload;
}

function segment(field: string, value: string | undefined): string {
  if (value === undefined || value === "") throw new TypeError(`Cannot make a workload endpoint's name: ${field}: field is required`);
  if (value.startsWith("-") || value.endsWith("-")) {
    throw new TypeError(`Cannot make a workload endpoint's name: ${field} "${value}" must not begin or end with "-"`);
  }
  return value.replaceAll("-", "--");
}

/** The parts of a workload endpoint's name. The inverse of wepName. */
export function parseWepName(name: string): Result<WepNameParts, string> {
  const parts = splitSegments(name);
  const [node, orchestrator, workload, endpoint] = parts;
  if (parts.length !== 4 || !node || !orchestrator || !workload || !endpoint) {
    return err(
      `Cannot parse workload endpoint name ${JSON.stringify(name)}: expected <node>-<orchestrator>-<workload>-<endpoint> with dashes doubled`,
    );
  }
  return ok({ node, orchestrator, [workloadField(orchestrator)]: workload, endpoint });
}

/** A single dash separates, a doubled one is a dash. Segments have no dash at either end, so pairs are unambiguous from the left. */
function splitSegments(name: string): readonly string[] {
  return (name.match(/(?:--|[^-])+|-/g) ?? []).filter((part) => part !== "-").map((part) => part.replaceAll("--", "-"));
}

/** The host side of a pod's veth: prefix and 11 hex digits of SHA-1 of `namespace.pod`. */
export function vethName(namespace: string, pod: string, prefix = "cali"): string {
  return `${prefix}${sha1Hex(`${namespace}.${pod}`).slice(0, 11)}`;
}

const MAX_VM_HANDLE = 128;

/** The handle of a KubeVirt machine's addresses, which outlives its pods: `network.vmi.namespace.name`, hashed if that is too long. */
export function vmHandle(network: string, o: { readonly namespace: string; readonly name: string }): string {
  const prefix = `${network}.vmi.`;
  const suffix = `${o.namespace}.${o.name}`;
  if (prefix.length + suffix.length <= MAX_VM_HANDLE) return prefix + suffix;
  return `${prefix}_${sha256Base64Url(suffix).slice(0, MAX_VM_HANDLE - 1 - prefix.length)}`;
}

/** Whether a handle is a machine's: of this namespace and name, or, without them, of any. */
export function isVmHandle(handle: string, vm?: { readonly namespace: string; readonly name: string }): boolean {
  for (let at = handle.indexOf(".vmi."); at > 0; at = handle.indexOf(".vmi.", at + 1)) {
    if (vm === undefined ? /^(?:_.{20,}|[^._]+\..+)$/.test(handle.slice(at + 5)) : handle === vmHandle(handle.slice(0, at), vm))
      return true;
  }
  return false;
}
