import { checkServerIdentity, type PeerCertificate } from "node:tls";
import type { NodeConnectionOptions } from "@nats-io/transport-node";

type Connection = Omit<NodeConnectionOptions, "servers" | "name">;

/**
 * The same options, with the server's certificate held to the hosts that were configured.
 *
 * nats.js upgrades a socket that it has, and gives TLS no name where the host is an address: "localhost" would be checked.
 * Servers that a cluster tells of are held to the configured hosts too.
 */
export function withIdentity(connection: Connection | undefined, servers: readonly string[]): Connection | undefined {
  if (connection?.tls === undefined || connection.tls === null) return connection;
  const hosts = servers.map((url) => new URL(url).hostname.replace(/^\[|\]$/g, ""));
  const check = (_sent: string, certificate: PeerCertificate): Error | undefined => {
    const faults = hosts.map((host) => checkServerIdentity(host, certificate));
    return faults.includes(undefined) ? undefined : faults[0];
  };
  return { ...connection, tls: { ...connection.tls, checkServerIdentity: check } as Connection["tls"] } as Connection;
}
