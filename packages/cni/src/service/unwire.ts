/** Taking a pod's device away, from either side; what is gone already is no error. */
import { NetlinkError } from "@calico/linux";
import type { Address, Netlink } from "@calico/linux";
import { CniFault } from "../domain/fault.ts";
import type { Kernel } from "../ports.ts";

/** Take the pair away from the host's side; the routes go with it. */
export async function unwire(kernel: Kernel, hostName: string): Promise<void> {
  await removeLink(kernel.host(), hostName);
}

export type PodSide = { readonly netns: string; readonly ifName: string; readonly hostName: string };

export type Unwiring = {
  /** `notOurs`: there is a device of the name, and it is not the other end of the host's. It is left. */
  readonly found: "device" | "nothing" | "notOurs";
  /** The kernel takes some 20 ms for the device. */
  readonly gone: Promise<void>;
};

/**
 * Take the device out of the pod, if the pod's namespace is still there. Resolves when the pod has no address any more, which is at once.
 *
 * The path of a namespace may be another's by now (`/proc/PID/ns/net`), so only the other end of this pod's host device is taken.
 */
export async function unwirePod(kernel: Kernel, { netns, ifName, hostName }: PodSide): Promise<Unwiring> {
  const nothing = Promise.resolve();
  const pod = netns === "" ? undefined : kernel.pod(netns);
  if (pod === undefined) return { found: "nothing", gone: nothing };
  let gone: Promise<void> | undefined;
  try {
    const inPod = await pod.link(ifName);
    if (inPod === undefined) return { found: "nothing", gone: nothing };
    const onHost = await kernel.host().link(hostName);
    if (inPod.kind !== "veth" || inPod.peerIndex !== onHost?.index || onHost?.peerIndex !== inPod.index)
      return { found: "notOurs", gone: nothing };
    await removeAddresses(pod, ifName);
    gone = removeLink(pod, ifName).finally(() => pod.close());
    return { found: "device", gone };
  } finally {
    if (gone === undefined) pod.close();
  }
}

/** None of a link that goes meanwhile. */
async function addressesOf(pod: Netlink, link: string): Promise<readonly Address[]> {
  try {
    return await pod.addresses({ link });
  } catch (e) {
    if (e instanceof NetlinkError && e.code === "ENODEV") return [];
    throw new CniFault("kernel", `cannot read the addresses of interface ${link}`, e instanceof Error ? e.message : String(e));
  }
}

async function removeAddresses(pod: Netlink, link: string): Promise<void> {
  const addresses = await addressesOf(pod, link);
  const results = await pod.apply(addresses.map(({ cidr }) => ({ do: "deleteAddress", link, cidr })));
  for (const result of results) {
    if (!result.ok && !["ENODEV", "EADDRNOTAVAIL"].includes(result.error.code))
      throw new CniFault("kernel", `cannot take the addresses off interface ${link}`, result.error.message);
  }
}

export async function removeLink(netlink: Netlink, name: string): Promise<void> {
  try {
    await netlink.deleteLink(name);
  } catch (e) {
    if (!(e instanceof NetlinkError && (e.code === "ENODEV" || e.code === "ENOENT"))) {
      throw new CniFault("kernel", `cannot remove interface ${name}`, e instanceof Error ? e.message : String(e));
    }
  }
}
