/** ADD's last step: felix writes a file when the endpoint's policy is in the kernel. Source: facts §3.2.10. */
import { statusFileName } from "../domain/workload.ts";
import type { Workload } from "../domain/workload.ts";
import type { Ports } from "../ports.ts";
import type { Job } from "./add.ts";
import { within } from "./within.ts";

/** Of the call's time, what is left for its answer to get to the runtime. */
const ANSWER_MS = 2000;

/** A pod is never kept from starting by this, however long the wait is configured; why it went on without is logged. */
export async function waitForPolicy(ports: Ports, { conf, settings, log, endsAt }: Job, workload: Workload): Promise<void> {
  const configured = conf.policy_setup_timeout_seconds;
  const wantedMs = configured === undefined ? settings.policyWaitMs : configured * 1000;
  if (wantedMs === 0) return;
  const leftMs = endsAt === undefined ? wantedMs : Math.round(endsAt - ANSWER_MS - ports.clock.now());
  const timeoutMs = Math.max(0, Math.min(wantedMs, leftMs));
  const path = `${conf.endpoint_status_dir || `${settings.runDir}/endpoint-status`}/${statusFileName(workload)}`;
  const start = ports.clock.now();
  let reason = "felix did not report the endpoint's policy; is it running on this node?";
  try {
    const isThere = () => ports.untilFile(path, timeoutMs, (content) => isOf(content, workload.containerId));
    if (await within(timeoutMs, isThere, () => new Error(reason))) return;
  } catch (e) {
    reason = e instanceof Error ? e.message : String(e);
  }
  const what = { path, waitedMs: ports.clock.now() - start, endpoint: workload.wepName };
  log.warn("timed out waiting for endpoint status file", { ...what, reason });
}

/** Whether the file speaks of this container: one of a former pod of the same name, whose policy may be another, does not count. */
function isOf(content: string, containerId: string): boolean {
  try {
    const { containerID } = JSON.parse(content) as { readonly containerID?: unknown };
    return containerID === undefined || containerID === containerId;
  } catch {
    return true; // another writer's: that it is there is all that it says
  }
}
