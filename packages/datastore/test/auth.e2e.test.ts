import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { afterAll, expect, test } from "vitest";
import { openEtcd, resourceClient, type Store } from "../src/mod.ts";
import { enableRoles, makeEtcdctl, makeTestPki, startEtcd } from "../src/testing.ts";

const TTL_SEC = 1;
const PASSWORD = "test-only";

/** Tokens end a second after their last use, where a cluster's have five minutes. */
const etcd = await startEtcd({ flags: ["--auth-token-ttl", String(TTL_SEC), "--bcrypt-cost", "4", "--log-level", "warn"] });
afterAll(() => etcd.stop());
const [endpoint = ""] = etcd.endpoints;
enableRoles(makeEtcdctl(endpoint), PASSWORD);
const asRoot = makeEtcdctl(endpoint, ["--user", `root:${PASSWORD}`]);

const open = (username: string, log?: { warn(message: string, fields?: object): void }): Store =>
  openEtcd({ endpoints: etcd.endpoints, auth: { username, password: PASSWORD }, ...(log && { log }) });
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const NODES = "/calico/resources/v3/projectcalico.org/nodes/";

test("auth: a token that ended is replaced under a write; nothing is written twice or lost", async () => {
  await using store = open("calicoctl");
  await store.create(`${NODES}counter`, "0");
  for (let i = 1; i <= 3; i++) {
    await expireTokens();
    const now = await store.get(`${NODES}counter`);
    await expireTokens();
    expect(await store.update(`${NODES}counter`, String(i), now?.modRevision)).toMatchObject({ ok: true });
  }
  expect((await store.get(`${NODES}counter`))?.value).toBe("3");
});

test("auth: a watch that etcd breaks after its token ended goes on where it was", async () => {
  await using writer = open("calicoctl");
  await using store = open("agent");
  const { revision } = await store.list(NODES);
  const abort = new AbortController();
  const seen: string[] = [];
  const watching = (async () => {
    for await (const event of store.watch(NODES, { fromRevision: revision + 1, signal: abort.signal }))
      if (event.kind === "put") seen.push(event.value);
  })();
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 20; i++) await writer.put(`${NODES}n${i}`, `${round}/${i}`);
    await expireTokens();
    await etcd.restart(); // tokens are in memory: this ends them, too
  }
  await writer.put(`${NODES}n`, "last");
  await expect.poll(() => seen.at(-1), { timeout: 20_000 }).toBe("last");
  abort.abort();
  await watching;
  expect(seen).toEqual([...[0, 1].flatMap((round) => Array.from({ length: 20 }, (_, i) => `${round}/${i}`)), "last"]);
});

test("auth: a second watch of a client that was silent for longer than its token", async () => {
  await using store = open("agent");
  await store.list(NODES);
  await expireTokens();
  const abort = new AbortController();
  for await (const event of store.watch(NODES, { fromRevision: 1, signal: abort.signal })) {
    expect(event.kind).toBe("put");
    abort.abort();
  }
});

test("auth: a leader stays one over its token's end, as its lease is renewed", async () => {
  await using store = open("syncer");
  const leader = await store.elect("auth-test", "one", new AbortController().signal);
  await expireTokens();
  await expireTokens();
  expect(leader.lost.aborted).toBe(false);
  await leader.resign();
  const again = await store.elect("auth-test", "one", new AbortController().signal);
  expect(again.epoch).toBeGreaterThan(leader.epoch);
  await again.resign();
});

test("auth: a change of roles and passwords while the client goes on", async () => {
  await using store = open("agent");
  await store.get(`${NODES}n`);
  asRoot("role", "add", "another");
  asRoot("user", "grant-role", "agent", "another");
  expect((await store.get(`${NODES}n`))?.value).toBe("last");
});

test("auth: a wrong password and a missing one are named", async () => {
  await using wrong = openEtcd({ endpoints: etcd.endpoints, auth: { username: "agent", password: "x" } });
  await expect(wrong.get("/calico/a")).rejects.toThrow(
    /Cannot read \/calico\/a: etcd does not take the user or the password of --etcd-user/,
  );
  await using nobody = openEtcd({ endpoints: etcd.endpoints });
  await expect(nobody.get("/calico/a")).rejects.toThrow(/Cannot read \/calico\/a: etcd wants to know the user; see --etcd-user/);
  await using agent = open("agent");
  const objects = resourceClient(agent);
  await expect(objects.create({ kind: "Tier", metadata: { name: "t" } })).rejects.toThrow(
    /Cannot create .*: the role of this user .* does not allow it; see docs\/operations.md/,
  );
  const events = agent.watch("/secret/", { fromRevision: 1, signal: AbortSignal.timeout(10_000) });
  await expect(
    (async () => {
      for await (const _ of events);
    })(),
  ).rejects.toThrow(/Cannot watch \/secret\/: .*permission denied/);
});

test("auth: a JWT that is older than a change of roles, and a password that is replaced in its file", async () => {
  using pki = makeTestPki();
  const at = (file: string) => join(pki.dir, file);
  execFileSync("openssl", ["genrsa", "-out", at("jwt.key"), "2048"], { stdio: "ignore" });
  execFileSync("openssl", ["rsa", "-in", at("jwt.key"), "-pubout", "-out", at("jwt.pub")], { stdio: "ignore" });
  const jwt = `jwt,pub-key=${at("jwt.pub")},priv-key=${at("jwt.key")},sign-method=RS256,ttl=10m`;
  await using own = await startEtcd({ flags: ["--auth-token", jwt, "--bcrypt-cost", "4"] });
  enableRoles(makeEtcdctl(own.endpoints[0]!), PASSWORD);
  const root = makeEtcdctl(own.endpoints[0]!, ["--user", `root:${PASSWORD}`]);
  writeFileSync(at("password"), `${PASSWORD}\n`);
  await using store = openEtcd({ endpoints: own.endpoints, auth: { username: "calicoctl", passwordFile: at("password") } });
  await store.put(`${NODES}a`, "1");
  root("role", "add", "another");
  await store.put(`${NODES}a`, "2");
  const asked = ["--endpoints", own.endpoints.join(), "--user", `root:${PASSWORD}`, "user", "passwd", "calicoctl", "--interactive=false"];
  execFileSync("etcdctl", asked, { input: "other\n", stdio: ["pipe", "ignore", "pipe"], env: { ...process.env, ETCDCTL_API: "3" } });
  writeFileSync(at("password"), "other");
  await store.put(`${NODES}a`, "3");
  expect((await store.get(`${NODES}a`))?.value).toBe("3");
});

test("auth: user and password over TLS to an address, on Deno as on Node", async () => {
  using pki = makeTestPki();
  await using own = await startEtcd({ tls: pki.issue("etcd"), anyClient: true, flags: ["--bcrypt-cost", "4"] });
  enableRoles(makeEtcdctl(own.endpoints[0]!, ["--cacert", pki.ca]), PASSWORD);
  const env = {
    ...process.env,
    ...{ ETCD_ENDPOINTS: own.endpoints.join(), ETCD_CA_CERT_FILE: pki.ca, ETCD_USERNAME: "calicoctl" },
  };
  const calicoctl = (runtime: string, password: string) =>
    spawnSync("setup/run.sh", ["tools/calicoctl/src/main.ts", "get", "profiles"], {
      encoding: "utf8",
      env: { ...env, CALICO_RUNTIME: runtime, ETCD_PASSWORD: password },
    });
  for (const runtime of ["deno", "node"]) {
    expect(calicoctl(runtime, PASSWORD)).toMatchObject({ status: 0, stdout: expect.stringContaining("projectcalico-default-allow") });
    expect(calicoctl(runtime, "wrong")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("etcd does not take the user or the password"),
    });
  }
});

/** Waits until etcd itself no longer takes a token that is as old as those of the clients. */
async function expireTokens(): Promise<void> {
  const { token } = await post("auth/authenticate", { name: "agent", password: PASSWORD });
  const asked = () => post("kv/range", { key: Buffer.from(`${NODES}n`).toString("base64") }, String(token));
  expect(await asked()).not.toHaveProperty("error");
  await pause((TTL_SEC + 1.5) * 1000);
  await expect
    .poll(
      async () => {
        const answer = await asked();
        if (!("error" in answer)) await pause((TTL_SEC + 1.5) * 1000);
        return String(answer["error"]);
      },
      { timeout: 20_000 },
    )
    .toMatch(/invalid auth token/);
}

/** etcd's JSON gateway. */
async function post(path: string, body: object, token?: string): Promise<Record<string, unknown>> {
  const headers: Record<string, string> = token === undefined ? {} : { Authorization: token };
  return (await (await fetch(`${endpoint}/v3/${path}`, { method: "POST", headers, body: JSON.stringify(body) })).json()) as Record<
    string,
    unknown
  >;
}
