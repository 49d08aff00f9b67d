/** The agent: the same plugin code for every call, one call at a time per container, each with an answer within its deadline. */
import { makeKeyedLock } from "@calico/ipam";
import type { Answer, Request } from "../domain/frame.ts";
import { parseCall, VARIABLES } from "../domain/env.ts";
import type { CniCall, Environment } from "../domain/env.ts";
import { CniFault, errorObject } from "../domain/fault.ts";
import { versionOfBroken } from "../domain/netconf.ts";
import { isFor } from "../domain/workload.ts";
import type { Ports, Settings } from "../ports.ts";
import { forgetBy, runPlugin } from "./run.ts";
import type { Invocation, RunOptions } from "./run.ts";
import { settleDeletes } from "./settle-deletes.ts";
import type { Settled } from "./settle-deletes.ts";

/** Below the 90 s after which the executable gives up by itself. */
const DEADLINES_MS: Readonly<Record<string, number>> = {
  ADD: 80_000,
  GC: 80_000,
  DEL: 30_000,
  CHECK: 30_000,
  STATUS: 10_000,
  VERSION: 5000,
};

export interface Agent {
  answer(request: Request): Promise<Answer>;
  /** Try the deletes that wait for the datastore. */
  settle(): Promise<Settled>;
}

export type AgentOptions = RunOptions & {
  readonly deadlinesMs?: Readonly<Record<string, number>>;
  /** False: other processes may be at work on this node too. Default: true. */
  readonly alone?: boolean;
};

/** Two calls for one container wait for each other, in the order they came. */
export function makeAgent(ports: Ports, options: AgentOptions): Agent {
  const lock = makeKeyedLock();
  const running = new Set<CniCall>();
  const isBusy: Settings["isBusy"] = (what) => [...running].some((call) => isFor(call, what));
  const settings = { ...options.settings, ...(options.alone === false ? {} : { isBusy }) };
  // The main plugin asks the IPAM one through this agent when another main plugin is used: they must not wait for each other.
  const keyOf = (plugin: string, containerId: string) => `${plugin} ${containerId}`;

  const run = async (invocation: Invocation, signal: AbortSignal): Promise<Answer> => {
    const call = callOf(invocation.env);
    if (call !== undefined && call.command === "ADD") running.add(call);
    try {
      return await runPlugin(ports, invocation, { ...options, settings, signal });
    } finally {
      if (call !== undefined) running.delete(call);
    }
  };
  return {
    answer({ fields }) {
      const invocation = invocationOf(fields);
      const command = invocation.env.CNI_COMMAND ?? "";
      const ms = (options.deadlinesMs ?? DEADLINES_MS)[command] ?? 5000;
      const deadline = new AbortController();
      const answered = Promise.withResolvers<Answer>();
      const timer = setTimeout(() => {
        deadline.abort();
        options.log.warn("call took too long", { command, containerId: invocation.env.CNI_CONTAINERID, deadlineMs: ms });
        answered.resolve(tooLate(invocation, ms));
      }, ms);
      // A call that is late keeps the lock until it has taken back what it made.
      const work = lock.run(keyOf(invocation.plugin, invocation.env.CNI_CONTAINERID ?? ""), () => run(invocation, deadline.signal));
      work.then(answered.resolve, answered.reject).finally(() => clearTimeout(timer));
      return answered.promise;
    },
    settle: () =>
      settleDeletes(ports, {
        ...options,
        settings,
        act: (plugin, job) => lock.run(keyOf(plugin, job.call.containerId), () => forgetBy(ports, plugin, job)),
      }),
  };
}

function invocationOf(fields: Request["fields"]): Invocation {
  const env: Environment = Object.fromEntries(VARIABLES.flatMap((name) => (fields.has(name) ? [[name, fields.get(name)]] : [])));
  return { plugin: fields.get("PLUGIN") === "calico-ipam" ? "calico-ipam" : "calico", env, stdin: fields.get("STDIN") ?? "" };
}

/** Undefined for what the door will refuse. */
function callOf(env: Environment): CniCall | undefined {
  try {
    return parseCall(env);
  } catch {
    return undefined;
  }
}

function tooLate({ stdin }: Invocation, ms: number): Answer {
  const fault = new CniFault(
    "tryAgain",
    "the call took too long",
    `it was not done within ${ms / 1000} s; the agent's log says what it waited for`,
  );
  return { exit: 1, stdout: `${JSON.stringify(errorObject(fault, versionOfBroken(stdin) ?? "1.0.0"))}\n` };
}
