/** Replay over a NATS that wants TLS, a certificate of each client, and a login with few rights. */
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { renderAuthorization } from "@calico/bus";
import { startNats } from "@calico/bus/testing";
import { makeTestPki } from "@calico/datastore/testing";
import { keyOf } from "@calico/model";
import { aPool } from "@calico/model/testing";
import { jetstreamManager } from "@nats-io/jetstream";
import { headers } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";
import { afterAll, expect, test } from "vitest";

const root = new URL("../../../", import.meta.url).pathname;
const pki = makeTestPki();
const [server, mine] = [pki.issue("nats"), pki.issue("client")];
const foreign = makeTestPki("another-authority");
const password = (user: string) => `secret-of-${user}`;
const users = renderAuthorization([
  { user: "ctl", password: password("ctl"), role: "syncer", node: "ctl" },
  { user: "looker", password: password("looker"), role: "reader", node: "desk" },
]);
const nats = await startNats({
  config: `tls { cert_file: "${server.cert}", key_file: "${server.key}", ca_file: "${server.ca}", verify: true }\n${users}`,
});
const url = nats.servers.join(",").replace("nats://", "tls://");
writeFileSync(join(pki.dir, "password"), `${password("looker")}\n`, { mode: 0o600 });

/** The log as a syncer would have written it: its beginning, one pool, complete. */
async function writeLog(): Promise<void> {
  // The host is an address; what is tested here is what replay makes of it.
  const tls = { caFile: server.ca, certFile: mine.cert, keyFile: mine.key, checkServerIdentity: () => undefined };
  const nc = await connect({
    servers: nats.servers,
    user: "ctl",
    pass: password("ctl"),
    inboxPrefix: "_INBOX_ctl",
    tls,
  });
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  await jsm.streams.add({ name: "CALICO", subjects: ["calico.v3.>"], max_msgs_per_subject: 64 });
  const pool = aPool("pods", "10.0.0.0/16");
  const messages: readonly (readonly [string, string, Readonly<Record<string, string>>])[] = [
    ["calico.v3._log.fence", "", {}],
    [
      "calico.v3.ippools._.pods",
      JSON.stringify(pool),
      { "Calico-Key": keyOf({ kind: "IPPool", name: "pods" }), "Calico-Revision": "5", "Calico-Op": "put" },
    ],
    ["calico.v3._log.complete", "", { "Calico-Revision": "5" }],
  ];
  for (const [subject, data, fields] of messages) {
    const named = headers();
    for (const [name, value] of Object.entries(fields)) named.set(name, value);
    await nc.request(subject, data, { headers: named, timeout: 5000 });
  }
  await nc.close();
}
await writeLog();
afterAll(async () => {
  await nats.stop();
  pki[Symbol.dispose]();
  foreign[Symbol.dispose]();
});

const ACCESS = {
  NATS_CA_FILE: server.ca,
  NATS_CERT_FILE: mine.cert,
  NATS_KEY_FILE: mine.key,
  NATS_USER: "looker",
  NATS_PASSWORD_FILE: join(pki.dir, "password"),
  NODENAME: "desk",
};

function replay(
  env: Readonly<Record<string, string>>,
  command = "state --kind IPPool",
): Promise<{ code: number; out: string; err: string }> {
  const args = ["tools/replay/src/main.ts", ...command.split(" "), "--timeout", "3"];
  return new Promise((resolve) =>
    execFile(join(root, "setup/run.sh"), args, { env: { ...process.env, NATS_URL: url, ...env } }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    ),
  );
}

test.for(["deno", "node"])("secure: certificate, login and name of the credentials: the log is read, on %s", async (runtime) => {
  expect(await replay({ ...ACCESS, CALICO_RUNTIME: runtime })).toMatchObject({
    code: 0,
    err: "",
    out: expect.stringContaining("10.0.0.0/16"),
  });
});

test.for<{ name: string; env: Readonly<Record<string, string>>; why: RegExp }>([
  { name: "no certificate", env: { NATS_CERT_FILE: "", NATS_KEY_FILE: "" }, why: /--nats-cert/ },
  {
    name: "a server of an authority that we do not trust",
    env: { NATS_CA_FILE: foreign.ca },
    why: /not issued by the authority in --nats-ca/,
  },
  { name: "a wrong password", env: { NATS_PASSWORD_FILE: "", NATS_PASSWORD: "wrong" }, why: /refused the login; see --nats-user/ },
  { name: "credentials made for another name", env: { NODENAME: "somebody" }, why: /--nats-name/ },
  { name: "half of a certificate", env: { NATS_KEY_FILE: "" }, why: /--nats-cert and --nats-key belong together/ },
])("secure: $name: refused, and said why", async ({ env, why }) => {
  const given = Object.entries({ ...ACCESS, ...env }).filter(([, value]) => value !== "");
  // Several at once: when a refusal comes is a matter of chance, and none of them may end the process.
  for (const ran of await Promise.all([1, 2, 3].map(() => replay(Object.fromEntries(given))))) {
    expect(ran).toMatchObject({ code: 2, out: "" });
    expect(ran.err).toMatch(why);
  }
});
