import { etcdAccess, openEtcd } from "@calico/datastore";
import type { EtcdOptions, Store } from "@calico/datastore";
import type { EtcdTarget } from "../domain/protocol.ts";

/** A store on the etcd that `target` names; its TLS files are read again when they change. `auth` is this process's own login. */
export function openTarget(target: EtcdTarget, o: Pick<EtcdOptions, "timeoutMs" | "auth"> = {}): Store {
  const { endpoints, keyFile, certFile, caFile } = target;
  const access = etcdAccess({ etcdCa: caFile, etcdCert: certFile, etcdKey: keyFile });
  return openEtcd({ endpoints, ...o, ...access });
}

/** The target that a daemon's flags name. */
export function targetOf(o: {
  readonly etcd: readonly string[];
  readonly etcdCa?: string | undefined;
  readonly etcdCert?: string | undefined;
  readonly etcdKey?: string | undefined;
}): EtcdTarget {
  return {
    endpoints: [...o.etcd],
    ...(o.etcdCa === undefined ? {} : { caFile: o.etcdCa }),
    ...(o.etcdCert === undefined ? {} : { certFile: o.etcdCert }),
    ...(o.etcdKey === undefined ? {} : { keyFile: o.etcdKey }),
  };
}
