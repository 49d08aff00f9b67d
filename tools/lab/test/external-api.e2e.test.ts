import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import process from "node:process";
import { freePort, startEtcd, type TestEtcd } from "@calico/datastore/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exec } from "../src/adapter/exec.ts";
import { makePki, writeKubeconfig } from "../src/adapter/pki.ts";
import { planTopology } from "../src/domain/topology.ts";
import { root } from "../src/service/lab.ts";

/** The demonstration on an API server that was there before: another process, on this machine's loopback, with a store of its own. */
let etcd: TestEtcd;
let api: ChildProcess;
const dir = mkdtempSync("/tmp/calico-external-");
const kubeconfig = `${dir}/kubeconfig`;

beforeAll(async () => {
  etcd = await startEtcd();
  const port = await freePort();
  const place = { ...planTopology("external"), dir };
  await makePki(place, ["127.0.0.1"]);
  writeKubeconfig(place, kubeconfig, `https://127.0.0.1:${port}`);
  const files = ["--tls-cert", `${dir}/pki/api.crt`, "--tls-key", `${dir}/pki/api.key`, "--token-file", `${dir}/pki/token`];
  const flags = [
    "--etcd",
    etcd.endpoints.join(","),
    "--listen",
    `127.0.0.1:${port}`,
    "--advertise",
    "192.168.81.100",
    "--service-cidr",
    "10.96.0.0/12",
  ];
  api = spawn(`${root}/setup/run.sh`, ["tools/lab/src/apiserver/main.ts", ...flags, ...files], { stdio: ["ignore", "ignore", "inherit"] });
  const ready = async () => (await exec(["kubectl", "--kubeconfig", kubeconfig, "get", "namespaces"])).code === 0;
  for (let tries = 0; !(await ready()); tries++) if (tries > 50) throw new Error("the API server did not start");
}, 60_000);

afterAll(async () => {
  api?.kill("SIGKILL");
  await etcd?.stop();
  rmSync(dir, { recursive: true, force: true });
});

test("demo --check --kubeconfig FILE: an existing API server, every line holds", async () => {
  const demo = ["tools/lab/src/main.ts", "demo", "--check", "--id", `ext-${process.pid}`, "--kubeconfig", kubeconfig, "--controllers"];
  const ran = await exec([`${root}/setup/run.sh`, ...demo], { timeoutMs: 110_000 });
  const said = ran.stdout.trim().split("\n").at(-1);
  expect(`${ran.code} ${said}`, `${ran.stdout.slice(-3000)}\n${ran.stderr.slice(-3000)}`).toMatch(/^0 \d+ passed, 0 failed$/);
});

test("demo: an encapsulation that the kernel cannot make is refused with what to do, and nothing is left", async ({ skip }) => {
  const id = `enc-${process.pid}`;
  const hasIpip = (await exec(["unshare", "--net", "ip", "link", "add", "probe0", "type", "ipip", "local", "127.0.0.1"])).code === 0;
  skip(hasIpip, "this kernel has IPIP, so the refusal cannot be seen");
  const ran = await exec([`${root}/setup/run.sh`, "tools/lab/src/main.ts", "demo", "--check", "--id", id, "--encap", "ipip"]);
  expect(ran.code).toBe(1);
  expect(ran.stderr).toContain("Cannot use ipip: this kernel cannot make such a device; use --encap none");
  expect((await exec(["sh", "-c", `ls /run/netns | grep ${id}; ls /run/calico-lab/${id}`])).stdout).toBe("");
});
