/** NATS in operator mode: who may do what is in a JWT that the account signed, and `--nats-creds` is the file with it. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { nkeys } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";
import { afterAll, expect, test } from "vitest";
import { makeNatsLog } from "../src/adapter/nats-log.ts";
import { openNats } from "../src/adapter/nats.ts";
import { type FeedEvent, natsConnection, openFeed, permissionsFor, type Principal } from "../src/mod.ts";
import { startNats } from "../src/testing.ts";

const UNLIMITED = -1;
const dir = mkdtempSync(join(tmpdir(), `calico-creds-${process.pid}-`));
const operator = nkeys.createOperator();
const [account, systemAccount] = [nkeys.createAccount(), nkeys.createAccount()];

const base64url = (bytes: Uint8Array | string) => Buffer.from(bytes).toString("base64url");

/** Source: nats-io/jwt v2 (claims.go): header, claims, and an Ed25519 signature over both. */
function sign(issuer: nkeys.KeyPair, subject: nkeys.KeyPair, nats: object, expiresAt?: number): string {
  const claims = { iat: Math.floor(Date.now() / 1000), iss: issuer.getPublicKey(), sub: subject.getPublicKey(), exp: expiresAt, nats };
  const body = `${base64url('{"typ":"JWT","alg":"ed25519-nkey"}')}.${base64url(JSON.stringify(claims))}`;
  return `${body}.${base64url(issuer.sign(new TextEncoder().encode(body)))}`;
}

function accountJwt(key: nkeys.KeyPair): string {
  const [subs, data, payload, imports, exports, conn, leaf] = Array<number>(7).fill(UNLIMITED);
  const [mem_storage, disk_storage, streams, consumer] = Array<number>(4).fill(UNLIMITED);
  const stream = key === account ? { mem_storage, disk_storage, streams, consumer } : {}; // the system's account has none
  const limits = { subs, data, payload, imports, exports, wildcards: true, conn, leaf, ...stream };
  return sign(operator, key, { type: "account", version: 2, limits });
}

/** A credentials file as nsc writes it; Unix seconds. */
function credsFile(principal: Principal, o: { readonly issuer?: nkeys.KeyPair; readonly expiresAt?: number } = {}): string {
  const user = nkeys.createUser();
  const { publish: pub, subscribe: sub } = permissionsFor(principal);
  const limits = { subs: UNLIMITED, data: UNLIMITED, payload: UNLIMITED };
  const jwt = sign(o.issuer ?? account, user, { type: "user", version: 2, pub, sub, ...limits }, o.expiresAt);
  const seed = new TextDecoder().decode(user.getSeed());
  const part = (name: string, text: string) => `-----BEGIN ${name}-----\n${text}\n------END ${name}------\n`;
  const file = join(dir, `${principal.node}.creds`);
  writeFileSync(file, part("NATS USER JWT", jwt) + part("USER NKEY SEED", seed), { mode: 0o600 });
  return file;
}

const nats = await startNats({
  config: [
    `operator: "${sign(operator, operator, { type: "operator", version: 2 })}"`,
    `system_account: ${systemAccount.getPublicKey()}`,
    "resolver: MEMORY",
    `resolver_preload: { ${[account, systemAccount].map((key) => `${key.getPublicKey()}: "${accountJwt(key)}"`).join(", ")} }`,
  ].join("\n"),
});

type Entry = { readonly message: string; readonly fields?: unknown };
const logged: Entry[] = [];
const note = (message: string, fields?: object) => void logged.push({ message, fields });
const log = { info: note, warn: note, error: note, debug() {} };
const said = () => logged.map(({ message, fields }) => `${message} ${JSON.stringify(fields)}`).join("\n");
const end = new AbortController();
const { signal } = end;

const access = (principal: Principal, file = credsFile(principal)) => natsConnection({ node: principal.node, natsCreds: file });
const syncer = openNats({ servers: nats.servers, name: "syncer", log, connection: access({ role: "syncer", node: "ctl" }) });
const writer = await makeNatsLog(syncer, { signal }).claim({ id: "ctl", epoch: 1 });
const write = (name: string, revision: number) =>
  writer.append({
    key: `/calico/resources/v3/projectcalico.org/ippools/${name}`,
    subject: `calico.v3.ippools._.${name}`,
    op: "put" as const,
    revision,
    seenAt: Date.now(),
    data: JSON.stringify({ kind: "IPPool", metadata: { name } }),
  });
await write("a", 5);
await writer.complete(5);
const opened: Promise<void>[] = [];

afterAll(async () => {
  end.abort();
  await Promise.all(opened);
  await writer[Symbol.asyncDispose]();
  await syncer.close();
  await nats.stop();
  rmSync(dir, { recursive: true });
});

function follow(node: string, file: string): FeedEvent[] {
  const events: FeedEvent[] = [];
  const connection = access({ role: "node", node }, file);
  const feed = openFeed({ servers: nats.servers, name: `felix/${node}`, kinds: ["IPPool"], signal, log, connection });
  opened.push(
    (async () => {
      for await (const batch of feed) events.push(...batch);
    })(),
  );
  return events;
}

const names = (events: readonly FeedEvent[]) => events.flatMap((e) => (e.kind === "updated" ? [e.key.split("/").at(-1)] : []));

test("a node's credentials file: it follows the log, and cannot write to it", async () => {
  const node = { role: "node", node: "node1" } as const;
  const file = credsFile(node);
  const events = follow("node1", file);
  await expect.poll(() => names(events), { timeout: 5000 }).toContain("a");

  const intruder = await connect({ servers: nats.servers, ...access(node, file), reconnect: false, timeout: 2000 });
  try {
    const refused: string[] = [];
    void (async () => {
      for await (const status of intruder.status()) if (status.type === "error") refused.push(String(status.error));
    })();
    for (const subject of ["calico.v3.ippools._.evil", "calico.status.felix.node2"]) {
      intruder.publish(subject, "{}");
      await intruder.flush();
      await expect.poll(() => refused.join(), { timeout: 2000 }).toContain(`Permissions Violation for Publish to "${subject}"`);
    }
  } finally {
    await intruder.close();
  }
});

test("credentials that end: the server cuts the agent off, the reason is told, and new ones in the file let it in again", async () => {
  const node = { role: "node", node: "node2" } as const;
  const events = follow("node2", credsFile(node, { expiresAt: Math.floor(Date.now() / 1000) + 3 }));
  await expect.poll(() => names(events), { timeout: 2500 }).toContain("a");
  logged.length = 0;
  await expect.poll(said, { timeout: 10_000 }).toMatch(/the server refused the login; see .*--nats-creds/);
  expect(said().match(/refused the login/g)?.length).toBeLessThanOrEqual(2); // that they ended, and that they are not taken: not at each try
  credsFile(node);
  await write("b", 6);
  await writer.complete(6);
  await expect.poll(() => names(events), { timeout: 10_000 }).toContain("b");
});

test("credentials of an account that the server does not know are refused, and no secret is logged", async () => {
  const file = credsFile({ role: "node", node: "node3" }, { issuer: nkeys.createAccount() });
  logged.length = 0;
  const events = follow("node3", file);
  await expect.poll(said, { timeout: 5000 }).toMatch(/nats not reachable, trying again .*the server refused the login; see .*--nats-creds/);
  expect(events).toEqual([]);
  expect(JSON.stringify(logged)).not.toMatch(/SU[A-Z2-7]{50}|eyJ/);
});

test.for(["deno", "node"])("a credentials file is read on %s", async (runtime) => {
  const args = [join(import.meta.dirname, "follows.ts"), ...nats.servers, credsFile({ role: "node", node: "node4" }), "node4"];
  const run = promisify(execFile)(join(import.meta.dirname, "../../../setup/run.sh"), args, {
    env: { ...process.env, CALICO_RUNTIME: runtime },
    timeout: 20_000,
  });
  await expect(run).resolves.toMatchObject({ stdout: expect.stringContaining("ippools/a\n") as string });
});
