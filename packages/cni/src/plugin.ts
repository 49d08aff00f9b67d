/** The whole plugin in one process: what the executable runs when no agent answers. `plugin.ts calico|calico-ipam [-v|-t|-upgrade]`. */
import { hostname } from "node:os";
import process from "node:process";
import { text } from "node:stream/consumers";
import { makeLogger } from "@calico/daemon";
import { etcdAccess } from "@calico/datastore";
import { openWorld } from "./adapter/compose.ts";
import { hostLocalAddresses } from "./adapter/host-local-data.ts";
import { VARIABLES } from "./domain/env.ts";
import type { Environment } from "./domain/env.ts";
import { makeAgent } from "./service/agent.ts";
import { answerFlag } from "./service/flags.ts";
import type { Invocation } from "./service/run.ts";

const [, , name = "calico", flag] = process.argv;
const plugin: Invocation["plugin"] = name.endsWith("calico-ipam") ? "calico-ipam" : "calico";
const log = makeLogger({ component: `${plugin} (without agent)` });

const runDir = process.env["CALICO_RUN_DIR"] ?? "/var/run/calico";
process.exitCode = flag === undefined ? await run() : await runFlag(flag);

async function runFlag(flag: string): Promise<number> {
  await using world = openWorld({ runDir, defaultEtcd: undefined, agentKubeconfig: undefined });
  const {
    exit,
    stdout = "",
    stderr = "",
  } = await answerFlag(world, {
    plugin,
    flag,
    readStdin: () => text(process.stdin),
    env: process.env,
    hostLocalAddresses,
  });
  process.stderr.write(stderr);
  await new Promise((resolve) => process.stdout.write(stdout, resolve));
  return exit;
}

async function run(): Promise<number> {
  const varDir = process.env["CALICO_VAR_DIR"] ?? "/var/lib/calico";
  const env = process.env as Environment;
  const stdin = env.CNI_COMMAND === "VERSION" && process.stdin.isTTY ? "" : await text(process.stdin);
  const settings = { varDir, runDir, node: undefined, policyWaitMs: 0, hostname: hostname().toLowerCase() };
  const { auth } = etcdAccess({ etcdUser: process.env["ETCD_USERNAME"], etcdPasswordFile: process.env["ETCD_PASSWORD_FILE"] });
  await using world = openWorld({ runDir, defaultEtcd: undefined, agentKubeconfig: undefined, ...(auth && { etcdAuth: auth }) });
  const given = VARIABLES.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]] as const]));
  const agent = makeAgent(world, { settings, log, alone: false });
  const answer = await agent.answer({ fields: new Map([["PLUGIN", plugin], ["STDIN", stdin], ...given]) });
  await new Promise((resolve) => process.stdout.write(answer.stdout, resolve));
  return answer.exit;
}
