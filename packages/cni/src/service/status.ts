/** STATUS. Source: CNI SPEC 1.1.0 "STATUS". */
import { CniFault } from "../domain/fault.ts";
import type { Ports } from "../ports.ts";
import type { Job } from "./add.ts";
import { delegateStatus } from "./delegate.ts";
import { targetOf } from "./etcd-target.ts";
import { checkReady, nodeOf } from "./identity.ts";

/** 50: ADD would fail. 51: besides, felix has not run since the node came up, so pods may lack what it does for them. */
export async function status(ports: Ports, { conf, call, settings }: Job): Promise<void> {
  try {
    const node = nodeOf(conf, { files: ports.files, settings });
    const datastore = ports.datastoreOf(targetOf(conf));
    await checkReady(datastore);
    await delegateStatus(ports, { conf, call, node, datastore });
  } catch (e) {
    const folder = conf.endpoint_status_dir || `${settings.runDir}/endpoint-status`;
    const isLimited = settings.policyWaitMs > 0 && !ports.files.exists(folder);
    const details = e instanceof Error ? e.message : String(e);
    if (!isLimited) throw new CniFault("notAvailable", "the plugin cannot serve ADD now", details);
    throw new CniFault(
      "limitedConnectivity",
      "the plugin cannot serve ADD now, and pods may have limited connectivity",
      `${details}; ${folder} does not exist`,
    );
  }
}
