/**
 * The executables called with a flag in place of a command.
 *
 * Source: calico cni-plugin/pkg/plugin/plugin.go (-v, -t), pkg/ipamplugin/ipam_plugin.go (-upgrade). Deviation: nothing is migrated: a node that
 * holds addresses of host-local is refused, as pods on it would share theirs with new ones.
 */
import { CniFault, errorObject } from "../domain/fault.ts";
import { parseNetconf, versionOfBroken } from "../domain/netconf.ts";
import { OWN_VERSION, PLUGIN_VERSION } from "../domain/version.ts";
import type { Ports } from "../ports.ts";
import { targetOf } from "./etcd-target.ts";
import { checkReady } from "./identity.ts";

export type FlagOutcome = { readonly exit: number; readonly stdout?: string; readonly stderr?: string };

export type FlagCall = {
  readonly plugin: "calico" | "calico-ipam";
  readonly flag: string;
  readonly readStdin: () => Promise<string>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Addresses that host-local gave to pods of this node. */
  readonly hostLocalAddresses: () => readonly string[];
};

const USAGE = `Usage: calico -v | -t < CONFIGURATION
       calico-ipam -v | -upgrade
-v        print the version
-t        say whether the datastore of the configuration on standard input can be worked on: exit code 0, or 1 and an error of code 100
-upgrade  for the init container of a DaemonSet: exit code 0 when this node holds no addresses of host-local (KUBERNETES_NODE_NAME: the node)
Without a flag: a CNI plugin, called by a container runtime.
`;

export async function answerFlag(ports: Pick<Ports, "datastoreOf">, call: FlagCall): Promise<FlagOutcome> {
  const key = `${call.plugin} ${call.flag.replace(/^--/, "-")}`;
  if (key.endsWith(" -v")) return { exit: 0, stdout: `${PLUGIN_VERSION}\n` };
  if (key.endsWith(" -h") || key.endsWith(" -help")) return { exit: 0, stdout: USAGE };
  if (key === "calico -t") return await testDatastore(ports, await call.readStdin());
  if (key === "calico-ipam -upgrade") return upgrade(call);
  return { exit: 2, stderr: `${call.plugin}: unknown flag ${call.flag}\n${USAGE}` };
}

async function testDatastore(ports: Pick<Ports, "datastoreOf">, stdin: string): Promise<FlagOutcome> {
  try {
    await checkReady(ports.datastoreOf(targetOf(parseNetconf(stdin))));
    return { exit: 0 };
  } catch (e) {
    const why = e instanceof CniFault ? [e.message, e.details].filter(Boolean).join(": ") : String(e instanceof Error ? e.message : e);
    const fault = new CniFault("internal", "the datastore cannot be worked on", why);
    return { exit: 1, stdout: `${JSON.stringify(errorObject(fault, versionOfBroken(stdin) ?? OWN_VERSION))}\n` };
  }
}

function upgrade({ env, hostLocalAddresses }: FlagCall): FlagOutcome {
  const node = env["KUBERNETES_NODE_NAME"];
  if (!node) return { exit: 1, stderr: "calico-ipam -upgrade: KUBERNETES_NODE_NAME is not set, expected the node's name\n" };
  const held = hostLocalAddresses();
  if (held.length === 0) return { exit: 0, stderr: `calico-ipam -upgrade: node ${node} holds no addresses of host-local, nothing to do\n` };
  const some = held.slice(0, 5).join(", ");
  const what = `node ${node} holds ${held.length} addresses of host-local (${some}${held.length > 5 ? ", …" : ""})`;
  return {
    exit: 1,
    stderr: `calico-ipam -upgrade: ${what}; they are not migrated: drain the node, so that its pods are given up, and start it again\n`,
  };
}
