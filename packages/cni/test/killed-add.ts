/**
 * `killed-add.ts N`: one ADD on the real kernel and datastore by a process that ends by SIGKILL right before its N-th effect; without the
 * N-th it prints the result. Environment and standard input are a CNI call's; CALICO_RUN_DIR and CALICO_VAR_DIR as for the plugin.
 */
import process from "node:process";
import { text } from "node:stream/consumers";
import { makeLogger } from "@calico/daemon";
import { openWorld } from "../src/adapter/compose.ts";
import type { Environment } from "../src/domain/env.ts";
import { runPlugin } from "../src/service/run.ts";

let left = Number(process.argv[2]);
const EFFECTS = /^(add|set|delete|replace|apply|create|update|write|auto|assign|release)/;

/** The object with a step counted before each method that changes something, in what its methods give too. */
function counted<T extends object>(target: T, own: (method: string) => boolean = (m) => EFFECTS.test(m)): T {
  return new Proxy(target, {
    get(object, key) {
      const value: unknown = Reflect.get(object, key, object);
      if (typeof value !== "function" || typeof key !== "string") return value;
      return (...args: unknown[]) => {
        if (own(key) && left-- === 0) process.kill(process.pid, "SIGKILL");
        return (value as (...a: unknown[]) => unknown).apply(object, args);
      };
    },
  });
}

const env = process.env as Environment & { CALICO_RUN_DIR: string; CALICO_VAR_DIR: string };
await using world = openWorld({ runDir: env.CALICO_RUN_DIR, defaultEtcd: undefined, agentKubeconfig: undefined });
const { kernel } = world;
const ports = {
  ...world,
  kernel: {
    host: () => counted(kernel.host()),
    pod: (path: string) => {
      const pod = kernel.pod(path);
      return pod === undefined ? undefined : counted(pod);
    },
    isOwn: kernel.isOwn,
    writeSysctl: counted(kernel).writeSysctl,
    readSysctl: kernel.readSysctl,
  },
  datastoreOf: (...args: Parameters<typeof world.datastoreOf>) => {
    const { ipam, resources, ...others } = world.datastoreOf(...args);
    return { ipam: counted(ipam), resources: counted(resources), ...others };
  },
};
const settings = { varDir: env.CALICO_VAR_DIR, runDir: env.CALICO_RUN_DIR, node: undefined, policyWaitMs: 0, hostname: "host" };
const answer = await runPlugin(
  ports,
  { plugin: "calico", env, stdin: await text(process.stdin) },
  { settings, log: makeLogger({ component: "killed" }) },
);
process.stdout.write(answer.stdout);
process.exitCode = answer.exit;
