/** Which virtual machine a call's pod runs, by the API server; asked only of pods that have a launcher's name. */
import { CniFault } from "../domain/fault.ts";
import type { CniCall } from "../domain/env.ts";
import { machineOf, mayRunMachine } from "../domain/machine.ts";
import type { Machine } from "../domain/machine.ts";
import type { Netconf } from "../domain/netconf.ts";
import type { PodFacts } from "../domain/pod.ts";
import type { Ports } from "../ports.ts";
import { within } from "./within.ts";

export type MachineQuestion = {
  readonly conf: Netconf;
  readonly call: CniCall;
  /** Where it is known already. */
  readonly pod?: PodFacts | undefined;
};

/** Whether it is worth asking which machine the pod runs. */
export function mayBeMachine({ conf, call, pod }: MachineQuestion): boolean {
  const isLauncher = mayRunMachine(call.args.get("K8S_POD_NAME")) && Boolean(call.args.get("K8S_POD_NAMESPACE"));
  return isLauncher && hasApi(conf) && (pod === undefined || pod.vmi !== undefined);
}

/** As the API server has it now; undefined for any other pod. A pod whose instance is not there, or is another by now, gets no address. */
export async function machineOfCall(ports: Pick<Ports, "podOf" | "vmiOf">, { conf, call }: MachineQuestion): Promise<Machine | undefined> {
  const name = call.args.get("K8S_POD_NAME") ?? "";
  const namespace = call.args.get("K8S_POD_NAMESPACE") ?? "";
  const pod = await ports.podOf(conf, { namespace, name });
  if (pod.vmi === undefined) return undefined;
  const vmi = await ports.vmiOf(conf, { namespace, name: pod.vmi.name });
  const text = `VirtualMachineInstance ${namespace}/${pod.vmi.name}`;
  if (vmi === undefined)
    throw new CniFault("tryAgain", `the API server knows no ${text}`, `it owns pod ${namespace}/${name}; is KubeVirt installed?`);
  if (vmi.uid !== pod.vmi.uid)
    throw new CniFault(
      "tryAgain",
      `${text} is not the one that owns pod ${namespace}/${name}`,
      `its uid is ${vmi.uid}, the owner's ${pod.vmi.uid}`,
    );
  return machineOf(pod, { namespace, vmi });
}

function hasApi({ policy, kubernetes }: Netconf): boolean {
  return policy?.type === "k8s" || Boolean(kubernetes?.kubeconfig);
}

/** What is not known so soon is left to the garbage collector: a DEL does not wait for the API server. */
const ASK_MS = 1500;

/** Whether the machine is being deleted, and not only its pod: its VirtualMachine, or an instance that is of none. False when in doubt. */
export async function isMachineEnding(
  ports: Pick<Ports, "vmiOf" | "vmOf">,
  conf: Netconf,
  place: { readonly namespace: string; readonly name: string },
): Promise<boolean> {
  const ask = async () => {
    const vmi = await ports.vmiOf(conf, place);
    if (vmi !== undefined && vmi.vm === undefined) return vmi.isDeleting;
    const vm = await ports.vmOf(conf, { ...place, name: vmi?.vm?.name ?? place.name });
    return vm?.isDeleting ?? false;
  };
  try {
    return await within(ASK_MS, ask, () => new Error("no answer in time"));
  } catch {
    return false;
  }
}
