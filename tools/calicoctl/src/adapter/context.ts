/** A command's context on a real datastore, opened when it is first asked for. */
import { existsSync } from "node:fs";
import { resolveConfig } from "../domain/config.ts";
import { VERSION, versionMismatch } from "../domain/version.ts";
import { CliError } from "../domain/cli-error.ts";
import type { ResourceClient, Store } from "@calico/datastore";
import type { Past } from "@calico/bus";
import type { Context, Io, NatsFlags } from "../ports.ts";
import type { DatastoreConfig } from "../domain/config.ts";

export const DEFAULT_CONFIG_FILE = "/etc/calico/calicoctl.cfg";

export type GlobalFlags = { readonly config?: string; readonly etcd?: string; readonly allowVersionMismatch?: boolean };

/** Close it when the command is done: an open connection keeps the process alive. */
export function makeContext(io: Io, flags: GlobalFlags): Context & AsyncDisposable {
  let store: Promise<Store> | undefined;
  let client: Promise<ResourceClient> | undefined;
  const openStore = () => (store ??= open(io, flags));
  return {
    io,
    store: openStore,
    client: ({ anyVersion = flags.allowVersionMismatch ?? false } = {}) => (client ??= openClient(openStore(), anyVersion)),
    ipam: async () => (await import("@calico/ipam")).makeIpam({ store: await openStore() }),
    pods: podsOf,
    past: openLog,
    async [Symbol.asyncDispose]() {
      const opened = await store?.catch(() => undefined);
      await opened?.close();
    },
  };
}

async function podsOf(kubeconfig: string): Promise<readonly { name: string; ips: readonly string[] }[]> {
  const { keyOfObject, loadConfig, openKubeClient, RESOURCES } = await import("@calico/kube-client");
  const kube = openKubeClient(loadConfig(kubeconfig));
  try {
    const { items } = await kube.list(RESOURCES.pods);
    return items.map((pod) => {
      const { podIP, podIPs = [] } = (pod["status"] ?? {}) as { podIP?: string; podIPs?: readonly { ip?: string }[] };
      return { name: keyOfObject(pod), ips: [...new Set([podIP, ...podIPs.map((entry) => entry.ip)])].filter((ip) => ip !== undefined) };
    });
  } finally {
    kube.close();
  }
}

const LOG_TIMEOUT_MS = 5000;

async function openLog(servers: readonly string[], flags: NatsFlags): Promise<Past> {
  const { natsConnection, openPast } = await import("@calico/bus");
  const signal = AbortSignal.timeout(LOG_TIMEOUT_MS);
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const cannot = (cause: unknown): never => {
    const said = cause instanceof Error ? cause.message : String(cause);
    const advice = /permissions violation.*_INBOX/i.test(said) ? "; the credentials were made for another name, see --nats-name" : "";
    const why = cause === signal.reason ? `nobody answers there within ${LOG_TIMEOUT_MS / 1000} s` : `${said}${advice}`;
    throw new CliError(`cannot read the event log at ${servers.join(",")}: ${why}`, { cause });
  };
  const connection = natsConnection({ ...flags, node: flags.natsName ?? "calicoctl" });
  const past = await openPast({ servers, name: "calicoctl", log, signal, connection }).catch(cannot);
  return {
    read: (stream, filter) => past.read(stream, filter).catch(cannot),
    [Symbol.asyncDispose]: () => past[Symbol.asyncDispose](),
  };
}

async function open(io: Io, flags: GlobalFlags): Promise<Store> {
  const config = await readConfig(io, flags);
  const { openEtcd } = await import("@calico/datastore");
  const pem = async (part: "key" | "cert" | "ca") => {
    const given = config.tls[part];
    return given === undefined ? undefined : "pem" in given ? given.pem : await io.readText(given.file);
  };
  const [ca, cert, key] = [await pem("ca"), await pem("cert"), await pem("key")];
  if (ca === undefined && (cert !== undefined || key !== undefined))
    throw new CliError("etcd's key and certificate need its CA certificate: set ETCD_CA_CERT_FILE");
  return openEtcd({
    endpoints: config.endpoints,
    ...(ca === undefined ? {} : { tls: { ca, ...(cert === undefined ? {} : { cert }), ...(key === undefined ? {} : { key }) } }),
    ...(config.username === undefined ? {} : { auth: { username: config.username, password: config.password ?? "" } }),
  });
}

async function readConfig(io: Io, flags: GlobalFlags): Promise<DatastoreConfig> {
  const name = flags.config ?? (existsSync(DEFAULT_CONFIG_FILE) ? DEFAULT_CONFIG_FILE : undefined);
  if (name === undefined) return resolveConfig({ flag: flags.etcd, env: process.env });
  const [json] = await io.parseYaml(name, await io.readText(name));
  return resolveConfig({ flag: flags.etcd, env: process.env, file: { name, json } });
}

async function openClient(store: Promise<Store>, anyVersion: boolean): Promise<ResourceClient> {
  const { resourceClient } = await import("@calico/datastore");
  const opened = await store;
  const client = resourceClient(opened, { ipam: async () => (await import("@calico/ipam")).makeIpam({ store: opened }) });
  if (anyVersion) return client;
  const info = await client.get({ kind: "ClusterInformation", name: "default" });
  const mismatch = info.ok ? versionMismatch(VERSION, info.value.spec.calicoVersion) : undefined;
  if (mismatch !== undefined) throw new CliError(mismatch);
  return client;
}
