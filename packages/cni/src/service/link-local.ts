/**
 * The host side's link-local address: the IPv6 pod's gateway. It follows from the MAC, unless something on the host changed that.
 *
 * Source: calico cni-plugin/pkg/dataplane/linux/dataplane_linux.go (10 times 50 ms; a wrong one: down, MAC, up).
 */
import type { Netlink } from "@calico/linux";
import { CniFault } from "../domain/fault.ts";
import type { Clock } from "../ports.ts";

/** The same on every veth: pods never see it but as their gateway's. */
export const HOST_MAC = "ee:ee:ee:ee:ee:ee";
const HOST_LINK_LOCAL = "fe80::ecee:eeff:feee:eeee";

const ATTEMPTS = 10;
const PAUSE_MS = 50;

export async function hostLinkLocal({ clock, host }: { clock: Clock; host: Netlink }, dev: string): Promise<string> {
  let found: string | undefined;
  for (let i = 0; i < ATTEMPTS; i++) {
    const addresses = await host.addresses({ link: dev, family: 6 });
    const all = addresses.filter((a) => a.scope === "link").map((a) => a.cidr.split("/")[0] ?? "");
    found = all.find((a) => a === HOST_LINK_LOCAL) ?? all[0];
    if (found === HOST_LINK_LOCAL) return found;
    if (found !== undefined) await renew(host, dev);
    await clock.pause(PAUSE_MS);
  }
  if (found !== undefined) return found;
  throw new CniFault(
    "kernel",
    "failed to get IPv6 addresses for host side of the pod interface",
    `${dev} has no link-local address after ${ATTEMPTS * PAUSE_MS} ms; is net.ipv6.conf.${dev}.disable_ipv6 0 and IPv6 in the kernel?`,
  );
}

/** The kernel derives the address anew when the device comes up. */
async function renew(host: Netlink, dev: string): Promise<void> {
  await host.setLink(dev, { up: false });
  await host.setLink(dev, { mac: HOST_MAC });
  await host.setLink(dev, { up: true });
}
