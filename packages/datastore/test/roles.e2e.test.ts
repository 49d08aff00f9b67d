import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, expect, test } from "vitest";
import { ETCD_ROLES, type EtcdRole, openEtcd, renderEtcdRoles, resourceClient } from "../src/mod.ts";
import { enableRoles, freePort, killChild, makeEtcdctl, startEtcd, untilReady } from "../src/testing.ts";

const PASSWORD = "test-only";
const etcd = await startEtcd({ flags: ["--bcrypt-cost", "4"] });
const dir = mkdtempSync(join(tmpdir(), `calico-roles-${process.pid}-`));
afterAll(async () => {
  await etcd.stop();
  rmSync(dir, { recursive: true, force: true });
});
const [endpoint = ""] = etcd.endpoints;
enableRoles(makeEtcdctl(endpoint), PASSWORD);
const open = (username: string) => openEtcd({ endpoints: etcd.endpoints, auth: { username, password: PASSWORD } });

test("roles: docs/operations.md has the very commands", () => {
  const docs = readFileSync(join(import.meta.dirname, "../../../docs/operations.md"), "utf8");
  const lines = docs.split("\n").filter((line) => line.startsWith("etcdctl role "));
  expect(lines).toEqual(renderEtcdRoles().map((args) => `etcdctl ${args.join(" ")}`));
});

/** One key below each prefix that any role has, and some that none has. */
const PREFIXES = [...new Set(Object.values(ETCD_ROLES).flatMap((role) => role.map(({ prefix }) => prefix)))];
const KEYS = [...PREFIXES.map((prefix) => `${prefix}x`), "/calico/resources/v3/projectcalico.org/globalnetworkpolicies/x", "/registry/x"];

test.for(Object.keys(ETCD_ROLES) as EtcdRole[])("roles: %s may do what its row says, and nothing else", async (role) => {
  await using store = open(role);
  const granted = (key: string) => ETCD_ROLES[role].filter(({ prefix }) => key.startsWith(prefix)).map(({ may }) => may as string);
  const outcome = (done: Promise<unknown>) =>
    done.then(
      () => "done",
      (error: Error) => (/permission denied/.test(error.message) ? "denied" : error.message),
    );
  const seen: Record<string, string> = {};
  const want: Record<string, string> = {};
  for (const key of KEYS) {
    seen[key] = `read ${await outcome(store.get(key))}, write ${await outcome(store.put(key, "{}"))}`;
    const may = granted(key);
    want[key] = `read ${may.length > 0 ? "done" : "denied"}, write ${may.includes("readwrite") ? "done" : "denied"}`;
  }
  expect(seen).toEqual(want);
  await using tidy = open("root");
  for (const key of KEYS) await tidy.delete(key);
});

test("roles: who may not initialize the store leaves it to others", async () => {
  await using store = open("agent");
  await resourceClient(store).ensureInitialized({ clusterType: "k8s" });
  expect((await store.list("/calico/")).items).toEqual([]);
});

test("roles: kube-controllers can initialize an empty store", async () => {
  await using store = open("kube-controllers");
  await resourceClient(store).ensureInitialized({ clusterType: "k8s" });
  await expect(resourceClient(store).create({ kind: "IPPool", metadata: { name: "p" }, spec: { cidr: "10.0.0.0/24" } })).rejects.toThrow(
    /does not allow it/,
  );
});

test("roles: the ipam daemon serves addresses as user ipam", async () => {
  await using store = open("calicoctl");
  await resourceClient(store).create({ kind: "IPPool", metadata: { name: "default" }, spec: { cidr: "10.0.0.0/24", vxlanMode: "Always" } });
  await resourceClient(store).create({ kind: "Node", metadata: { name: "n1" }, spec: { bgp: { ipv4Address: "192.168.0.1/24" } } });
  await using daemon = await startIpam();
  const answer = await daemon.ask({ id: 1, op: "autoAssign", args: [{ node: "n1", num4: 1, num6: 0, handle: "h" }] });
  expect(answer).toMatchObject({ id: 1, value: { ok: true, value: { v4: { ips: [{ address: expect.stringMatching(/^10\.0\.0\./) }] } } } });
  await expect
    .poll(async () => JSON.parse((await store.get("/calico/resources/v3/projectcalico.org/nodes/n1"))?.value ?? "{}").spec, {
      timeout: 20_000,
    })
    .toHaveProperty("ipv4VXLANTunnelAddr"); // the tunnel's address is written to the Node
});

async function startIpam(): Promise<AsyncDisposable & { ask(request: object): Promise<unknown> }> {
  writeFileSync(join(dir, "password"), PASSWORD, { mode: 0o600 });
  const login = ["--etcd-user", "ipam", "--etcd-password-file", join(dir, "password")];
  const port = await freePort();
  const flags = ["--node", "n1", "--etcd", endpoint, ...login, "--run-dir", dir, "--health-port", String(port)];
  let said = "";
  const child: ChildProcess = spawn("setup/run.sh", ["packages/ipam/src/main.ts", ...flags], { stdio: ["ignore", "ignore", "pipe"] });
  child.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
  await untilReady(
    child,
    async () => (await fetch(`http://127.0.0.1:${port}/readiness`)).ok,
    () => `Cannot start ipam: ${said}`,
  );
  const ask = (request: object) =>
    new Promise((resolve, reject) => {
      const socket = connect(join(dir, "ipam.sock"));
      let text = "";
      socket.on("error", reject).on("data", (chunk) => {
        text += chunk.toString();
        if (!text.includes("\n")) return;
        socket.end();
        resolve(JSON.parse(text));
      });
      socket.write(`${JSON.stringify(request)}\n`);
    });
  return { ask, [Symbol.asyncDispose]: () => killChild(child) };
}
