/**
 * KubeVirt's virtual machines: each runs in a pod of its own, and keeps its addresses while pods come and go.
 *
 * Source: calico libcalico-go/lib/kubevirt/vmi.go; KubeVirt pkg/virt-controller/services/template.go (names and labels of launchers).
 */
import type { PodFacts, VmiFacts } from "./pod.ts";

/** The machine that a pod runs. */
export type Machine = {
  readonly namespace: string;
  readonly name: string;
  /** Of the instance: another one after each start of the machine. */
  readonly vmiUid: string;
  readonly vmUid: string | undefined;
  /** Of the live migration that the pod is the target of. */
  readonly migrationUid: string | undefined;
};

const PREFIX = "virt-launcher-";
const MIGRATION_LABEL = "kubevirt.io/migrationJobUID";

/** By the name alone, so that nobody asks the API server about other pods. */
export function mayRunMachine(pod: string | undefined): pod is string {
  return pod?.startsWith(PREFIX) === true;
}

/** The API server shortens what it makes names of to 58 characters, and adds 5. */
const LONGEST_NAME = 63;

/** `vm1` of `virt-launcher-vm1-x7k2p`; undefined if the pod's name does not hold the machine's whole name. */
export function machineNameIn(pod: string): string | undefined {
  const name = pod.slice(PREFIX.length, pod.lastIndexOf("-"));
  return pod.length === LONGEST_NAME || name === "" ? undefined : name;
}

/** The machine that a pod says it runs; undefined if it is a pod like others. */
export function machineOf(pod: PodFacts, o: { readonly namespace: string; readonly vmi: VmiFacts }): Machine | undefined {
  if (pod.vmi === undefined) return undefined;
  const { name, uid } = pod.vmi;
  return { namespace: o.namespace, name, vmiUid: uid, vmUid: o.vmi.vm?.uid, migrationUid: pod.labels[MIGRATION_LABEL] || undefined };
}

/** What is recorded with its addresses, beside the pod's own. Source: facts §2.3.8. */
export function machineAttributes({ name, vmiUid, vmUid, migrationUid }: Machine): Record<string, string> {
  return {
    "vmi-name": name,
    "vmi-uid": vmiUid,
    ...(vmUid === undefined ? {} : { "vm-uid": vmUid }),
    ...(migrationUid === undefined ? {} : { "vmim-uid": migrationUid }),
  };
}
