import { accessSync, constants } from "node:fs";
import process from "node:process";
import type { EtcdOptions } from "./etcd.ts";

/** The flags of a daemon that say how it is let in by etcd. */
export interface EtcdAccess {
  readonly etcdCa?: string | undefined;
  readonly etcdCert?: string | undefined;
  readonly etcdKey?: string | undefined;
  readonly etcdUser?: string | undefined;
  readonly etcdPasswordFile?: string | undefined;
}

/** Those flags as options of openEtcd. The password is in a file or in ETCD_PASSWORD. */
export function etcdAccess(
  o: EtcdAccess,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Pick<EtcdOptions, "tls" | "auth"> {
  if (o.etcdCa === undefined && (o.etcdCert !== undefined || o.etcdKey !== undefined))
    throw new Error("Cannot use a certificate for etcd without knowing etcd's own authority: set --etcd-ca");
  if ((o.etcdCert === undefined) !== (o.etcdKey === undefined))
    throw new Error("Cannot use half of a certificate for etcd: --etcd-cert and --etcd-key belong together");
  const pair = o.etcdCert !== undefined && o.etcdKey !== undefined ? { certFile: o.etcdCert, keyFile: o.etcdKey } : {};
  return {
    ...(o.etcdCa === undefined ? {} : { tls: { caFile: o.etcdCa, ...pair } }),
    ...(o.etcdUser === undefined ? {} : { auth: { username: o.etcdUser, ...secretOf(o.etcdPasswordFile, env) } }),
  };
}

function secretOf(
  passwordFile: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): { readonly passwordFile: string } | { readonly password: string } {
  if (passwordFile !== undefined) {
    accessSync(passwordFile, constants.R_OK); // at once, not at the first call
    return { passwordFile };
  }
  const password = env["ETCD_PASSWORD"];
  if (password === undefined) throw new Error("Cannot log in to etcd: --etcd-user needs --etcd-password-file or ETCD_PASSWORD");
  return { password };
}
