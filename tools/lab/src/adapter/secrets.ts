import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { etcdUserCalls } from "../domain/etcd-roles.ts";
import { etcdFiles, secureNatsConfFile, principals, renderNatsConf, secretsDir } from "../domain/secure.ts";
import { NETWORK, PORTS, type Topology } from "../domain/topology.ts";
import { mustExec } from "./exec.ts";

/** A certificate and a password for each daemon of a secure lab, and NATS's configuration; only root may read them. */
export async function makeSecrets(t: Topology): Promise<void> {
  const users = principals(t).map((principal) => ({ ...principal, password: randomBytes(24).toString("base64url") }));
  const names = ["127.0.0.1", t.control.bgpIp, NETWORK.etcdServiceIp].map((ip) => `IP:${ip}`).join(",");
  await issue(t, "server", `subjectAltName=${names}\nextendedKeyUsage=serverAuth,clientAuth\n`);
  for (const { user, password } of users) {
    await issue(t, user, "extendedKeyUsage=clientAuth\n");
    writeFileSync(`${secretsDir(t, user)}/nats-password`, password, { mode: 0o600 });
  }
  writeFileSync(secureNatsConfFile(t), renderNatsConf(t, users), { mode: 0o600 });
}

/** Has etcd know each daemon by the name in its certificate, with the role that it needs, and nobody else. */
export async function enableEtcdRoles(t: Topology): Promise<void> {
  const { ca, cert, key } = etcdFiles(t, "tools");
  const etcdctl = `etcdctl --endpoints https://${t.control.bgpIp}:${PORTS.etcd} --cacert ${ca} --cert ${cert} --key ${key}`;
  const input = etcdUserCalls(t)
    .map((args) => `${etcdctl} ${args.join(" ")}\n`)
    .join("");
  await mustExec(["sh", "-e"], { netns: t.controlNetns, input, env: { ETCDCTL_API: "3" } });
}

async function issue(t: Topology, user: string, extensions: string): Promise<void> {
  const { ca, cert, key } = etcdFiles(t, user);
  const dir = secretsDir(t, user);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  writeFileSync(`${dir}/ext`, `basicConstraints=CA:FALSE\n${extensions}`);
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key];
  await mustExec(["openssl", "req", ...newKey, "-out", `${dir}/csr`, "-subj", `/O=calico-lab/CN=${user}`]);
  const authority = ["-CA", ca, "-CAkey", `${t.dir}/pki/ca.key`, "-CAcreateserial"];
  await mustExec(["openssl", "x509", "-req", "-in", `${dir}/csr`, ...authority, "-extfile", `${dir}/ext`, "-out", cert, "-days", "7"]);
}
