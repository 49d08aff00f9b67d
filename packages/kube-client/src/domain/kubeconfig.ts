/**
 * kubeconfig text → what a connection needs. Pure: files that it names are returned as names, for the adapter to read.
 *
 * Source: Kubernetes documentation, "kubeconfig (v1)".
 */
import { err, ok, type Result } from "@calico/model";
import { parse } from "yaml";
import { z } from "zod";

/** Bytes given in place, or the file that holds them. */
export type Material = { readonly data: string } | { readonly file: string };

export interface ParsedKubeconfig {
  readonly context: string;
  readonly server: string;
  readonly namespace: string;
  readonly ca?: Material;
  readonly insecureSkipTlsVerify: boolean;
  readonly tlsServerName?: string;
  readonly clientCertificate?: Material;
  readonly clientKey?: Material;
  readonly token?: Material;
}

const text = z.string().min(1).optional();
const cluster = z.object({
  server: z.url(),
  "certificate-authority": text,
  "certificate-authority-data": text,
  "insecure-skip-tls-verify": z.boolean().optional(),
  "tls-server-name": text,
  "proxy-url": text,
});
const user = z.object({
  token: text,
  tokenFile: text,
  "client-certificate": text,
  "client-certificate-data": text,
  "client-key": text,
  "client-key-data": text,
  username: text,
  exec: z.unknown().optional(),
  "auth-provider": z.unknown().optional(),
});
const context = z.object({ cluster: z.string(), user: z.string().optional(), namespace: text });
const named = <K extends string, T extends z.ZodType>(key: K, inner: T) =>
  z.array(z.object({ name: z.string(), [key]: inner } as { name: z.ZodString } & Record<K, T>)).default([]);
const file = z.object({
  "current-context": z.string().optional(),
  clusters: named("cluster", cluster),
  users: named("user", user),
  contexts: named("context", context),
});

/** Choose `wanted` (default: `current-context`) and resolve its cluster and user. The error names the field. */
export function parseKubeconfig(source: string, wanted?: string): Result<ParsedKubeconfig, string> {
  const document = parseYaml(source);
  if (!document.ok) return document;
  const parsed = file.safeParse(document.value);
  if (!parsed.success) return err(parsed.error.issues.map((i) => `${i.path.join(".")}: ${i.message}`).join("; "));
  const config = parsed.data;
  const name = wanted ?? config["current-context"] ?? "";
  const entry = config.contexts.find((c) => c.name === name)?.context;
  if (entry === undefined) return err(`context "${name}" is not in it, it has: ${config.contexts.map((c) => c.name).join(", ") || "none"}`);
  const to = config.clusters.find((c) => c.name === entry.cluster)?.cluster;
  if (to === undefined) return err(`contexts[${name}].cluster: cluster "${entry.cluster}" is not in it`);
  const as = entry.user === undefined ? undefined : config.users.find((u) => u.name === entry.user)?.user;
  if (entry.user !== undefined && as === undefined) return err(`contexts[${name}].user: user "${entry.user}" is not in it`);
  const refused = unsupported(to, as ?? {});
  if (refused !== undefined) return err(refused);
  return ok({ context: name, namespace: entry.namespace ?? "default", ...connection(to, as ?? {}) });
}

function parseYaml(source: string): Result<unknown, string> {
  try {
    return ok(parse(source));
  } catch (e) {
    return err(`it is not YAML: ${e instanceof Error ? e.message.split("\n")[0] : String(e)}`);
  }
}

function unsupported(to: z.infer<typeof cluster>, as: z.infer<typeof user>): string | undefined {
  if (to["proxy-url"] !== undefined) return "clusters[].cluster.proxy-url is not supported; name the API server directly";
  if (as.exec !== undefined) return "users[].user.exec is not supported; use a token, tokenFile or client certificate";
  if (as["auth-provider"] !== undefined) return "users[].user.auth-provider is not supported; use a token, tokenFile or client certificate";
  if (as.username !== undefined) return "users[].user.username is not supported; use a token, tokenFile or client certificate";
  return undefined;
}

function connection(to: z.infer<typeof cluster>, as: z.infer<typeof user>): Omit<ParsedKubeconfig, "context" | "namespace"> {
  const optional = <K extends string, V>(key: K, value: V | undefined) => (value === undefined ? {} : ({ [key]: value } as Record<K, V>));
  return {
    server: to.server,
    insecureSkipTlsVerify: to["insecure-skip-tls-verify"] ?? false,
    ...optional("ca", material(to["certificate-authority-data"], to["certificate-authority"])),
    ...optional("tlsServerName", to["tls-server-name"]),
    ...optional("clientCertificate", material(as["client-certificate-data"], as["client-certificate"])),
    ...optional("clientKey", material(as["client-key-data"], as["client-key"])),
    ...optional("token", as.tokenFile !== undefined ? { file: as.tokenFile } : as.token !== undefined ? { data: as.token } : undefined),
  };
}

/** Inline data wins over a file, as in client-go. */
function material(base64: string | undefined, fileName: string | undefined): Material | undefined {
  if (base64 !== undefined) return { data: new TextDecoder().decode(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))) };
  return fileName === undefined ? undefined : { file: fileName };
}
