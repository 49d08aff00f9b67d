import { readdirSync } from "node:fs";
import { parseIp } from "@calico/model";

/** Where host-local keeps the addresses of the network that Calico's own configuration names. */
const FOLDER = "/var/lib/cni/networks/k8s-pod-network";

/** A file per address, named after it; none where there is no such folder. */
export function hostLocalAddresses(folder: string = FOLDER): readonly string[] {
  try {
    return readdirSync(folder).filter((name) => parseIp(name).ok);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw e;
  }
}
