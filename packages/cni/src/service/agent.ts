/** The agent: the same plugin code for every call, one call at a time per container. */
import { makeKeyedLock } from "@calico/ipam";
import type { Answer, Request } from "../domain/frame.ts";
import { VARIABLES } from "../domain/env.ts";
import type { Environment } from "../domain/env.ts";
import type { Ports } from "../ports.ts";
import { runPlugin } from "./run.ts";
import type { RunOptions } from "./run.ts";

/** Answers the executable's requests. Two calls for one container wait for each other, in the order they came. */
export function makeAgent(ports: Ports, options: RunOptions): (request: Request) => Promise<Answer> {
  const lock = makeKeyedLock();
  return ({ fields }) => {
    const env: Environment = Object.fromEntries(VARIABLES.flatMap((name) => (fields.has(name) ? [[name, fields.get(name)]] : [])));
    const plugin = fields.get("PLUGIN") === "calico-ipam" ? "calico-ipam" : "calico";
    const run = () => runPlugin(ports, { plugin, env, stdin: fields.get("STDIN") ?? "" }, options);
    // The main plugin asks the IPAM one through this agent when another main plugin is used: they must not wait for each other.
    return lock.run(`${plugin} ${env.CNI_CONTAINERID ?? ""}`, run);
  };
}
