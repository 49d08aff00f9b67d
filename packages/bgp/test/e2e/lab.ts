/** A small lab for tests: nodes as network namespaces on one bridge, with etcd, NATS and the syncer in a namespace of their own. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import type { BgpStatus } from "../../src/mod.ts";

const ROOT = resolve(import.meta.dirname, "../../../..");
const SWITCH_IP = "192.168.81.1";

export type LabNode = { readonly name: string; readonly ip: string; readonly netns: string; readonly runDir: string };

export interface Lab extends AsyncDisposable {
  readonly dir: string;
  addNode(name: string, ip: string): LabNode;
  /** Starts a program in a node's namespace; its output goes to a file of the lab's folder. */
  start(node: LabNode, name: string, argv: readonly string[]): ChildProcess;
  startBgp(node: LabNode, flags?: readonly string[]): ChildProcess;
  /** etcd, nats-server and syncer, ready. */
  startBus(): Promise<void>;
  /** `kill -9` of etcd, nats-server and syncer. */
  killBus(): Promise<void>;
  put(key: string, value: unknown): void;
  remove(key: string): void;
  /** `ip …` in a node's namespace. */
  ip(node: LabNode, ...args: readonly string[]): string;
  exec(node: LabNode, ...argv: readonly string[]): string;
  status(node: LabNode): Promise<BgpStatus>;
  output(name: string): string;
}

/** What is missing here to run such tests; undefined if nothing is. */
export function missingFor(...programs: readonly string[]): string | undefined {
  if (process.getuid?.() !== 0) return "not root";
  const missing = programs.filter((program) => !["/usr/sbin", "/usr/bin", "/sbin", "/bin"].some((dir) => existsSync(join(dir, program))));
  return missing.length === 0 ? undefined : `not installed: ${missing.join(", ")}`;
}

export function openLab(name: string): Lab {
  const dir = mkdtempSync(join(tmpdir(), `calico-bgp-${name}-`));
  const prefix = `bgp${process.pid}${name}`.slice(0, 24);
  const children: ChildProcess[] = [];
  const bus: ChildProcess[] = [];
  const netnses: string[] = [];
  const ipRoot = (...args: readonly string[]) => execFileSync("ip", [...args], { encoding: "utf8" });
  const inNetns = (netns: string, argv: readonly string[]) => ["nsenter", `--net=/run/netns/${netns}`, "--", ...argv];

  function addNetns(label: string): string {
    const netns = `${prefix}${label}`;
    ipRoot("netns", "add", netns);
    netnses.push(netns);
    ipRoot("-n", netns, "link", "set", "lo", "up");
    return netns;
  }

  const hub = addNetns("hub");
  ipRoot("-n", hub, "link", "add", "br0", "type", "bridge");
  ipRoot("-n", hub, "addr", "add", `${SWITCH_IP}/24`, "dev", "br0");
  ipRoot("-n", hub, "link", "set", "br0", "up");

  function spawnIn(netns: string, label: string, argv: readonly string[]): ChildProcess {
    const [program = "", ...rest] = inNetns(netns, argv);
    const out = openSync(join(dir, `${label}.log`), "a");
    const child = spawn(program, rest, { stdio: ["ignore", out, out], cwd: dir });
    children.push(child);
    return child;
  }

  function execIn(netns: string, argv: readonly string[]): string {
    const [program = "", ...rest] = inNetns(netns, argv);
    return execFileSync(program, rest, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ETCDCTL_API: "3" } });
  }

  const etcdctl = (...args: readonly string[]) => execIn(hub, ["etcdctl", "--endpoints", `http://${SWITCH_IP}:2379`, ...args]);
  const run = join(ROOT, "setup/run.sh");

  return {
    dir,
    addNode(label, ip) {
      const netns = addNetns(label);
      ipRoot("-n", hub, "link", "add", `v${label}`, "type", "veth", "peer", "name", "eth0", "netns", netns);
      ipRoot("-n", hub, "link", "set", `v${label}`, "master", "br0", "up");
      ipRoot("-n", netns, "addr", "add", `${ip}/24`, "dev", "eth0");
      ipRoot("-n", netns, "link", "set", "eth0", "up");
      const runDir = join(dir, label);
      mkdirSync(runDir);
      return { name: label, ip, netns, runDir };
    },
    start: (node, label, argv) => spawnIn(node.netns, label, argv),
    startBgp(node, flags = []) {
      const common = ["--node", node.name, "--nats", `nats://${SWITCH_IP}:4222`, "--run-dir", node.runDir, "--health-port", "9100"];
      return spawnIn(node.netns, node.name, [run, "packages/bgp/src/main.ts", ...common, ...flags]);
    },
    async startBus() {
      const [etcd, nats] = [`http://${SWITCH_IP}:2379`, `nats://${SWITCH_IP}:4222`];
      const urls = ["--listen-client-urls", etcd, "--advertise-client-urls", etcd, "--listen-peer-urls", "http://127.0.0.1:2380"];
      bus.push(spawnIn(hub, "etcd", ["etcd", "--data-dir", join(dir, "etcd"), ...urls]));
      bus.push(spawnIn(hub, "nats", ["nats-server", "-a", SWITCH_IP, "-p", "4222", "-js", "-sd", join(dir, "js")]));
      await until("etcd answers", () => etcdctl("get", "none") === "");
      bus.push(spawnIn(hub, "syncer", [run, "packages/bus/src/main.ts", "--etcd", etcd, "--nats", nats, "--health-port", "9104"]));
    },
    killBus: async () => void (await Promise.all(bus.splice(0).map(killChild))),
    put: (key, value) => void etcdctl("put", key, typeof value === "string" ? value : JSON.stringify(value)),
    remove: (key) => void etcdctl("del", key),
    ip: (node, ...args) => execIn(node.netns, ["ip", ...args]),
    exec: (node, ...argv) => execIn(node.netns, argv),
    status: (node) => askStatus(join(node.runDir, "bgp.sock")),
    output: (label) => readFileSync(join(dir, `${label}.log`), "utf8"),
    async [Symbol.asyncDispose]() {
      await Promise.all(children.map(killChild));
      for (const netns of netnses) ipRoot("netns", "del", netns);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

export async function killChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

function askStatus(path: string): Promise<BgpStatus> {
  return new Promise((done, fail) => {
    const socket = connect(path);
    let text = "";
    socket.on("error", fail);
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (!text.endsWith("\n")) return;
      socket.destroy();
      done(JSON.parse(text) as BgpStatus);
    });
    socket.on("connect", () => socket.write('{"op":"status"}\n'));
  });
}

/** Ask until it is so; the last error or "no" is in the message when time is up. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, timeoutMs = 20_000): Promise<number> {
  const began = Date.now();
  let last: unknown = "it does not hold";
  while (Date.now() - began < timeoutMs) {
    try {
      if (await holds()) return Date.now() - began;
    } catch (error) {
      last = error;
    }
    await new Promise((resume) => setTimeout(resume, 50));
  }
  throw new Error(`not within ${timeoutMs} ms: ${what}`, { cause: last });
}
