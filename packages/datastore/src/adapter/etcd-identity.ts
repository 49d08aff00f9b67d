/**
 * Whether etcd's certificate is for a host that we meant, where hosts are addresses.
 *
 * gRPC names the host in TLS's server name, where an address must not stand: Node warns, Deno refuses. So a fixed name is
 * sent (etcd ignores it), and the certificate is checked here, against the endpoints' own hosts.
 */
import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import type { Etcd3 } from "etcd3";

const SENT_NAME = "etcd";

/** gRPC options for endpoints of which one is an address; none where all are names. */
export function identityOptions(endpoints: readonly string[]): Readonly<Record<string, string>> {
  return hostsOf(endpoints).some((host) => isIP(host) !== 0) ? { "grpc.ssl_target_name_override": SENT_NAME } : {};
}

/** To be called on a new client that was given identityOptions, before its first call. */
export function checkIdentity(etcd: Etcd3, endpoints: readonly string[]): void {
  const hosts = hostsOf(endpoints);
  if (!hosts.some((host) => isIP(host) !== 0)) return;
  const check = (_sent: string, certificate: PeerCertificate): Error | undefined => {
    const faults = hosts.map((host) => checkServerIdentity(host, certificate));
    return faults.includes(undefined) ? undefined : faults[0];
  };
  for (const options of verifyOptionsOf(etcd)) options.checkServerIdentity = check;
}

type VerifyOptions = { checkServerIdentity?: (host: string, certificate: PeerCertificate) => Error | undefined };

/** etcd3 has no option for this. Throws if its insides are not as we know them: nothing may go unchecked. */
function verifyOptionsOf(etcd: Etcd3): VerifyOptions[] {
  const { pool } = etcd as unknown as { pool?: { hosts?: { channelCredentials?: { verifyOptions?: VerifyOptions } }[] } };
  const options = (pool?.hosts ?? []).map((host) => host.channelCredentials?.verifyOptions);
  const known = options.filter((one) => one !== undefined);
  if (known.length === 0 || known.length < options.length)
    throw new Error("Cannot check etcd's certificate: this release of etcd3 is not known");
  return known;
}

function hostsOf(endpoints: readonly string[]): string[] {
  return endpoints.filter((url) => url.startsWith("https:")).map((url) => new URL(url).hostname.replace(/^\[|\]$/g, ""));
}
