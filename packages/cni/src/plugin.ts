/** The whole plugin in one process: what the executable runs when no agent answers. `plugin.ts calico|calico-ipam [-v|-t|-upgrade]`. */
import { hostname } from "node:os";
import process from "node:process";
import { makeLogger } from "@calico/daemon";
import { etcdAccess } from "@calico/datastore";
import { openWorld } from "./adapter/compose.ts";
import { openHostLocal } from "./adapter/host-local.ts";
import { podsOn } from "./adapter/kube.ts";
import { readInput } from "./adapter/stdin.ts";
import { VARIABLES } from "./domain/env.ts";
import type { Environment } from "./domain/env.ts";
import { CniFault, errorObject } from "./domain/fault.ts";
import { versionOfBroken } from "./domain/netconf.ts";
import { OWN_VERSION } from "./domain/version.ts";
import { makeAgent } from "./service/agent.ts";
import { targetOfEnvironment } from "./service/etcd-target.ts";
import { answerFlag } from "./service/flags.ts";
import type { Invocation } from "./service/run.ts";

const [, , name = "calico", flag] = process.argv;
const plugin: Invocation["plugin"] = name.endsWith("calico-ipam") ? "calico-ipam" : "calico";
const log = makeLogger({ component: `${plugin} (without agent)` });

const runDir = process.env["CALICO_RUN_DIR"] ?? "/var/run/calico";
// Below what the executable waits for an agent.
const STDIN_DEADLINE_MS = 60_000;
const readStdin = () => readInput(process.stdin, STDIN_DEADLINE_MS);

process.exitCode = flag === undefined ? await run() : await runFlag(flag);

async function runFlag(flag: string): Promise<number> {
  const { auth } = etcdAccess({ etcdUser: process.env["ETCD_USERNAME"], etcdPasswordFile: process.env["ETCD_PASSWORD_FILE"] });
  const defaultEtcd = targetOfEnvironment(process.env);
  await using world = openWorld({ runDir, defaultEtcd, agentKubeconfig: undefined, ...(auth && { etcdAuth: auth }) });
  const {
    exit,
    stdout = "",
    stderr = "",
  } = await answerFlag(world, {
    plugin,
    flag,
    readStdin,
    env: process.env,
    hostLocal: openHostLocal(process.env["CALICO_HOST_LOCAL_DIR"]),
    podsOn: (node) => podsOn(process.env["KUBECONFIG"], node),
  });
  process.stderr.write(stderr);
  await new Promise((resolve) => process.stdout.write(stdout, resolve));
  return exit;
}

async function run(): Promise<number> {
  let stdin = "";
  try {
    stdin = process.env["CNI_COMMAND"] === "VERSION" && process.stdin.isTTY ? "" : await readStdin();
    return await answerWith(stdin);
  } catch (e) {
    if (!(e instanceof CniFault)) throw e;
    const body = `${JSON.stringify(errorObject(e, versionOfBroken(stdin) ?? OWN_VERSION))}\n`;
    await new Promise((resolve) => process.stdout.write(body, resolve));
    // An input that is still open would keep the process.
    process.exit(1);
  }
}

async function answerWith(stdin: string): Promise<number> {
  const varDir = process.env["CALICO_VAR_DIR"] ?? "/var/lib/calico";
  const env = process.env as Environment;
  const settings = { varDir, runDir, node: undefined, policyWaitMs: 0, hostname: hostname().toLowerCase() };
  const { auth } = etcdAccess({ etcdUser: process.env["ETCD_USERNAME"], etcdPasswordFile: process.env["ETCD_PASSWORD_FILE"] });
  const defaultEtcd = targetOfEnvironment(process.env);
  await using world = openWorld({ runDir, defaultEtcd, agentKubeconfig: undefined, ...(auth && { etcdAuth: auth }) });
  const given = VARIABLES.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]] as const]));
  const agent = makeAgent(world, { settings, log, alone: false });
  const answer = await agent.answer({ fields: new Map([["PLUGIN", plugin], ["STDIN", stdin], ...given]) });
  await new Promise((resolve) => process.stdout.write(answer.stdout, resolve));
  return answer.exit;
}
