/** Taking a pod's device away, from either side; what is gone already is no error. */
import { NetlinkError } from "@calico/linux";
import type { Address, Netlink } from "@calico/linux";
import { CniFault } from "../domain/fault.ts";
import type { Kernel } from "../ports.ts";

/** Take the pair away from the host's side; the routes go with it. */
export async function unwire(kernel: Kernel, hostName: string): Promise<void> {
  await removeLink(kernel.host(), hostName);
}

/** Take away the pair whose one end was put into the pod's namespace: under the host's name there may be another pod's by now. */
export async function unwireOwn(kernel: Kernel, o: { readonly netns: string; readonly ifName: string }): Promise<void> {
  using pod = kernel.pod(o.netns);
  if (pod !== undefined) await removeLink(pod, o.ifName);
}

/**
 * Take the device out of the pod, if the pod's namespace is still there. Resolves when the pod has no address any more, which is at once;
 * the kernel takes some 20 ms for the device (`gone`).
 */
export async function unwirePod(
  kernel: Kernel,
  o: { readonly netns: string; readonly ifName: string },
): Promise<{ readonly gone: Promise<void> }> {
  const pod = o.netns === "" ? undefined : kernel.pod(o.netns);
  if (pod === undefined) return { gone: Promise.resolve() };
  try {
    await removeAddresses(pod, o.ifName);
    return { gone: removeLink(pod, o.ifName).finally(() => pod.close()) };
  } catch (e) {
    pod.close();
    throw e;
  }
}

/** None of a link that is not there, or goes meanwhile. */
async function addressesOf(pod: Netlink, link: string): Promise<readonly Address[]> {
  try {
    return (await pod.link(link)) === undefined ? [] : await pod.addresses({ link });
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
