/** The program itself over a real etcd, syncer and nats-server; and its archive on both runtimes. */
import { execFile } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { gunzipSync } from "node:zlib";
import { recordingLogger } from "@calico/daemon/testing";
import { openTestSyncer, startNats, type TestNats } from "@calico/bus/testing";
import { openEtcd, type ResourceClient, resourceClient, type Store } from "@calico/datastore";
import { startEtcd, type TestEtcd } from "@calico/datastore/testing";
import { aNamespaceProfile, aNode, aPolicy, aPool, aWep, anObject } from "@calico/model/testing";
import { affinityKey, keyOf } from "@calico/model";
import { afterAll, beforeAll, expect, test } from "vitest";

type Ran = { readonly code: number; readonly out: string; readonly err: string };
const root = new URL("../../../", import.meta.url).pathname;
const run = (
  program: string,
  args: readonly string[],
  o: { env?: Record<string, string>; stdin?: string; cwd?: string } = {},
): Promise<Ran> =>
  new Promise((resolve) => {
    const env = { ...process.env, ...o.env };
    const child = execFile(
      join(root, "setup/run.sh"),
      [program, ...args],
      { env, cwd: o.cwd ?? root, maxBuffer: 2 ** 28 },
      (error, out, err) => resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
    child.stdin?.end(o.stdin ?? "");
  });
const replay = (args: string, env: Record<string, string> = {}) =>
  run("tools/replay/src/main.ts", args.split(" "), { env: { NATS_URL: nats.servers.join(","), ...env } });

let etcd: TestEtcd;
let nats: TestNats;
let store: Store;
let client: ResourceClient;
let dir: string;
let syncer: AsyncDisposable;
const revisions: Record<string, number> = {};

const deny = aPolicy("deny", { selector: "app == 'web'", ingress: [{ action: "Deny" }] }, "shop");
const allow = { ...deny, spec: { ...deny.spec, ingress: [{ action: "Allow" }] } };
const must = async <T>(done: Promise<{ ok: boolean; value?: T; error?: unknown }>): Promise<void> => {
  const result = await done;
  if (!result.ok) throw new Error(JSON.stringify(result.error));
};
const mark = async (name: string) => void (revisions[name] = (await store.list("/calico/resources/")).revision);

/** The log has all that the store has: it shows the newest key. */
async function synced(): Promise<void> {
  const name = `mark-${(await store.list("/calico/")).revision}`;
  await store.put(keyOf({ kind: "GlobalNetworkSet", name }), JSON.stringify(anObject("GlobalNetworkSet", { name }, {})));
  for (let tries = 0; tries < 100; tries++) {
    const { out } = await replay(`timeline --kind GlobalNetworkSet --name ${name} -o json`);
    if ((JSON.parse(out || "[]") as unknown[]).length === 1) return;
  }
  throw new Error("the log did not catch up");
}

beforeAll(async () => {
  [etcd, nats, dir] = await Promise.all([startEtcd(), startNats(), mkdtemp(join(tmpdir(), `replay-${process.pid}-`))]);
  store = openEtcd({ endpoints: etcd.endpoints });
  client = resourceClient(store);
  await client.ensureInitialized();
  for (const o of [
    aNode("node1", "192.168.81.101/24"),
    aNode("node2", "192.168.81.102/24"),
    aPool("pods", "10.0.0.0/16", { natOutgoing: true }),
  ])
    await must(client.create(o));
  await store.put(affinityKey("node1", "10.0.0.0/26"), JSON.stringify({ state: "confirmed", deleted: false }));
  await store.put(affinityKey("node2", "10.0.1.0/26"), JSON.stringify({ state: "confirmed", deleted: false }));
  await mark("before");
  syncer = openTestSyncer({ etcd: etcd.endpoints, nats: nats.servers, log: recordingLogger() });
  await synced();
  await mark("begun");
  await must(client.create(aNamespaceProfile("shop", { team: "a" })));
  await must(client.create(aWep({ node: "node1", namespace: "shop", pod: "web", ip: "10.0.0.1", labels: { app: "web" } })));
  await must(client.create(aWep({ node: "node2", namespace: "shop", pod: "client", ip: "10.0.1.1", labels: { app: "client" } })));
  await must(client.create(deny));
  await must(client.create(anObject("Tier", { name: "security" }, { order: 50, defaultAction: "Pass" })));
  await must(client.create(aPolicy("security.base", { tier: "security", selector: "all()", ingress: [{ action: "Pass" }] }, undefined)));
  await must(
    client.create(
      anObject(
        "BGPPeer",
        { name: "tor", annotations: { "example.com/api-token": "hunter2-token" } },
        { peerIP: "192.168.81.1", asNumber: 65000, password: { secretKeyRef: { name: "bgp", key: "tor" } } },
      ),
    ),
  );
  await mark("denied");
  await must(client.apply(allow));
  await mark("allowed");
  await must(client.delete({ kind: "GlobalNetworkPolicy", name: "security.base" }));
  await synced();
  await mark("end");
});
afterAll(async () => {
  await syncer?.[Symbol.asyncDispose]();
  await store?.close();
  await Promise.all([etcd?.stop(), nats?.stop()]);
  await rm(dir, { recursive: true, force: true });
});

test("timeline: created, updated with its fields, deleted; filters", async () => {
  const { out, code } = await replay("timeline --kind NetworkPolicy,GlobalNetworkPolicy -o json");
  expect(code).toBe(0);
  const entries = JSON.parse(out) as { change: string; object: string; fields: { path: string }[]; time: string; author: string }[];
  expect(entries.map((e) => `${e.change} ${e.object} ${e.fields.map((f) => f.path).join(",")} ${e.author}`)).toEqual([
    "created NetworkPolicy(shop/deny)  unknown",
    "created GlobalNetworkPolicy(security.base)  unknown",
    "updated NetworkPolicy(shop/deny) spec.ingress[0].action unknown",
    "deleted GlobalNetworkPolicy(security.base)  unknown",
  ]);
  expect(Math.abs(Date.parse(entries[0]!.time) - Date.now())).toBeLessThan(120_000);
  const table = await replay(`timeline -n shop --since ${revisions["denied"]! + 1}`);
  expect(table.out).toMatch(
    /^TIME +REVISION +CHANGE +OBJECT +BY +FIELDS\n\S+Z +\d+ +updated +NetworkPolicy\(shop\/deny\) +unknown +spec.ingress\[0\]\.action\n$/,
  );
  const found = JSON.parse((await replay("timeline --kind Node -o json")).out) as { change: string; late: boolean }[];
  expect(found.map((e) => `${e.change} ${e.late}`)).toEqual(["found true", "found true"]);
});

test("state: applied to a fresh etcd, it is the state again", async () => {
  await using fresh = await startEtcd();
  const state = await replay(`state --at ${revisions["denied"]}`);
  expect(state.err).toBe("");
  const applied = await run("tools/calicoctl/src/main.ts", ["apply", "-f", "-"], {
    env: { ETCD_ENDPOINTS: fresh.endpoints.join(",") },
    stdin: state.out,
  });
  expect(applied).toMatchObject({ code: 0, err: "" });
  await using otherNats = await startNats();
  await using _ = openTestSyncer({ etcd: fresh.endpoints, nats: otherNats.servers, log: recordingLogger() });
  const again = async () => (await replay("state --nats " + otherNats.servers.join(","))).out;
  let text = "";
  for (let tries = 0; tries < 50 && text !== state.out; tries++) text = await again();
  expect(text).toBe(state.out);
  expect(text).toContain("kind: WorkloadEndpoint");
  expect(text).toContain("name: security.base");
});

test("state: before the log begins it is refused, with the revision", async () => {
  const { code, err, out } = await replay("state --at 3");
  expect(code).toBe(2);
  expect(out).toBe("");
  expect(err).toMatch(/the history begins at revision \d+ \(.*Z\), there is nothing of revision 3/);
});

test("diff: added, removed, changed; as text of YAML; its exit code", async () => {
  const span = `diff --from ${revisions["denied"]} --to ${revisions["end"]} --kind NetworkPolicy,GlobalNetworkPolicy`;
  const table = await replay(`${span} --exit-code`);
  expect(table.code).toBe(1);
  expect(
    table.out
      .split("\n")
      .slice(1)
      .map((line) => line.split(/ +/).slice(0, 2).join(" ")),
  ).toEqual(["removed GlobalNetworkPolicy(security.base)", "changed NetworkPolicy(shop/deny)", ""]);
  const text = await replay(`${span} -o diff`);
  expect(text.code).toBe(0);
  expect(text.out).toContain("+    - action: Allow\n");
  expect(text.out).toContain("+++ /dev/null\n");
  const none = await replay(`diff --from ${revisions["end"]} --to now --exit-code`);
  expect(none).toMatchObject({ code: 0 });
});

test("archive: same answers as the live log, no secrets, bounded, refused when changed", async () => {
  const file = join(dir, "all.gz");
  expect(await replay(`export ${file}`)).toMatchObject({ code: 0 });
  const text = gunzipSync(readFileSync(file)).toString();
  expect(text).not.toContain("hunter2");
  expect(/"secretKeyRef":\{"(name":"bgp","key":"tor|key":"tor","name":"bgp)"\}/.test(text)).toBe(true);
  expect(await replay(`import ${file}`)).toMatchObject({ code: 0 });
  for (const command of [
    `timeline --kind NetworkPolicy`,
    `state --at ${revisions["denied"]} --kind NetworkPolicy,Node`,
    `render --node node1 --at ${revisions["allowed"]}`,
  ]) {
    expect(await replay(`${command} --archive ${file}`, { NATS_URL: "nats://127.0.0.1:1" })).toEqual(await replay(command));
  }
  const part = join(dir, "part.gz");
  expect(await replay(`export ${part} --since ${revisions["denied"]} --until ${revisions["allowed"]}`)).toMatchObject({ code: 0 });
  const live = await replay(`render --node node1 --at ${revisions["allowed"]}`);
  expect((await replay(`render --node node1 --archive ${part}`)).out).toBe(live.out);
  expect(await replay(`state --archive ${part} --at ${revisions["begun"]}`)).toMatchObject({ code: 2, out: "" });
  const octets = readFileSync(file);
  octets[octets.length >> 1]! ^= 1;
  writeFileSync(join(dir, "bad.gz"), octets);
  expect(await replay(`import ${join(dir, "bad.gz")}`)).toMatchObject({ code: 2, out: "" });
});

test("render: byte-identical on both runtimes, in any zone and language, from another folder, and twice", async () => {
  const file = join(dir, "render.gz");
  await replay(`export ${file}`);
  const command = `render --node node1 --archive ${file} --at ${revisions["denied"]}`;
  const all = await Promise.all([
    replay(command, { TZ: "Asia/Kolkata", LANG: "tr_TR.UTF-8", LC_ALL: "tr_TR.UTF-8" }),
    replay(command, { CALICO_RUNTIME: "node", TZ: "America/St_Johns", LANG: "C", LC_ALL: "C" }),
  ]);
  const first = await replay(command, { TZ: "UTC" });
  mkdirSync(join(dir, "elsewhere"));
  copyFileSync(file, join(dir, "elsewhere/copy.gz"));
  const there = command.replace(file, "copy.gz").split(" ");
  all.push(await run("tools/replay/src/main.ts", there, { cwd: join(dir, "elsewhere"), env: { TZ: "Pacific/Auckland" } }));
  expect(first.code).toBe(0);
  for (const part of ["## felix\n", "cali-tw-", "## bgp\n", "blackhole 10.0.0.0/26 proto 179", "## proxy-nat\n", "calinat-"])
    expect(first.out).toContain(part);
  for (const other of all) expect(other.out).toBe(first.out);
});

test("a node that nobody knows, a server that is not there, an option that is wrong", async () => {
  expect(await replay("render --node nobody")).toMatchObject({
    code: 2,
    out: "",
    err: expect.stringContaining('there is no node "nobody" now: those are node1, node2'),
  });
  expect((await replay("render --node nobody --component bgp --partial")).out).toMatch(/^# there is no Node "nobody"/);
  expect(await replay("timeline --nats nats://127.0.0.1:1 --timeout 0.5")).toMatchObject({
    code: 2,
    err: expect.stringContaining("Cannot read the event log at nats://127.0.0.1:1"),
  });
  expect(await replay("state --at yesterday")).toMatchObject({
    code: 2,
    err: expect.stringContaining('Cannot understand the time "yesterday"'),
  });
});

test("an object that changed more often than the log keeps: refused before its first kept change, left out with --partial", async () => {
  const busy = aNamespaceProfile("busy", { n: "0" });
  const key = keyOf({ kind: "Profile", name: busy.metadata.name });
  for (let n = 0; n < 70; n++) await store.put(key, JSON.stringify({ ...busy, spec: { labelsToApply: { n: String(n) } } }));
  const first = (await store.get(key))!.modRevision - 69;
  await synced();
  const command = `state --kind Profile --at ${first}`;
  const refused = await replay(command);
  expect(refused).toMatchObject({ code: 2, out: "" });
  expect(refused.err).toContain(`the history of Profile(kns.busy) begins at revision ${first + 6} `);
  const partial = await replay(`${command} --partial`);
  expect(partial.code).toBe(0);
  expect(partial.out).toContain("kns.shop");
  expect(partial.out).not.toContain("kns.busy");
  expect(await replay(`state --kind Profile --at ${first + 6}`)).toMatchObject({ code: 0, out: expect.stringContaining('n: "6"') });
  expect(await replay(`state --kind Node --at ${first}`)).toMatchObject({ code: 0 });
  expect((await replay("timeline --name kns.busy")).out).toMatch(/found +Profile\(kns\.busy\)/);
});
