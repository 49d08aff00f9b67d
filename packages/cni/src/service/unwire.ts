/** Taking a pod's device away, from either side; what is gone already is no error. */
import { NetlinkError } from "@calico/linux";
import type { Netlink } from "@calico/linux";
import { CniFault } from "../domain/fault.ts";
import type { Kernel } from "../ports.ts";

/** Take the pair away from the host's side; the routes go with it. */
export async function unwire(kernel: Kernel, hostName: string): Promise<void> {
  await removeLink(kernel.host(), hostName);
}

/** Take the device out of the pod, if the pod's namespace is still there. */
export async function unwirePod(kernel: Kernel, o: { readonly netns: string; readonly ifName: string }): Promise<void> {
  const pod = o.netns === "" ? undefined : kernel.pod(o.netns);
  if (pod === undefined) return;
  try {
    await removeLink(pod, o.ifName);
  } finally {
    pod.close();
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
