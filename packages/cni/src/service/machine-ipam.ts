/**
 * What `calico-ipam` does for a virtual machine's pod: the machine's addresses, which are given once and stay the machine's while pods of it
 * come and go. The target of a live migration gets what the source has, and takes over when the source leaves.
 *
 * Source: calico cni-plugin/pkg/ipamplugin/ipam_plugin.go (handleVirtLauncherPod, cmdDel); facts §3.7.7.
 * Deviation: DEL needs no API server to know the machine, clears only its own container's claim, and hands over to the target itself.
 */
import type { Ipam, Seen } from "@calico/ipam";
import { vmHandle } from "@calico/model";
import { CniFault } from "../domain/fault.ts";
import type { CniCall } from "../domain/env.ts";
import { machineAttributes, machineNameIn, mayRunMachine } from "../domain/machine.ts";
import type { Machine } from "../domain/machine.ts";
import type { Netconf } from "../domain/netconf.ts";
import { isV6 } from "../domain/result.ts";
import { ipamFault } from "./ipam-fault.ts";

/** An address given, released or owned by others between two steps is met by another round; more than these is a fight. */
const ROUNDS = 6;

/** One pod of a machine, as it was just found. */
export type MachinePod = {
  readonly machine: Machine;
  readonly handle: string;
  readonly attrs: Readonly<Record<string, string>>;
};

export type MachineWish = {
  readonly conf: Pick<Netconf, "name">;
  readonly call: CniCall;
  readonly attrs: Readonly<Record<string, string>>;
  /** What is to be given where the machine lacks it: one address of the families, or a certain one. */
  readonly families: Families;
  readonly asked: string | undefined;
  /** Looks anew each time: a pod whose machine has gone on without it must not take the address back. */
  readonly machine: () => Promise<Machine | undefined>;
  /** Give what is missing, under the machine's handle. */
  readonly assign: (pod: MachinePod, missing: Families) => Promise<void>;
};
type Families = { readonly v4: boolean; readonly v6: boolean };

/**
 * All addresses of the machine, or the one that was asked for; undefined if the pod runs none, or machines keep none.
 *
 * What the handle has is looked at first, then whether the pod is the machine's, and then the addresses are taken, unless somebody else
 * took them meanwhile: so a call that was held up cannot take them from a later life of the machine.
 */
export async function ownAddresses(
  ipam: Ipam,
  wish: MachineWish,
): Promise<(MachinePod & { readonly addresses: readonly string[] }) | undefined> {
  const { conf, call } = wish;
  const likely = machineNameIn(call.args.get("K8S_POD_NAME") ?? "");
  let handle = likely === undefined ? "" : vmHandle(conf.name, { namespace: call.args.get("K8S_POD_NAMESPACE") ?? "", name: likely });
  for (let round = 0; round < ROUNDS; round++) {
    const seen = handle === "" ? [] : await lookAt(ipam, handle);
    const machine = await wish.machine();
    if (machine === undefined) return undefined;
    const pod = {
      machine,
      handle: vmHandle(conf.name, machine),
      attrs: { ...wish.attrs, ...machineAttributes(machine), container: call.containerId },
    };
    if (pod.handle === handle) {
      const outcome = await takeSeen(ipam, pod, { ...wish, seen });
      if (outcome === "notKept") return notKept(machine);
      if (outcome !== "again") return { ...pod, addresses: outcome };
    }
    handle = pod.handle;
  }
  throw new CniFault("tryAgain", `cannot take the addresses of handle ${handle}`, `they changed ${ROUNDS} times meanwhile`);
}

async function lookAt(ipam: Ipam, handle: string): Promise<readonly Seen[]> {
  const held = await ipam.ipsByHandle(handle);
  const ips = held.ok ? held.value.map((address) => address.split("/")[0] ?? address) : [];
  return await Promise.all(
    ips.map(async (ip) => {
      const owner = await ipam.ownerOf(ip);
      return { ip, sequence: owner.ok ? owner.value.sequence : undefined };
    }),
  );
}

async function takeSeen(
  ipam: Ipam,
  pod: MachinePod,
  wish: MachineWish & { readonly seen: readonly Seen[] },
): Promise<readonly string[] | "notKept" | "again"> {
  const { machine, handle, attrs } = pod;
  const isTarget = machine.migrationUid !== undefined;
  const owned = await ipam.own({ handle, role: isTarget ? "alternate" : "active", attrs, seen: wish.seen });
  if (!owned.ok && owned.error.kind === "notKept") return "notKept";
  if (!owned.ok && owned.error.kind === "badSequence") return "again";
  if (!owned.ok && owned.error.kind !== "notFound") throw ipamFault(`failed to take the addresses of ${nameOf(machine)}`, owned.error);
  const held = owned.ok ? owned.value : [];
  if (isTarget && held.length === 0)
    throw new CniFault("ipam", `migration target pod but no IP allocated to VMI handle ${handle}`, "its source must have an address first");
  const found = heldAsWished(machine, held, wish);
  if (found !== undefined) return found;
  if (isTarget) throw new CniFault("ipam", `migration target pod asks for ${wish.asked}, but ${nameOf(machine)} has ${held.join(", ")}`);
  await wish.assign(pod, missingOf(held, wish));
  return "again";
}

function notKept(machine: Machine): undefined {
  if (machine.migrationUid === undefined) return undefined;
  throw new CniFault(
    "ipam",
    "live migration target pod is not allowed when KubeVirtVMAddressPersistence is disabled",
    `${nameOf(machine)} could not keep its address; see calicoctl ipam configure --kubevirt-ip-persistence`,
  );
}

/** Undefined while something is missing. */
function heldAsWished(
  machine: Machine,
  held: readonly string[],
  wish: Pick<MachineWish, "families" | "asked">,
): readonly string[] | undefined {
  const { asked } = wish;
  const missing = missingOf(held, wish);
  // What a target gets is what its source has, whatever the configuration asks for by now.
  if (asked === undefined) return machine.migrationUid !== undefined || (!missing.v4 && !missing.v6) ? held : undefined;
  const found = held.filter((address) => address.split("/")[0] === asked);
  if (found.length > 0) return found;
  const other = held.find((address) => isV6(address) === isV6(asked));
  if (other === undefined) return undefined;
  throw new CniFault(
    "ipam",
    `${nameOf(machine)} has the address ${other.split("/")[0]}, and not ${asked} that its pod asks for`,
    "a machine keeps its address until it is deleted",
  );
}

function missingOf(held: readonly string[], { families, asked }: Pick<MachineWish, "families" | "asked">): Families {
  const lacks = (v6: boolean) => !held.some((address) => isV6(address) === v6);
  if (asked !== undefined) return { v4: !isV6(asked) && lacks(false), v6: isV6(asked) && lacks(true) };
  return { v4: families.v4 && lacks(false), v6: families.v6 && lacks(true) };
}

function nameOf({ namespace, name }: Machine): string {
  return `virtual machine ${namespace}/${name}`;
}

type Leaving = {
  readonly ipam: Ipam;
  readonly handlesOf: (owner: { namespace: string; pod: string; container: string }) => Promise<readonly string[]>;
  readonly isEnding: (place: { readonly namespace: string; readonly name: string }) => Promise<boolean>;
};

/**
 * The machine's addresses lose the container as their owner, if its pod runs one. They are released only if the machine is
 * being deleted and nobody else has them.
 */
export async function disownAddresses(ports: Leaving, { conf, call }: { conf: Pick<Netconf, "name">; call: CniCall }): Promise<void> {
  const pod = call.args.get("K8S_POD_NAME");
  const namespace = call.args.get("K8S_POD_NAMESPACE");
  if (!mayRunMachine(pod) || !namespace) return;
  const owner = { namespace, pod, container: call.containerId };
  const name = machineNameIn(pod);
  for (const handle of name === undefined ? await ports.handlesOf(owner) : [vmHandle(conf.name, { namespace, name })]) {
    if (!handle.startsWith(`${conf.name}.vmi.`) || !(await ports.ipam.ipsByHandle(handle)).ok) continue;
    const isEnding = name !== undefined && (await ports.isEnding({ namespace, name }));
    const outcome = await ports.ipam.disown({ handle, owner, isEnding });
    if (!outcome.ok && outcome.error.kind !== "notFound") throw ipamFault(`failed to leave the addresses of ${handle}`, outcome.error);
  }
}

/** The machine's addresses if the container is one of their owners; none otherwise. */
export async function addressesOwnedBy(
  { ipam }: Pick<Leaving, "ipam">,
  o: { conf: Pick<Netconf, "name">; call: CniCall },
): Promise<readonly string[]> {
  const pod = o.call.args.get("K8S_POD_NAME");
  const namespace = o.call.args.get("K8S_POD_NAMESPACE");
  const name = mayRunMachine(pod) ? machineNameIn(pod) : undefined;
  if (name === undefined || !namespace) return [];
  const held = await ipam.ipsByHandle(vmHandle(o.conf.name, { namespace, name }));
  const first = held.ok ? held.value[0]?.split("/")[0] : undefined;
  const owner = first === undefined ? undefined : await ipam.ownerOf(first);
  const isOwner =
    owner?.ok === true && [owner.value.attrs, owner.value.alternate].some((a) => a["pod"] === pod && a["container"] === o.call.containerId);
  return isOwner && held.ok ? held.value : [];
}
