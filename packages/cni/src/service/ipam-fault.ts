import type { IpamError } from "@calico/ipam";
import { CniFault } from "../domain/fault.ts";

/** What IPAM refused, in CNI's words. */
export function ipamFault(what: string, error: IpamError): CniFault {
  return new CniFault(error.kind === "conflict" ? "tryAgain" : "ipam", `${what}: ${error.message}`);
}
