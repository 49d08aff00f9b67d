/** `calico-ipam -upgrade` beside the real host-local, on a real etcd; the API server is a page of pods. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import { openEtcd, resourceClient } from "@calico/datastore";
import { startEtcd } from "@calico/datastore/testing";
import { makeIpam } from "@calico/ipam";
import { putPool } from "@calico/ipam/testing";
import { afterAll, beforeEach, expect, test } from "vitest";

const ROOT = new URL("../../..", import.meta.url).pathname;
const dir = mkdtempSync(join(tmpdir(), `cni-upgrade-${process.pid}-`));
const folder = join(dir, "k8s-pod-network");
const etcd = await startEtcd();
const store = openEtcd({ endpoints: etcd.endpoints });
await resourceClient(store).ensureInitialized();
await putPool(store, "p", { cidr: "10.77.0.0/16", blockSize: 26 });
const ipam = makeIpam({ store });

const asked: string[] = [];
let pods: readonly { readonly name: string; readonly ip: string }[] = [];
let open: Promise<void> = Promise.resolve();
const api = createServer((request, response) => {
  asked.push(request.url ?? "");
  const items = pods.map(({ name, ip }) => ({ metadata: { name, namespace: "default" }, status: { podIP: ip, podIPs: [{ ip }] } }));
  const list = JSON.stringify({ kind: "PodList", apiVersion: "v1", metadata: { resourceVersion: "1" }, items });
  void open.then(() => response.writeHead(200, { "content-type": "application/json" }).end(list));
});
await new Promise<void>((resolve) => api.listen(0, "127.0.0.1", resolve));
const kubeconfig = join(dir, "kubeconfig");
const server = `http://127.0.0.1:${(api.address() as AddressInfo).port}`;
writeFileSync(
  kubeconfig,
  `apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: "${server}"}}]\nusers: [{name: u, user: {}}]\n`,
);

afterAll(async () => {
  api.close();
  await store.close();
  await etcd.stop();
  rmSync(dir, { recursive: true });
});
beforeEach(async () => {
  for (const container of ["c-web", "c-1", "c-2", "c-5", "c-7"]) await ipam.releaseByHandle(`k8s-pod-network.${container}`);
  rmSync(folder, { recursive: true, force: true });
  open = Promise.resolve();
});

async function ended(child: ChildProcess) {
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), once(child, "exit")]);
  return { code: code as number | null, stdout, stderr };
}

async function hostLocal(command: "ADD" | "DEL", container: string) {
  const env = { CNI_COMMAND: command, CNI_CONTAINERID: container, CNI_NETNS: "/x", CNI_IFNAME: "eth0", CNI_PATH: "/usr/lib/cni" };
  const child = spawn("/usr/lib/cni/host-local", { env: { ...process.env, ...env } });
  const ranges = [[{ subnet: "10.77.3.0/24" }]];
  child.stdin.end(JSON.stringify({ cniVersion: "0.3.1", name: "k8s-pod-network", ipam: { type: "host-local", dataDir: dir, ranges } }));
  const { code, stdout } = await ended(child);
  const json = JSON.parse(stdout || "{}") as { ips?: { address: string }[]; msg?: string };
  return { code, ip: json.ips?.[0]?.address.split("/")[0] ?? "", msg: json.msg };
}

function startUpgrade(env: Readonly<Record<string, string>> = {}) {
  const own = {
    KUBERNETES_NODE_NAME: "node1",
    KUBECONFIG: kubeconfig,
    ETCD_ENDPOINTS: etcd.endpoints.join(),
    CALICO_HOST_LOCAL_DIR: folder,
  };
  return spawn(join(ROOT, "dist/cni/calico-ipam"), ["-upgrade"], { env: { ...process.env, CALICO_RUN_DIR: dir, ...own, ...env } });
}

const upgrade = (env?: Readonly<Record<string, string>>) => ended(startUpgrade(env));

/** As if host-local had given them long ago. */
function age(...ips: readonly string[]): void {
  const longAgo = new Date(Date.now() - 600_000);
  for (const ip of ips) utimesSync(join(folder, ip), longAgo, longAgo);
}

const REFUSED = { code: 1, msg: "no such file or directory" };
const files = () => readdirSync(folder).sort();
const ownerOf = async (ip: string) => {
  const owner = await ipam.ownerOf(ip);
  return owner.ok
    ? `${owner.value.handle} ${owner.value.attrs["namespace"]}/${owner.value.attrs["pod"]} ${owner.value.attrs["node"]}`
    : undefined;
};

test("the addresses that host-local gave become the pods' in IPAM, and host-local gives none any more", async () => {
  const [web, gone] = [await hostLocal("ADD", "c-web"), await hostLocal("ADD", "c-gone")];
  expect([web.code, gone.code]).toEqual([0, 0]);
  age(web.ip, gone.ip);
  pods = [{ name: "web", ip: web.ip }];
  const first = await upgrade();
  expect(first, first.stderr).toMatchObject({ code: 0 });
  expect(first.stderr).toContain(`moved ${web.ip} of default/web`);
  expect(first.stderr).toContain(`gave up ${gone.ip}: no pod, no endpoint and no route`);
  expect(asked.at(-1)).toContain("fieldSelector=spec.nodeName%3Dnode1");
  expect(await ownerOf(web.ip)).toBe("k8s-pod-network.c-web default/web node1");
  expect(await ownerOf(gone.ip)).toBeUndefined();
  expect(files()).toEqual(["last_reserved_ip.0", "lock"]);
  expect(await hostLocal("ADD", "c-late")).toMatchObject(REFUSED);
  expect((await upgrade()).code).toBe(0);
});

test("a call of host-local that waits is served, and its address stays until its pod is known; later calls are refused", async () => {
  const { ip } = await hostLocal("ADD", "c-1");
  age(ip);
  pods = [{ name: "one", ip }];
  const gate = Promise.withResolvers<void>();
  open = gate.promise;
  const before = asked.length;
  const moving = upgrade();
  await expect.poll(() => asked.length, { timeout: 10_000 }).toBeGreaterThan(before);
  const late = hostLocal("ADD", "c-2");
  await expect.poll(() => waitsForLock(), { timeout: 5000 }).toBe(true);
  gate.resolve();
  const second = await late;
  expect(second.code).toBe(0);
  const first = await moving;
  expect(first.code).toBe(1);
  expect(first.stderr).toContain(`moved ${ip} of default/one`);
  expect(first.stderr).toMatch(/was given to container c-2 only \d+ s ago.*host-local refuses the network; run this again/);
  expect(files()).toContain(second.ip);
  expect(await hostLocal("ADD", "c-3")).toMatchObject(REFUSED);
  pods = [...pods, { name: "two", ip: second.ip }];
  age(second.ip);
  const again = await upgrade();
  expect(again.code, again.stderr).toBe(0);
  expect(await ownerOf(second.ip)).toBe("k8s-pod-network.c-2 default/two node1");
});

/** A process of host-local is in flock(2) for our folder: the kernel lists those that wait with an arrow. */
function waitsForLock(): boolean {
  const { ino } = statSync(join(folder, "lock"));
  return readFileSync("/proc/locks", "utf8")
    .split("\n")
    .some((line) => line.includes("->") && line.includes(`:${ino} `));
}

test("what cannot be moved leaves host-local as it was", async () => {
  const { ip } = await hostLocal("ADD", "c-3");
  pods = [{ name: "three", ip }];
  const failed = await upgrade({ KUBECONFIG: join(dir, "missing") });
  expect(failed).toMatchObject({ code: 1, stderr: expect.stringMatching(/^calico-ipam -upgrade: .*missing/) as string });
  pods = [];
  const young = await upgrade();
  expect(young).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/was given to container c-3 only .*nothing was changed/) as string,
  });
  expect(files()).toEqual([ip, "last_reserved_ip.0", "lock"]);
  expect((await hostLocal("ADD", "c-4")).code).toBe(0);
  expect((await hostLocal("DEL", "c-4")).code).toBe(0);
});

test("killed after host-local was retired: no address is given by anybody, and the next call finishes", async () => {
  const { ip } = await hostLocal("ADD", "c-5");
  age(ip);
  pods = [{ name: "five", ip }];
  const before = asked.length;
  const second = Promise.withResolvers<void>();
  open = {
    then: (done: () => void) => (asked.length > before + 1 ? second.promise.then(done) : Promise.resolve().then(done)),
  } as Promise<void>;
  const child = startUpgrade();
  await expect.poll(() => asked.length, { timeout: 20_000 }).toBe(before + 2); // the second look comes when it is retired
  child.kill("SIGKILL");
  await once(child, "exit");
  second.resolve();
  open = Promise.resolve();
  expect([files(), await ownerOf(ip)]).toEqual([[ip, "last_reserved_ip.0", "lock"], undefined]);
  expect(await hostLocal("ADD", "c-6")).toMatchObject(REFUSED);
  const again = await upgrade();
  expect(again.code, again.stderr).toBe(0);
  expect(await ownerOf(ip)).toBe("k8s-pod-network.c-5 default/five node1");
});

test("two at once; a link in the place of the folder; no folder", async () => {
  const { ip } = await hostLocal("ADD", "c-7");
  age(ip);
  pods = [{ name: "seven", ip }];
  const both = await Promise.all([upgrade(), upgrade()]);
  expect(both.map(({ code }) => code)).toEqual([0, 0]);
  expect(both.filter(({ stderr }) => stderr.includes("moved"))).toHaveLength(1);
  renameSync(folder, `${folder}.real`);
  symlinkSync(`${folder}.real`, folder);
  expect(await upgrade()).toMatchObject({ code: 1, stderr: expect.stringContaining("is no folder") as string });
  rmSync(folder);
  rmSync(`${folder}.real`, { recursive: true });
  expect((await upgrade()).code).toBe(0);
  expect(await hostLocal("ADD", "c-8")).toMatchObject(REFUSED);
});
