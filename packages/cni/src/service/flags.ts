/**
 * The executables called with a flag in place of a command.
 *
 * Source: calico cni-plugin/pkg/plugin/plugin.go (-v, -t), pkg/ipamplugin/ipam_plugin.go (-upgrade).
 */
import { CniFault, errorObject } from "../domain/fault.ts";
import { parseNetconf, versionOfBroken } from "../domain/netconf.ts";
import type { PodOnNode } from "../domain/pod.ts";
import { OWN_VERSION, PLUGIN_VERSION } from "../domain/version.ts";
import type { Ports } from "../ports.ts";
import { targetOf } from "./etcd-target.ts";
import { type HostLocal, moveFromHostLocal } from "./host-local-move.ts";
import { checkReady } from "./identity.ts";

export type FlagOutcome = { readonly exit: number; readonly stdout?: string; readonly stderr?: string };

export type FlagCall = {
  readonly plugin: "calico" | "calico-ipam";
  readonly flag: string;
  readonly readStdin: () => Promise<string>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly hostLocal: HostLocal;
  readonly podsOn: (node: string) => Promise<readonly PodOnNode[]>;
};

const USAGE = `Usage: calico -v | -t < CONFIGURATION
       calico-ipam -v | -upgrade
-v        print the version
-t        say whether the datastore of the configuration on standard input can be worked on: exit code 0, or 1 and an error of code 100
-upgrade  for the init container of a DaemonSet: the addresses that host-local gave to this node's pods become calico-ipam's, and host-local
          gives no more of that network; can be run again (KUBERNETES_NODE_NAME: the node; KUBECONFIG, else the pod's service account)
Without a flag: a CNI plugin, called by a container runtime.
`;

type FlagPorts = Pick<Ports, "datastoreOf" | "kernel" | "clock">;

export async function answerFlag(ports: FlagPorts, call: FlagCall): Promise<FlagOutcome> {
  const key = `${call.plugin} ${call.flag.replace(/^--/, "-")}`;
  if (key.endsWith(" -v")) return { exit: 0, stdout: `${PLUGIN_VERSION}\n` };
  if (key.endsWith(" -h") || key.endsWith(" -help")) return { exit: 0, stdout: USAGE };
  if (key === "calico -t") return await testDatastore(ports, await call.readStdin());
  if (key === "calico-ipam -upgrade") return await upgrade(ports, call);
  return { exit: 2, stderr: `${call.plugin}: unknown flag ${call.flag}\n${USAGE}` };
}

async function testDatastore(ports: Pick<Ports, "datastoreOf">, stdin: string): Promise<FlagOutcome> {
  try {
    await checkReady(ports.datastoreOf(targetOf(parseNetconf(stdin))));
    return { exit: 0 };
  } catch (e) {
    const why = whyOf(e);
    const fault = new CniFault("internal", "the datastore cannot be worked on", why);
    return { exit: 1, stdout: `${JSON.stringify(errorObject(fault, versionOfBroken(stdin) ?? OWN_VERSION))}\n` };
  }
}

async function upgrade(ports: FlagPorts, { env, hostLocal, podsOn }: FlagCall): Promise<FlagOutcome> {
  const says = (text: string) => `calico-ipam -upgrade: ${text}\n`;
  const node = env["KUBERNETES_NODE_NAME"];
  if (!node) return { exit: 1, stderr: says("KUBERNETES_NODE_NAME is not set, expected the node's name") };
  let told = "";
  const say = (what: string) => void (told += says(what));
  try {
    const { clock, kernel } = ports;
    const datastore = () => ports.datastoreOf(undefined);
    await moveFromHostLocal({ datastore, host: kernel.host(), hostLocal, podsOn, nowMs: () => clock.now() }, { node, say });
    say(`node ${node} has no addresses of host-local, and host-local refuses the network`);
    return { exit: 0, stderr: told };
  } catch (e) {
    return { exit: 1, stderr: told + says(whyOf(e)) };
  }
}

function whyOf(e: unknown): string {
  if (e instanceof CniFault) return [e.message, e.details].filter(Boolean).join(": ");
  return e instanceof Error ? e.message : String(e);
}
