import { readFileSync } from "node:fs";
import { openEtcd } from "@calico/datastore";
import type { Store } from "@calico/datastore";
import type { EtcdTarget } from "../domain/protocol.ts";

/** A store on the etcd that `target` names; TLS files are read now. */
export function openTarget(target: EtcdTarget, o: { readonly timeoutMs?: number } = {}): Store {
  const { endpoints, keyFile, certFile, caFile } = target;
  const read = (file: string | undefined) => (file === undefined ? undefined : readFileSync(file, "utf8"));
  const ca = read(caFile);
  const tls = ca === undefined ? undefined : { ca, cert: read(certFile), key: read(keyFile) };
  return openEtcd({ endpoints, ...(o.timeoutMs === undefined ? {} : { timeoutMs: o.timeoutMs }), ...(tls === undefined ? {} : { tls }) });
}
