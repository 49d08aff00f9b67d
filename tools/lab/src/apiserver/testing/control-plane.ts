/** For tests: a control plane of real processes on loopback: etcd, the API server, and what runs on it. Everything is ended by pid. */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { freePort, killChild, startEtcd, untilReady } from "@calico/datastore/testing";

const ROOT = fileURLToPath(new URL("../../../../../", import.meta.url));
export const KUBECTL = process.env["KUBECTL"] ?? "kubectl";

export type Runtime = "deno" | "node";

export interface Program {
  readonly child: ChildProcess;
  /** All lines of stdout and stderr so far. */
  output(): string;
  rssMb(): number;
}

export interface ControlPlane {
  readonly etcd: readonly string[];
  readonly kubeconfig: string;
  readonly url: string;
  readonly folder: string;
  readonly api: Program;
  /** Run one of the repository's programs; it is ended with the control plane. */
  run(program: string, args: readonly string[], runtime?: Runtime): Program;
  kubectl(args: readonly string[], stdin?: string): Promise<string>;
  killApi(): Promise<void>;
  startApi(): Promise<void>;
  stop(): Promise<void>;
}

export async function startControlPlane(o: { readonly runtime: Runtime }): Promise<ControlPlane> {
  const folder = mkdtempSync(join(tmpdir(), `lab-apiserver-${process.pid}-`));
  const etcd = await startEtcd();
  const port = await freePort();
  const children: ChildProcess[] = [];
  const [cert, key, token] = writeCredentials(folder);
  const kubeconfig = writeKubeconfig(folder, `https://127.0.0.1:${port}`, { cert, token });
  const run = (program: string, args: readonly string[], runtime = o.runtime): Program => {
    const child = spawn(join(ROOT, "setup/run.sh"), [program, ...args], {
      env: { ...process.env, CALICO_RUNTIME: runtime },
      stdio: ["ignore", "pipe", "pipe"],
    });
    children.push(child);
    let text = "";
    for (const stream of [child.stdout, child.stderr]) stream?.on("data", (c: Buffer) => (text += c.toString()));
    const rssMb = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
    return { child, output: () => text, rssMb };
  };
  const launch = async (): Promise<Program> => {
    const args = [
      "--etcd",
      etcd.endpoints.join(),
      "--listen",
      `127.0.0.1:${port}`,
      "--tls-cert",
      cert,
      "--tls-key",
      key,
      "--token-file",
      token,
      "--service-cidr",
      "10.96.0.0/12",
    ];
    const program = run("tools/lab/src/apiserver/main.ts", args);
    await untilReady(
      program.child,
      async () => program.output().includes('"serving"'),
      () => `Cannot start the API server: ${program.output()}`,
    );
    return program;
  };
  let api = await launch();
  return {
    etcd: etcd.endpoints,
    kubeconfig,
    url: `https://127.0.0.1:${port}`,
    folder,
    get api() {
      return api;
    },
    run,
    kubectl: (args, stdin) => kubectl(kubeconfig, args, stdin),
    killApi: () => killChild(api.child),
    async startApi() {
      api = await launch();
    },
    async stop() {
      await Promise.all(children.map(killChild));
      await etcd.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function writeCredentials(folder: string): [cert: string, key: string, token: string] {
  const [cert, key, token] = [join(folder, "cert.pem"), join(folder, "key.pem"), join(folder, "token")];
  const subject = ["-subj", "/CN=lab-apiserver", "-addext", "subjectAltName=IP:127.0.0.1"];
  const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"];
  execFileSync("openssl", ["req", "-x509", ...ec, "-keyout", key, "-out", cert, ...subject], { stdio: "pipe" });
  writeFileSync(token, `${crypto.randomUUID()}\n`);
  chmodSync(token, 0o600);
  return [cert, key, token];
}

function writeKubeconfig(folder: string, server: string, o: { readonly cert: string; readonly token: string }): string {
  const file = join(folder, "kubeconfig");
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "lab", cluster: { server, "certificate-authority": o.cert } }],
    users: [{ name: "lab", user: { token: readFileSync(o.token, "utf8").trim() } }],
    contexts: [{ name: "lab", context: { cluster: "lab", user: "lab" } }],
    "current-context": "lab",
  };
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  return file;
}

/** stdout and stderr of one kubectl, trimmed; a failure's too. */
function kubectl(kubeconfig: string, args: readonly string[], stdin?: string): Promise<string> {
  const env = { PATH: process.env["PATH"] ?? "", HOME: join(kubeconfig, ".."), KUBECONFIG: kubeconfig };
  return new Promise((resolve, reject) => {
    const child = execFile(KUBECTL, [...args], { env, timeout: 30_000 }, (error, stdout, stderr) => {
      if (error !== null && "code" in error && error.code === "ENOENT")
        reject(new Error(`Cannot run ${KUBECTL}: install kubernetes-client, or name another with KUBECTL`));
      else resolve(`${stdout}${stderr}`.trim());
    });
    child.stdin?.end(stdin ?? "");
  });
}
