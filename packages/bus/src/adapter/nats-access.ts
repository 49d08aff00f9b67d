import { readFileSync } from "node:fs";
import process from "node:process";
import { credsAuthenticator, usernamePasswordAuthenticator } from "@nats-io/nats-core";
import { inboxPrefixOf } from "../domain/subject.ts";
import type { NatsOptions } from "./nats.ts";

/** The flags of a daemon that say how it is let in by NATS. */
export interface NatsAccess {
  readonly node: string;
  readonly natsCa?: string | undefined;
  readonly natsCert?: string | undefined;
  readonly natsKey?: string | undefined;
  readonly natsCreds?: string | undefined;
  readonly natsUser?: string | undefined;
  readonly natsPasswordFile?: string | undefined;
}

type Env = Readonly<Record<string, string | undefined>>;

/** Those flags as the `connection` of everything here that connects. Files are read at each connection: they may be replaced. */
export function natsConnection(o: NatsAccess, env: Env = process.env): NonNullable<NatsOptions["connection"]> {
  if ((o.natsCert === undefined) !== (o.natsKey === undefined))
    throw new Error("Cannot use half of a certificate for NATS: --nats-cert and --nats-key belong together");
  if (o.natsCreds !== undefined && o.natsUser !== undefined)
    throw new Error("Cannot log in to NATS twice: use either --nats-creds or --nats-user");
  const tls = {
    ...(o.natsCa === undefined ? {} : { caFile: o.natsCa }),
    ...(o.natsCert === undefined ? {} : { certFile: o.natsCert }),
    ...(o.natsKey === undefined ? {} : { keyFile: o.natsKey }),
  };
  const authenticator = authenticatorOf(o, env);
  return {
    inboxPrefix: inboxPrefixOf(o.node),
    ...(Object.keys(tls).length === 0 ? {} : { tls }),
    ...(authenticator === undefined ? {} : { authenticator }),
  };
}

function authenticatorOf({ natsCreds, natsUser, natsPasswordFile }: NatsAccess, env: Env) {
  if (natsCreds !== undefined) return credsAuthenticator(() => readFileSync(natsCreds));
  if (natsUser === undefined) return undefined;
  const password = natsPasswordFile === undefined ? () => env["NATS_PASSWORD"] : () => readFileSync(natsPasswordFile, "utf8").trimEnd();
  if (password() === undefined) throw new Error("Cannot log in to NATS: --nats-user needs --nats-password-file or NATS_PASSWORD");
  return usernamePasswordAuthenticator(natsUser, () => password() ?? "");
}
