/**
 * The lab with TLS and logins: etcd and NATS want a certificate of each client, NATS a login too, and every daemon has its own.
 * The processes are those of processes.ts; only how they reach etcd and NATS is changed here.
 */
import { type NatsUser, renderAuthorization } from "@calico/bus";
import { NATS_CONF, natsConfFile, type ProcessSpec } from "./processes.ts";
import { PORTS, type Topology } from "./topology.ts";

/** One bearer of credentials: a node's daemons share theirs. `tools` is who sits at the keyboard. */
export type Principal = Omit<NatsUser, "password">;

export function principals(t: Topology): readonly Principal[] {
  return [
    ...t.nodes.map(({ name }) => ({ user: name, node: name, role: "node" as const })),
    { user: "syncer", node: "ctl", role: "syncer" },
    { user: "kube-controllers", node: "kube-controllers", role: "controller" },
    { user: "apiserver", node: "apiserver", role: "reader" },
    { user: "tools", node: "tools", role: "reader" },
  ];
}

export const secretsDir = (t: Topology, user: string): string => `${t.dir}/secure/${user}`;
export const secureNatsConfFile = (t: Topology): string => `${t.dir}/secure/nats.conf`;

/** The files of a principal, by the names that our programs and CNI's configuration have for them. */
export function etcdFiles(t: Topology, user: string): { readonly ca: string; readonly cert: string; readonly key: string } {
  const dir = secretsDir(t, user);
  return { ca: `${t.dir}/pki/ca.crt`, cert: `${dir}/tls.crt`, key: `${dir}/tls.key` };
}

export function environmentOf(t: Topology, { user, node, role }: Principal): Readonly<Record<string, string>> {
  const { ca, cert, key } = etcdFiles(t, user);
  return {
    ...{ ETCD_CA_CERT_FILE: ca, ETCD_CERT_FILE: cert, ETCD_KEY_FILE: key },
    ...{ NATS_CA_FILE: ca, NATS_CERT_FILE: cert, NATS_KEY_FILE: key, NATS_USER: user },
    NATS_PASSWORD_FILE: `${secretsDir(t, user)}/nats-password`,
    ...(role === "node" ? {} : { NODENAME: node }),
  };
}

const DAEMONS = /^(?:syncer|kube-controllers|apiserver)$|\/(?:felix|bgp|proxy-nat|ipam|cni)$/;

/** The same processes, with TLS and credentials. */
export function secured(t: Topology, specs: readonly ProcessSpec[]): readonly ProcessSpec[] {
  return specs.map((spec) => {
    if (spec.name === "etcd") return securedEtcd(t, spec);
    if (spec.name === "nats-server")
      return { ...spec, args: spec.args.map((arg) => (arg === natsConfFile(t) ? secureNatsConfFile(t) : arg)) };
    const principal = DAEMONS.test(spec.name) ? principals(t).find(({ user }) => user === (spec.node ?? spec.name)) : undefined;
    if (principal === undefined) return spec;
    return { ...spec, args: spec.args.map(toHttps), env: { ...spec.env, ...environmentOf(t, principal) } };
  });
}

const HEALTH_PORT = 2381;

function securedEtcd(t: Topology, spec: ProcessSpec): ProcessSpec {
  const { ca, cert, key } = serverFiles(t);
  const health = `http://${t.control.bgpIp}:${HEALTH_PORT}`;
  const tls = ["--client-cert-auth", "--trusted-ca-file", ca, "--cert-file", cert, "--key-file", key, "--listen-metrics-urls", health];
  const clientUrls = new RegExp(`^http://${t.control.bgpIp}:`);
  return {
    ...spec,
    args: [...spec.args.map((arg) => (clientUrls.test(arg) ? toHttps(arg) : arg)), ...tls],
    ready: { http: `${health}/health` },
  };
}

const ETCD_URL = new RegExp(`http://([0-9.]+:(?:${PORTS.etcd}|${PORTS.etcdService}))(?=,|$)`, "g");

function toHttps(text: string): string {
  return text.replace(ETCD_URL, "https://$1");
}

/** What etcd and NATS show to their clients. */
export function serverFiles(t: Topology): { readonly ca: string; readonly cert: string; readonly key: string } {
  return etcdFiles(t, "server");
}

/** nats-server's configuration: TLS, and what each user may do. */
export function renderNatsConf(t: Topology, users: readonly NatsUser[]): string {
  const { ca, cert, key } = serverFiles(t);
  return `${NATS_CONF}tls { cert_file: "${cert}", key_file: "${key}", ca_file: "${ca}", verify: true }\n${renderAuthorization(users)}`;
}
