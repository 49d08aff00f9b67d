import { execFile } from "node:child_process";
import { copyFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect as dial, createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { makeTestPki } from "@calico/datastore/testing";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";
import { afterAll, afterEach, expect, test } from "vitest";
import { makeNatsLog } from "../src/adapter/nats-log.ts";
import { withIdentity } from "../src/adapter/nats-identity.ts";
import { openNats } from "../src/adapter/nats.ts";
import { type FeedEvent, natsConnection, openFeed, openReporter, openReports, renderAuthorization, type Role } from "../src/mod.ts";
import { startNats } from "../src/testing.ts";

const pki = makeTestPki();
const server = pki.issue("nats");
const mine = pki.issue("client");
const tls = `tls { cert_file: "${server.cert}", key_file: "${server.key}", ca_file: "${server.ca}", verify: true }\n`;

const USERS: readonly { readonly role: Role; readonly node: string }[] = [
  { role: "node", node: "node1" },
  { role: "node", node: "node2.example" },
  { role: "syncer", node: "ctl" },
  { role: "reader", node: "look" },
];
const users = USERS.map((u) => ({ ...u, user: u.node, password: `secret-of-${u.node}` }));
const nats = await startNats({ config: `${tls}${renderAuthorization(users)}` });

type Entry = { readonly level: string; readonly message: string; readonly fields?: unknown };
const logged: Entry[] = [];
const logAt = (level: string) => (message: string, fields?: object) => void logged.push({ level, message, fields });
const log = { info: logAt("info"), warn: logAt("warn"), error: logAt("error"), debug: logAt("debug") };
const end = new AbortController();
const { signal } = end;
const opened: (() => Promise<void>)[] = [];

function access(node: string, certificate = mine) {
  const file = join(pki.dir, `password-${node}`);
  writeFileSync(file, `secret-of-${node}\n`, { mode: 0o600 });
  const connection = natsConnection({
    node,
    natsCa: certificate.ca,
    natsCert: certificate.cert,
    natsKey: certificate.key,
    natsUser: node,
    natsPasswordFile: file,
  });
  return { ...connection, ...withIdentity(connection, nats.servers) };
}

/** A plain connection with a node's credential: what an intruder on that node could use. */
async function loginAs(node: string): Promise<NatsConnection> {
  const nc = await connect({ servers: nats.servers, ...access(node), reconnect: false, timeout: 2000 });
  opened.push(() => nc.close());
  return nc;
}

/** Subjects that the server refused to let this connection publish or subscribe to. */
function refusals(nc: NatsConnection): string[] {
  const found: string[] = [];
  void (async () => {
    for await (const status of nc.status()) if (status.type === "error") found.push(String(status.error));
  })();
  return found;
}

const syncerNats = openNats({ servers: nats.servers, name: "syncer", log, connection: access("ctl") });
const writer = await makeNatsLog(syncerNats, { signal }).claim({ id: "ctl", epoch: 1 });
const publication = (name: string, revision: number) => ({
  key: `/calico/resources/v3/projectcalico.org/ippools/${name}`,
  subject: `calico.v3.ippools._.${name}`,
  op: "put" as const,
  revision,
  seenAt: Date.now(),
  data: JSON.stringify({ kind: "IPPool", metadata: { name } }),
});
await writer.append(publication("a", 5));
await writer.complete(5);

afterEach(async () => {
  for (const close of opened.splice(0)) await close();
});
afterAll(async () => {
  end.abort();
  await writer[Symbol.asyncDispose]();
  await syncerNats.close();
  await nats.stop();
  pki[Symbol.dispose]();
});

/** Follow the log as an agent of `node` does, until `done`. */
function follow(node: string, connection = access(node)) {
  const events: FeedEvent[] = [];
  const left = new AbortController();
  const feed = openFeed({ servers: nats.servers, name: `felix/${node}`, kinds: ["IPPool"], signal: left.signal, log, connection });
  const reading = (async () => {
    for await (const batch of feed) events.push(...batch);
  })();
  opened.push(async () => (left.abort(), await reading));
  return events;
}

const keys = (events: readonly FeedEvent[]) => events.flatMap((e) => (e.kind === "updated" ? [e.key.split("/").at(-1)] : []));

test("a node's credential: its agents follow the log and say how they are", async () => {
  const events = follow("node1");
  await expect.poll(() => events.some((e) => e.kind === "inSync"), { timeout: 5000 }).toBe(true);
  expect(keys(events)).toContain("a");

  const seen: string[] = [];
  const left = new AbortController();
  const reading = (async () => {
    for await (const report of openReports({ servers: nats.servers, signal: left.signal, log, connection: access("look") }))
      seen.push(report.kind === "event" ? report.subject : `${report.kind} ${report.body.component} ${report.body.node}`);
  })();
  for (const node of ["node1", "node2.example"]) {
    const reporter = openReporter({ servers: nats.servers, component: "felix", node, log, connection: access(node) });
    opened.push(() => reporter.close());
    reporter.status({ healthy: true, inSync: true, revision: 5, version: "0", detail: {} });
  }
  const cni = openReporter({ servers: nats.servers, component: "cni", node: "node1", log, connection: access("node1") });
  opened.push(() => cni.close());
  await expect
    .poll(() => (cni.event("cni.node1.add", { ok: true }), [...new Set(seen)].sort()), { timeout: 5000 })
    .toEqual(["calico.cni.node1.add", "status felix node1", "status felix node2.example"]);
  left.abort();
  await reading;
});

const JS = "$JS.API";
test.for([
  { name: "publish state", subject: "calico.v3.ippools._.evil" },
  { name: "publish a fence", subject: "calico.v3._log.fence" },
  { name: "publish the leader's heartbeat", subject: "calico.heartbeat" },
  { name: "publish a frame", subject: "calico.tail" },
  { name: "publish another node's status", subject: "calico.status.felix.node2%2Eexample" },
  { name: "publish another node's applied revision", subject: "calico.applied.felix.node2%2Eexample" },
  { name: "publish another node's CNI call", subject: "calico.cni.node2%2Eexample.add" },
  { name: "speak as the syncer", subject: "calico.status.syncer.node1" },
  { name: "answer another node's request", subject: "_INBOX_node2%2Eexample.x.y" },
  { name: "delete the log", subject: `${JS}.STREAM.DELETE.CALICO` },
  { name: "purge the log", subject: `${JS}.STREAM.PURGE.CALICO` },
  { name: "delete a message of the log", subject: `${JS}.STREAM.MSG.DELETE.CALICO` },
  { name: "change the log", subject: `${JS}.STREAM.UPDATE.CALICO` },
  { name: "make a stream over the log's subjects", subject: `${JS}.STREAM.CREATE.MINE` },
  { name: "restore a stream", subject: `${JS}.STREAM.RESTORE.CALICO` },
  { name: "delete the nodes' reports", subject: `${JS}.STREAM.DELETE.CALICO_NODE` },
  { name: "read the nodes' reports", subject: `${JS}.CONSUMER.CREATE.CALICO_NODE` },
  { name: "learn others' consumers", subject: `${JS}.CONSUMER.NAMES.CALICO` },
  { name: "make a durable consumer", subject: `${JS}.CONSUMER.DURABLE.CREATE.CALICO.mine` },
])("a node's credential cannot $name", async ({ subject }) => {
  const nc = await loginAs("node1");
  const refused = refusals(nc);
  nc.publish(subject, "{}");
  await nc.flush();
  await expect.poll(() => refused.join(), { timeout: 2000 }).toContain(`Permissions Violation for Publish to "${subject}"`);
});

test.for([">", "calico.status.>", "_INBOX.>", "_INBOX_node2%2Eexample.>", "$SYS.>", "$JS.>"])(
  "a node's credential cannot listen to %s",
  async (subject) => {
    const nc = await loginAs("node1");
    const refused = refusals(nc);
    nc.subscribe(subject, { callback: () => {} });
    await nc.flush();
    await expect.poll(() => refused.join(), { timeout: 2000 }).toContain(`Permissions Violation for Subscription to "${subject}"`);
  },
);

test("a node's credential cannot have the server write state for it, by a push consumer", async () => {
  const nc = await loginAs("node1");
  const config = { deliver_subject: "calico.v3.ippools._.evil", filter_subject: "calico.v3.>", ack_policy: "none", deliver_policy: "all" };
  const answer = await nc.request(`${JS}.CONSUMER.CREATE.CALICO`, JSON.stringify({ stream_name: "CALICO", config }), { timeout: 2000 });
  expect(answer.json<{ error?: { description: string } }>().error?.description).toMatch(/forms a cycle/);
});

test("what was refused changed nothing", async () => {
  const nc = await loginAs("ctl");
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const { state, config } = await jsm.streams.info("CALICO", { subjects_filter: ">" });
  expect(config.subjects).toEqual(["calico.v3.>"]);
  const subjects = Object.keys(state.subjects ?? {}).filter((subject) => !subject.includes("._log.gap."));
  expect(subjects.sort()).toEqual(["calico.v3._log.complete", "calico.v3._log.fence", "calico.v3.ippools._.a"]);
  await expect(jetstream(nc).publish("calico.v3.ippools._.a", "{}", { expect: { lastSequence: 1 } })).rejects.toThrow(
    /wrong last sequence/,
  );
});

test("nobody gets in without a certificate, with a wrong password, or with another's name", async () => {
  const { tls: _, ...noTls } = access("node1");
  await expect(connect({ servers: nats.servers, ...noTls, tls: { caFile: pki.ca }, reconnect: false, timeout: 2000 })).rejects.toThrow();
  const wrong = withIdentity(
    natsConnection(
      { ...{ node: "node1", natsCa: mine.ca, natsCert: mine.cert, natsKey: mine.key, natsUser: "ctl" } },
      { NATS_PASSWORD: "secret-of-node1" },
    ),
    nats.servers,
  );
  await expect(connect({ servers: nats.servers, ...wrong, reconnect: false, timeout: 2000 })).rejects.toThrow(/Authorization Violation/i);
});

test("a server of an authority that we do not trust is named in the log, the password is not", async () => {
  using other = makeTestPki("other");
  logged.length = 0;
  follow("node1", access("node1", { ...mine, ca: other.ca }));
  await expect
    .poll(() => logged.map(({ message, fields }) => `${message} ${JSON.stringify(fields)}`).join("\n"), { timeout: 5000 })
    .toMatch(/nats not reachable, trying again .*the server's certificate was not issued by the authority in --nats-ca/);
  expect(JSON.stringify(logged)).not.toContain("secret-of");
});

test("a server whose certificate is for another host is not spoken to", async () => {
  const [server = ""] = nats.servers;
  const port = Number(new URL(server).port);
  const relay = createServer((socket) => {
    const on = dial(port, "127.0.0.1");
    socket.on("error", () => on.destroy());
    on.on("error", () => socket.destroy());
    socket.pipe(on).pipe(socket);
  });
  await new Promise<void>((resolve) => relay.listen(0, "127.0.0.2", resolve));
  opened.push(async () => void relay.close());
  const elsewhere = [`nats://127.0.0.2:${(relay.address() as AddressInfo).port}`];
  logged.length = 0;
  const lost = openNats({ servers: elsewhere, name: "lost", log, connection: access("node1") });
  opened.push(() => lost.close());
  await expect
    .poll(() => logged.map(({ fields }) => (fields as { reason?: string }).reason).join(), { timeout: 5000 })
    .toContain("the server's certificate is not for a host of --nats");
});

test.for(["deno", "node"])("a server is left by force, over TLS, on %s", async (runtime) => {
  const plain = await startNats({ config: tls });
  opened.push(() => plain.stop());
  const args = [join(import.meta.dirname, "leaves-server.ts"), ...plain.servers, mine.ca, mine.cert, mine.key];
  const env = { ...process.env, CALICO_RUNTIME: runtime };
  const run = promisify(execFile)(join(import.meta.dirname, "../../../setup/run.sh"), args, { env, timeout: 20_000 });
  await expect(run).resolves.toMatchObject({ stdout: "left, and back\n" });
});

test("certificates are replaced on both sides: readers and the syncer connect again by themselves", async () => {
  const at = (file: string) => join(pki.dir, file);
  const live = { ca: at("live-ca"), cert: at("live-cert"), key: at("live-key") };
  const install = (c: typeof mine, to = live) => (copyFileSync(c.ca, to.ca), copyFileSync(c.cert, to.cert), copyFileSync(c.key, to.key));
  install(mine);
  const events = follow("node1", access("node1", live));
  await expect.poll(() => events.some((e) => e.kind === "inSync"), { timeout: 5000 }).toBe(true);
  const leader = openNats({ servers: nats.servers, name: "leader", log, connection: access("ctl", live) });
  opened.push(() => leader.close());
  await (await makeNatsLog(leader, { signal }).claim({ id: "ctl", epoch: 2 })).append(publication("before", 6));
  await expect.poll(() => keys(events), { timeout: 5000 }).toContain("before");

  using next = makeTestPki("next"); // another authority altogether
  await nats.kill();
  const old = { ca: at("old-ca"), cert: at("old-cert"), key: at("old-key") };
  install(mine, old);
  install(next.issue("nats"), server);
  install(next.issue("client"), live);
  await nats.restart();
  await using again = await makeNatsLog(leader, { signal }).claim({ id: "ctl", epoch: 3 });
  await again.append(publication("rotated", 7));
  await expect.poll(() => keys(events), { timeout: 10_000 }).toContain("rotated");
  // The old certificate is worth nothing now.
  await expect(
    connect({ servers: nats.servers, ...access("node1", { ...old, ca: server.ca }), reconnect: false, timeout: 2000 }),
  ).rejects.toThrow();
});
