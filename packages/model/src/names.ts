/**
 * Names that Calico computes: of workload endpoints, and of the host side of a pod's veth.
 *
 * Source: calico libcalico-go/lib/names/workloadendpoint.go; libcalico-go/lib/backend/k8s/conversion (VethNameForWorkload).
 */
import { err, ok } from "./result.ts";
import { sha1Hex } from "./adapter/hash.ts";
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
