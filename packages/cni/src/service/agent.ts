/** The agent: the same plugin code for every call, one call at a time per container, each with an answer within its deadline. */
import { makeKeyedLock } from "@calico/ipam";
import type { Answer, Request } from "../domain/frame.ts";
import { parseCall, VARIABLES } from "../domain/env.ts";
import type { CniCall, Environment } from "../domain/env.ts";
import { CniFault, errorObject } from "../domain/fault.ts";
import { versionOfBroken } from "../domain/netconf.ts";
import { hostVethOf, isFor } from "../domain/workload.ts";
import type { Ports, Settings } from "../ports.ts";
import { forgetBy, runPlugin } from "./run.ts";
import type { Invocation, RunOptions } from "./run.ts";
import { settleDeletes } from "./settle-deletes.ts";
import type { Settled, SettleOptions } from "./settle-deletes.ts";
import { containerTurn } from "./turns.ts";

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

/**
 * Two calls for one container wait for each other, in the order they came, and so do calls about one pod's device. A call that is late is
 * answered, but keeps its place until it is over: until an ADD has taken back what it made, and a DEL that was put aside has ended.
 */
export function makeAgent(ports: Ports, options: AgentOptions): Agent {
  const locks = makeKeyedLock();
  const adds = makeAdds();

  const run = async (invocation: Invocation, o: Pick<RunOptions, "onLate" | "endsAt"> & { deadline: AbortController }): Promise<Answer> => {
    const call = callOf(invocation.env);
    const { deadline, ...rest } = o;
    const done = call === undefined ? undefined : adds.begin(invocation.plugin, call, deadline);
    const isBusy = options.alone === false ? {} : { isBusy: done?.isBusy };
    try {
      return await runPlugin(ports, invocation, {
        ...{ ...options, ...rest, locks, signal: deadline.signal },
        settings: { ...options.settings, ...isBusy },
      });
    } finally {
      done?.end();
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
        deadline.abort(new CniFault("tryAgain", "the call took too long", "what it made is taken back"));
        options.log.warn("call took too long", { command, containerId: invocation.env.CNI_CONTAINERID, deadlineMs: ms });
        answered.resolve(tooLate(invocation, ms));
      }, ms);
      const endsAt = ports.clock.now() + ms;
      const whole = async () => {
        // Nobody waits for it any more, and newer calls may have begun.
        if (deadline.signal.aborted) return;
        const late: Promise<unknown>[] = [];
        answered.resolve(await run(invocation, { deadline, endsAt, onLate: (rest) => late.push(rest.catch(() => {})) }));
        clearTimeout(timer);
        await Promise.allSettled(late);
      };
      const key = turnOf(invocation);
      void (key === undefined ? whole() : locks.run(key, whole)).catch(answered.reject).finally(() => clearTimeout(timer));
      return answered.promise;
    },
    async settle() {
      const act: SettleOptions["act"] = (plugin, job) => forgetBy(ports, plugin, job);
      try {
        return await settleDeletes(ports, { settings: options.settings, log: options.log, locks, act });
      } catch (e) {
        options.log.warn("queued deletes cannot be read", { reason: e instanceof Error ? e.message : String(e) });
        return { settled: 0, left: 0 };
      }
    },
  };
}

/** What must come one after another; undefined: nothing. */
function turnOf({ plugin, env }: Invocation): string | undefined {
  const command = env.CNI_COMMAND ?? "";
  if (command === "GC") return command;
  return ["ADD", "DEL", "CHECK"].includes(command) && env.CNI_CONTAINERID ? containerTurn(plugin, env.CNI_CONTAINERID) : undefined;
}

/** ADDs under way: what a GC must leave alone, and which one a newer container of the same pod has overtaken. */
function makeAdds() {
  const running = new Map<CniCall, { readonly plugin: Invocation["plugin"]; readonly deadline: AbortController }>();
  const views = new Set<Set<CniCall>>();
  return {
    begin(plugin: Invocation["plugin"], call: CniCall, deadline: AbortController) {
      const view = new Set(running.keys());
      if (call.command === "ADD") {
        for (const [other, older] of running) if (plugin === "calico" && older.plugin === plugin) overtake(other, call, older.deadline);
        running.set(call, { plugin, deadline });
        for (const gc of views) gc.add(call);
      }
      if (call.command === "GC") views.add(view);
      // What was added while GC works is not in the list that it was given, also when that ADD is over.
      const isBusy: Settings["isBusy"] = (what) => [...view].some((add) => isFor(add, what));
      const end = () => {
        running.delete(call);
        views.delete(view);
      };
      return { isBusy, end };
    },
  };
}

function overtake(older: CniCall, newer: CniCall, deadline: AbortController): void {
  if (older.containerId === newer.containerId || hostVethOf(older) !== hostVethOf(newer)) return;
  deadline.abort(
    new CniFault("tryAgain", `container ${newer.containerId} of the same pod came meanwhile`, "what this call made is taken back"),
  );
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
