/** Which node this is, and whether the cluster may be worked on. Source: calico cni-plugin/internal/pkg/utils (DetermineNodename), plugin.go. */
import { CniFault } from "../domain/fault.ts";
import type { Netconf } from "../domain/netconf.ts";
import type { Datastore, Files, Settings } from "../ports.ts";

/** The node's name: configured, else from the file, else the agent's own, else the host's. */
export function nodeOf(conf: Netconf, o: { readonly files: Files; readonly settings: Settings }): string {
  const file = conf.nodename_file || `${o.settings.varDir}/nodename`;
  const written = o.files.read(file);
  if (written === undefined && o.settings.node === undefined && conf.nodename_file_optional !== true) {
    throw new CniFault(
      "tryAgain",
      `stat ${file}: no such file or directory: check that the calico/node container is running and has mounted ${o.settings.varDir}/`,
    );
  }
  return conf.nodename || written || conf.hostname || o.settings.node || o.settings.hostname;
}

/** Refuse to work on a datastore that is not there or locked, as while it is being migrated. */
export async function checkReady({ resources }: Pick<Datastore, "resources">): Promise<void> {
  const info = await resources.get({ kind: "ClusterInformation", name: "default" });
  if (!info.ok) throw new CniFault("tryAgain", "Calico is currently not ready to process requests", info.error.message);
  if (info.value.spec.datastoreReady === false) {
    throw new CniFault(
      "tryAgain",
      "Calico is currently not ready to process requests",
      "ClusterInformation default says datastoreReady: false",
    );
  }
}

/** The pod's MTU: configured, else what the node found out, else the kernel's. */
export function mtuOf(conf: Netconf, o: { readonly files: Files; readonly settings: Settings }): number | undefined {
  if (conf.mtu) return conf.mtu;
  const file = `${o.settings.varDir}/mtu`;
  const text = o.files.read(file);
  if (text === undefined && conf.require_mtu_file)
    throw new CniFault("tryAgain", `cannot read the MTU file ${file}`, "require_mtu_file is set; calico/node writes it");
  const mtu = Number(text ?? 0);
  return Number.isInteger(mtu) && mtu > 0 ? mtu : undefined;
}
