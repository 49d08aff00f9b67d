import type { Cidr } from "@calico/model";
import type { Store } from "@calico/datastore";

/** What the server needs from outside of itself. */
export interface ServerPorts {
  readonly store: Store;
  readonly clock: () => Date;
  readonly uid: () => string;
  /** `length` characters for generated names. */
  readonly suffix: (length: number) => string;
  readonly serviceCidr: Cidr;
}
