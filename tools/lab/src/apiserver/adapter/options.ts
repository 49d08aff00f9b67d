import { type Cidr, parseCidr, parseIp } from "@calico/model";

export interface ServerSettings {
  readonly etcd: readonly string[];
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly tokenFile: string;
  readonly serviceCidr: Cidr;
  readonly advertise: string;
}

/** The command line's texts, checked. Throws with the flag's name. */
export function parseOptions(flags: Readonly<Record<string, string | undefined>>): ServerSettings {
  const listen = flags["listen"] ?? "";
  const m = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(listen);
  const host = m?.[1] ?? m?.[2] ?? "";
  const port = Number(m?.[3] ?? -1);
  if (m === null || port > 65535) throw new Error(`Cannot use --listen "${listen}": expected HOST:PORT`);
  const { tlsCert, tlsKey } = flags;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) throw new Error("Cannot serve TLS: --tls-cert and --tls-key go together");
  const range = parseCidr(flags["serviceCidr"] ?? "");
  if (!range.ok) throw new Error(`Cannot use --service-cidr "${flags["serviceCidr"]}": ${range.error}`);
  if (range.value.len > 28) throw new Error(`Cannot use --service-cidr "${flags["serviceCidr"]}": expected /28 or larger`);
  const advertise = flags["advertise"] ?? host;
  if (!parseIp(advertise).ok) throw new Error(`Cannot use --advertise "${advertise}": expected an IP address`);
  return {
    etcd: (flags["etcd"] ?? "").split(",").map((s) => s.trim()),
    host,
    port,
    tls: tlsCert === undefined || tlsKey === undefined ? undefined : { cert: tlsCert, key: tlsKey },
    tokenFile: flags["tokenFile"] ?? "",
    serviceCidr: range.value,
    advertise,
  };
}
