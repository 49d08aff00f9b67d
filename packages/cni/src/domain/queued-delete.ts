/** A DEL whose datastore part waits until the datastore is back. Holds no credential. */
import { z } from "zod";
import type { CniCall, Environment } from "./env.ts";
import type { Netconf } from "./netconf.ts";

const schema = z.object({
  plugin: z.enum(["calico", "calico-ipam"]),
  env: z.record(z.string(), z.string()),
  conf: z.record(z.string(), z.unknown()),
  queuedAt: z.string(),
});
export type QueuedDelete = Omit<z.output<typeof schema>, "env"> & { readonly env: Environment };

/** Not needed to take an endpoint and its address back, or a secret. */
const LEFT_OUT = ["policy", "kubernetes", "prevResult", "runtimeConfig", "args", "log_file_path"];

export function queuedDelete(o: { plugin: QueuedDelete["plugin"]; conf: Netconf; call: CniCall; now: number }): QueuedDelete {
  const { plugin, conf, call, now } = o;
  return {
    plugin,
    env: {
      CNI_COMMAND: "DEL",
      CNI_CONTAINERID: call.containerId,
      // The namespace may be another's by the time this is settled; what was in it is gone.
      CNI_NETNS: "",
      CNI_IFNAME: call.ifName,
      CNI_ARGS: call.argsText,
      CNI_PATH: call.path.join(":"),
      FELIX_INTERFACEPREFIX: call.vethPrefix,
    },
    conf: { ...Object.fromEntries(Object.entries(conf.raw).filter(([key]) => !LEFT_OUT.includes(key))), cniVersion: conf.cniVersion },
    queuedAt: new Date(now).toISOString(),
  };
}

/** Undefined if the text is none. */
export function parseQueuedDelete(text: string): QueuedDelete | undefined {
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** One per container, interface and plugin; all three are checked to be fit for a file's name. */
export function queueName(o: Pick<QueuedDelete, "plugin" | "env">): string {
  return `${o.env.CNI_CONTAINERID}@${o.env.CNI_IFNAME}@${o.plugin}.json`;
}
