import { existsSync, readFileSync } from "node:fs";
import { exec } from "../adapter/exec.ts";
import type { HostPort } from "./records.ts";

interface Conflist {
  readonly name: string;
  readonly cniVersion: string;
  readonly plugins: readonly (Readonly<Record<string, unknown>> & {
    readonly type: string;
    readonly capabilities?: Readonly<Record<string, boolean>>;
  })[];
}

export interface Attachment {
  readonly containerId: string;
  readonly netns: string;
  readonly namespace: string;
  readonly pod: string;
  readonly uid: string;
  readonly hostPorts: readonly HostPort[];
}

export interface CniRuntime {
  /** The whole chain; on failure what was added is deleted again before this throws. */
  add(a: Attachment): Promise<{ readonly result: unknown; readonly ips: readonly string[] }>;
  /** The whole chain backwards. Throws when a plugin refused; it may be called again. */
  del(a: Attachment, prevResult: unknown): Promise<void>;
}

/** Calls plugins as the CNI specification says: environment, configuration on stdin, result on stdout. Source: CNI SPEC 1.0.0 §2, §4. */
export function makeCniRuntime(options: { readonly confFile: string; readonly path: readonly string[] }): CniRuntime {
  const conf = JSON.parse(readFileSync(options.confFile, "utf8")) as Conflist;

  async function call(command: "ADD" | "DEL", plugin: Conflist["plugins"][number], a: Attachment, prevResult: unknown): Promise<unknown> {
    const { capabilities, ...fields } = plugin;
    const input = {
      ...fields,
      name: conf.name,
      cniVersion: conf.cniVersion,
      ...(capabilities?.portMappings === true ? { runtimeConfig: { portMappings: a.hostPorts } } : {}),
      ...(prevResult === undefined ? {} : { prevResult }),
    };
    const env = {
      CNI_COMMAND: command,
      CNI_CONTAINERID: a.containerId,
      CNI_NETNS: `/run/netns/${a.netns}`,
      CNI_IFNAME: "eth0",
      CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${a.namespace};K8S_POD_NAME=${a.pod};K8S_POD_INFRA_CONTAINER_ID=${a.containerId};K8S_POD_UID=${a.uid}`,
      CNI_PATH: options.path.join(":"),
    };
    const dir = options.path.find((d) => existsSync(`${d}/${plugin.type}`));
    if (dir === undefined) throw new Error(`Cannot find CNI plugin "${plugin.type}" in ${options.path.join(", ")}`);
    const ran = await exec([`${dir}/${plugin.type}`], { input: JSON.stringify(input), env, timeoutMs: 120_000 });
    if (ran.code !== 0)
      throw new Error(`CNI ${command} of ${a.namespace}/${a.pod} by ${plugin.type} failed: ${describe(ran.stdout, ran.stderr)}`);
    return ran.stdout.trim() === "" ? undefined : JSON.parse(ran.stdout);
  }

  async function del(a: Attachment, prevResult: unknown): Promise<void> {
    for (const plugin of conf.plugins.toReversed()) await call("DEL", plugin, a, prevResult);
  }

  return {
    del,
    async add(a) {
      let result: unknown;
      try {
        for (const plugin of conf.plugins) result = await call("ADD", plugin, a, result);
      } catch (cause) {
        await del(a, undefined).catch((error: unknown) => {
          throw new AggregateError([cause, error], `${String(cause)}; and its DEL failed too: ${String(error)}`);
        });
        throw cause;
      }
      return { result, ips: addressesOf(result) };
    },
  };
}

function addressesOf(result: unknown): readonly string[] {
  const { ips = [] } = (result ?? {}) as { readonly ips?: readonly { readonly address: string }[] };
  return ips.map(({ address }) => address.split("/")[0] ?? address);
}

function describe(stdout: string, stderr: string): string {
  try {
    const { code, msg, details } = JSON.parse(stdout) as { code: number; msg: string; details?: string };
    return `code ${code}: ${msg}${details === undefined ? "" : ` (${details})`}`;
  } catch {
    return (stderr || stdout).trim().slice(-500); // not the specification's error object; show what was said
  }
}
