import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterEach, beforeEach, expect, test } from "vitest";
import { run } from "@calico/linux";
import { renderConfig } from "../src/domain/install-plan.ts";

const PROGRAM = new URL("../src/install.ts", import.meta.url).pathname;

let dir: string;
const at = (...parts: string[]) => join(dir, ...parts);
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "cni-install-"));
  for (const folder of ["from", "bin", "net.d"]) await mkdir(at(folder));
  for (const name of ["calico", "calico-ipam", "calico.full"]) await writeFile(at("from", name), `#!/bin/sh\n# ${name}\n`);
  await writeFile(at("bin/bridge"), "another's");
  await writeFile(at("net.d/87-podman.conflist"), "another's");
});
afterEach(() => rm(dir, { recursive: true }));

async function install(env: Record<string, string> = {}, ...args: string[]) {
  const where = [`CNI_NET_DIR=${at("net.d")}`, `TLS_ASSETS_DIR=${at("tls")}`, "ETCD_ENDPOINTS=http://10.96.232.136:6666"];
  const vars = [...where, ...Object.entries(env).map(([k, v]) => `${k}=${v}`)];
  const program = [
    process.execPath,
    "--disable-warning=ExperimentalWarning",
    PROGRAM,
    "--from",
    at("from"),
    ...(args.includes("--bin-dir") ? [] : ["--bin-dir", at("bin")]),
  ];
  return await run(["env", ...vars, ...program, "--service-account", at("sa"), ...args], {});
}

const mode = async (path: string) => (await stat(path)).mode & 0o777;

test("install: executables, configuration; others' files stay; again changes nothing; --undo leaves what was there", async () => {
  await writeFile(at("bin/calico"), "an older one");
  const first = await install();
  expect(first.code, first.stderr).toBe(0);
  expect(await readFile(at("bin/calico"), "utf8")).toContain("# calico\n");
  expect(await mode(at("bin/calico-ipam"))).toBe(0o755);
  const config = JSON.parse(await readFile(at("net.d/10-calico.conflist"), "utf8"));
  expect(config).toMatchObject({
    name: "k8s-pod-network",
    plugins: [{ etcd_endpoints: "http://10.96.232.136:6666", mtu: 1500 }, { type: "portmap" }],
  });
  expect(await mode(at("net.d/10-calico.conflist"))).toBe(0o600);
  const again = await install();
  expect(again.stderr.match(/"outcome":"same"/g)).toHaveLength(4);
  expect((await install({}, "--undo")).code).toBe(0);
  expect(await readFile(at("bin/calico"), "utf8")).toBe("an older one");
  expect((await readdir(at("bin"))).sort()).toEqual(["bridge", "calico"]);
  expect(await readdir(at("net.d"))).toEqual(["87-podman.conflist"]);
});

test("install: TLS files and a kubeconfig, readable by root alone, and their paths in the configuration", async () => {
  for (const folder of ["tls", "sa"]) await mkdir(at(folder));
  for (const name of ["etcd-ca", "etcd-cert", "etcd-key"]) await writeFile(at("tls", name), name);
  await writeFile(at("sa/token"), "secret\n");
  const done = await install({ KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "6443" });
  expect(done.code, done.stderr).toBe(0);
  expect(done.stderr).not.toContain("secret");
  const [plugin] = JSON.parse(await readFile(at("net.d/10-calico.conflist"), "utf8")).plugins;
  expect(plugin).toMatchObject({
    etcd_key_file: at("net.d/calico-tls/etcd-key"),
    kubernetes: { kubeconfig: at("net.d/calico-kubeconfig") },
  });
  expect(await mode(at("net.d/calico-tls/etcd-key"))).toBe(0o600);
  expect(await mode(at("net.d/calico-kubeconfig"))).toBe(0o600);
  expect(await readFile(at("net.d/calico-kubeconfig"), "utf8")).toMatch(/"server": "https:\/\/\[fd00::1\]:6443"[^]*"token": "secret"/);
});

test.for([
  {
    name: "a template that is no JSON",
    env: { CNI_NETWORK_CONFIG: '{"mtu": __CNI_MTU__' },
    args: [],
    want: "CNI config is not valid JSON",
  },
  { name: "no folder to write to", env: {}, args: ["--bin-dir", "/proc/none"], want: "none of /proc/none can be written" },
])("install: $name is told, with exit code 1", async ({ env, args, want }) => {
  const done = await install(env as unknown as Record<string, string>, ...args);
  expect(done.code).toBe(1);
  expect(done.stderr).toContain(want);
});

test("install: executables that are skipped, or there already and not to be updated; the old configuration goes", async () => {
  await writeFile(at("bin/calico"), "an older one");
  await writeFile(at("net.d/old.conflist"), "old");
  const done = await install({ UPDATE_CNI_BINARIES: "false", SKIP_CNI_BINARIES: "calico.full", CNI_OLD_CONF_NAME: "old.conflist" });
  expect(done.code, done.stderr).toBe(0);
  expect(await readFile(at("bin/calico"), "utf8")).toBe("an older one");
  expect((await readdir(at("bin"))).filter((n) => !n.startsWith(".")).sort()).toEqual(["bridge", "calico", "calico-ipam"]);
  expect(await readdir(at("net.d"))).not.toContain("old.conflist");
  expect((await install({ CNI_OLD_CONF_NAME: "old.conflist" }, "--undo")).code).toBe(0);
  expect(await readFile(at("net.d/old.conflist"), "utf8")).toBe("old");
});

test("install: what the executables fall back on is there before them; SLEEP keeps the program until it is told to end", async () => {
  const where = { CNI_NET_DIR: at("net.d"), TLS_ASSETS_DIR: at("tls"), SLEEP: "true" };
  const program = ["--disable-warning=ExperimentalWarning", PROGRAM, "--from", at("from"), "--bin-dir", at("bin")];
  const child = spawn(process.execPath, program, { env: { ...process.env, ...where }, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  for await (const chunk of child.stderr) {
    said += String(chunk);
    if (said.includes("waiting for a signal")) break;
  }
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  expect(await ended).toEqual([0, null]);
  const names = [...said.matchAll(/"path":"([^"]+\/bin\/[^"]+)"/g)].map(([, path]) => path?.split("/").at(-1));
  expect(names).toEqual(["calico.full", "calico", "calico-ipam"]);
});

test("renderConfig: a value cannot break out of its string", () => {
  expect(JSON.parse(renderConfig('{"a": "__ETCD_ENDPOINTS__"}', { ETCD_ENDPOINTS: 'x","b":"$&' }))).toEqual({ a: 'x","b":"$&' });
});
