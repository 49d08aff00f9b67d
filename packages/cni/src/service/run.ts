/**
 * The door: environment and standard input in, exit code and standard output out, whatever happens between.
 * Standard output carries a result or the spec's error object, and nothing else.
 */
import { StoreUnavailable } from "@calico/datastore";
import { makeKeyedLock } from "@calico/ipam";
import type { KeyedLock } from "@calico/ipam";
import { KubeConnectionError } from "@calico/kube-client";
import { NetlinkError } from "@calico/linux";
import type { Answer } from "../domain/frame.ts";
import { CniFault, errorObject } from "../domain/fault.ts";
import { parseCall } from "../domain/env.ts";
import type { CniCall, Command, Environment } from "../domain/env.ts";
import { parseNetconf, versionOfBroken } from "../domain/netconf.ts";
import { parseResult, renderResult } from "../domain/result.ts";
import { isAtLeast, OWN_VERSION, versionReply } from "../domain/version.ts";
import type { CniVersion } from "../domain/version.ts";
import type { Workload } from "../domain/workload.ts";
import type { Log, Ports, Settings } from "../ports.ts";
import { add } from "./add.ts";
import type { Job } from "./add.ts";
import { check } from "./check.ts";
import { del, forget } from "./del.ts";
import { gc, gcAddresses } from "./gc.ts";
import { targetOf } from "./etcd-target.ts";
import { nodeOf } from "./identity.ts";
import { doOrQueue } from "./settle-deletes.ts";
import { status } from "./status.ts";
import { makeStopwatch } from "./stopwatch.ts";
import { teeLog } from "./tee-log.ts";
import { ipamAdd, ipamCheck, ipamDel, withGateways } from "./ipam-plugin.ts";
import { ipamPorts } from "./delegate.ts";

export type Invocation = { readonly plugin: "calico" | "calico-ipam"; readonly env: Environment; readonly stdin: string };

/** What is told of a call when it is over. */
export type Ended = {
  readonly command: Command | undefined;
  readonly call: CniCall | undefined;
  readonly workload: Workload | undefined;
  readonly ips: readonly string[];
  readonly fault: CniFault | undefined;
  readonly durationMs: number;
  /** Where the time went, in milliseconds. */
  readonly stepsMs: Readonly<Record<string, number>>;
};

export type RunOptions = {
  readonly settings: Settings;
  readonly log: Log;
  readonly onEnd?: (ended: Ended) => void;
  /** What is told of a call is told by this, when the answer is on its way. Default: before it is. */
  readonly afterAnswer?: (tell: () => void) => void;
  /** Aborted, with a fault, when nobody waits for the answer any more, or a newer container is the pod's: an ADD then takes back what it made. */
  readonly signal?: AbortSignal;
  /** When it is aborted at the latest, by the clock. */
  readonly endsAt?: number;
  /** Of the one who runs many calls; see turns.ts. Default: the call is alone. */
  readonly locks?: KeyedLock;
  /** Is given what goes on after the answer; the call's turn lasts until that is over. */
  readonly onLate?: (rest: Promise<unknown>) => void;
};

type Output = { readonly body: object | undefined; readonly workload?: Workload; readonly ips?: readonly string[] };

/** Earliest version of the configuration that knows the command. */
const SINCE: Partial<Record<Command, CniVersion>> = { CHECK: "0.4.0", GC: "1.1.0", STATUS: "1.1.0" };

/** One call from beginning to end; never throws. */
export async function runPlugin(ports: Ports, invocation: Invocation, options: RunOptions): Promise<Answer> {
  const { onEnd, afterAnswer = (tell) => tell(), locks = makeKeyedLock(), log, ...rest } = options;
  const start = ports.clock.now();
  const watch = makeStopwatch(() => ports.clock.now());
  const known: { call?: CniCall; log: Log } = { log };
  const end = (o: Partial<Ended>) => {
    const { call } = known;
    const whole = {
      command: call?.command,
      call,
      workload: undefined,
      ips: [],
      fault: undefined,
      durationMs: Math.round((ports.clock.now() - start) * 100) / 100,
      stepsMs: watch.laps(),
      ...o,
    };
    afterAnswer(() => {
      logEnd(known.log, whole);
      onEnd?.(whole);
    });
  };
  try {
    const call = (known.call = parseCall(invocation.env));
    const version = versionOfBroken(invocation.stdin) ?? OWN_VERSION;
    if (call.command === "VERSION") return { exit: 0, stdout: `${JSON.stringify(versionReply(version))}\n` };
    const conf = parseNetconf(invocation.stdin);
    known.log = teeLog(ports, log, conf);
    const output = await perform(ports, invocation.plugin, { ...rest, conf, call, locks, log: known.log, watch });
    end({ workload: output.workload, ips: output.ips ?? [] });
    return { exit: 0, stdout: output.body === undefined ? "" : `${JSON.stringify(output.body)}\n` };
  } catch (e) {
    const fault = faultOf(e);
    end({ fault });
    return { exit: 1, stdout: `${JSON.stringify(errorObject(fault, versionOfBroken(invocation.stdin) ?? OWN_VERSION))}\n` };
  }
}

function logEnd(log: Log, { command, call, workload, ips, durationMs, stepsMs, fault }: Ended): void {
  const what = { command, containerId: call?.containerId, endpoint: workload?.wepName, ips, durationMs, stepsMs };
  if (fault === undefined) log.info("call ended", what);
  else log.warn("call failed", { ...what, code: fault.code, msg: fault.message, details: fault.details });
}

async function perform(ports: Ports, plugin: Invocation["plugin"], job: Job): Promise<Output> {
  const { conf, call } = job;
  const since = SINCE[call.command];
  if (since !== undefined && !isAtLeast(conf.cniVersion, since)) {
    throw new CniFault("incompatibleVersion", `CNI version ${conf.cniVersion} has no command ${call.command}`, `it came with ${since}`);
  }
  // What an earlier life of this container left to be taken back must not be taken from this one.
  if (call.command === "ADD") ports.deletes.removeOf(call.containerId);
  return plugin === "calico-ipam" ? await performIpam(ports, job) : await performMain(ports, job);
}

async function performMain(ports: Ports, job: Job): Promise<Output> {
  switch (job.call.command) {
    case "ADD": {
      if (job.conf.device_type === "netkit") job.log.warn("netkit is not supported, veth is used", { containerId: job.call.containerId });
      const { result, workload } = await add(ports, job);
      return { body: renderResult(result, job.conf.cniVersion), workload, ips: result.ips.map((i) => i.address) };
    }
    case "DEL":
      return { body: undefined, workload: await del(ports, job) };
    case "CHECK":
      return { body: undefined, workload: await check(ports, job) };
    case "GC":
      await gc(ports, job);
      return { body: undefined };
    case "STATUS":
      await status(ports, job);
      return { body: undefined };
    case "VERSION":
      return { body: versionReply(job.conf.cniVersion) };
  }
}

/** The datastore's part of a DEL that was put aside. */
export async function forgetBy(ports: Ports, plugin: Invocation["plugin"], job: Job): Promise<void> {
  if (plugin === "calico") return await forget(ports, job);
  await ipamDel(ipamPorts(ports, { ...job, datastore: ports.datastoreOf(targetOf(job.conf)) }), job);
}

async function performIpam(ports: Ports, job: Job): Promise<Output> {
  const { conf, call, settings } = job;
  const datastore = ports.datastoreOf(targetOf(conf));
  const own = ipamPorts(ports, { conf, call, datastore });
  switch (call.command) {
    case "ADD": {
      const assigned = await ipamAdd(own, { conf, call, node: nodeOf(conf, { files: ports.files, settings }) });
      if (job.signal?.aborted === true) await ipamDel(own, job);
      job.signal?.throwIfAborted();
      const result = conf.type === "ptp" ? withGateways(assigned) : assigned;
      return { body: renderResult(result, conf.cniVersion), ips: result.ips.map((i) => i.address) };
    }
    case "DEL":
      await doOrQueue(ports, job, { plugin: "calico-ipam", action: () => ipamDel(own, job) });
      return { body: undefined };
    case "CHECK":
      await ipamCheck(own, { ...job, addresses: conf.prevResult == null ? [] : parseResult(conf.prevResult).ips.map((i) => i.address) });
      return { body: undefined };
    case "STATUS":
      await status(ports, job);
      return { body: undefined };
    case "GC":
      await gcAddresses(ports, job);
      return { body: undefined };
    case "VERSION":
      return { body: versionReply(conf.cniVersion) };
  }
}

/** Faults of the world that a retry may cure are "try again"; the rest is ours. */
function faultOf(e: unknown): CniFault {
  if (e instanceof CniFault) return e;
  const message = e instanceof Error ? e.message : String(e);
  if (e instanceof StoreUnavailable) return new CniFault("tryAgain", "the datastore cannot be reached", message);
  if (e instanceof KubeConnectionError) return new CniFault("tryAgain", "the Kubernetes API cannot be reached", message);
  if (e instanceof NetlinkError) return new CniFault("kernel", message);
  return new CniFault("internal", message, e instanceof Error && e.cause instanceof Error ? e.cause.message : undefined);
}
