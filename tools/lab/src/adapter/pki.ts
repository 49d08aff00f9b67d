import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import type { Topology } from "../domain/topology.ts";
import { mustExec } from "./exec.ts";

/** A certificate authority, the API server's certificate and a bearer token, for the life of one lab. */
export async function makePki(t: Topology, names: readonly string[]): Promise<void> {
  const dir = `${t.dir}/pki`;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  writeFileSync(`${dir}/token`, randomBytes(24).toString("base64url"), { mode: 0o600 });
  const alt = names.map((n) => (/^[\d.]+$/.test(n) ? `IP:${n}` : `DNS:${n}`)).join(",");
  writeFileSync(`${dir}/api.ext`, `basicConstraints=CA:FALSE\nsubjectAltName=${alt}\nextendedKeyUsage=serverAuth\n`);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  await mustExec([
    "openssl",
    "req",
    "-x509",
    ...key,
    "-keyout",
    `${dir}/ca.key`,
    "-out",
    `${dir}/ca.crt`,
    "-days",
    "7",
    "-subj",
    `/CN=calico-lab-${t.id}`,
  ]);
  await mustExec(["openssl", "req", ...key, "-keyout", `${dir}/api.key`, "-out", `${dir}/api.csr`, "-subj", "/CN=kube-apiserver"]);
  const sign = [
    "-req",
    "-in",
    `${dir}/api.csr`,
    "-CA",
    `${dir}/ca.crt`,
    "-CAkey",
    `${dir}/ca.key`,
    "-CAcreateserial",
    "-extfile",
    `${dir}/api.ext`,
  ];
  await mustExec(["openssl", "x509", ...sign, "-out", `${dir}/api.crt`, "-days", "7"]);
}

/** Write a kubeconfig (0600) for the lab's API server as seen at `server`. */
export function writeKubeconfig(t: Topology, file: string, server: string): void {
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "lab", cluster: { server, "certificate-authority-data": readFileSync(`${t.dir}/pki/ca.crt`).toString("base64") } }],
    users: [{ name: "lab", user: { token: readFileSync(`${t.dir}/pki/token`, "utf8") } }],
    contexts: [{ name: "lab", context: { cluster: "lab", user: "lab", namespace: "default" } }],
    "current-context": "lab",
  };
  writeFileSync(file, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 });
}
