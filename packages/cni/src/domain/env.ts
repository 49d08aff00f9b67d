/**
 * The environment of a CNI call: which variables each command needs, and what may be in them.
 *
 * Source: CNI SPEC 1.1.0 "Parameters"; containernetworking/cni pkg/skel (which command needs which).
 */
import { CniFault } from "./fault.ts";

export const COMMANDS = ["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"] as const;
export type Command = (typeof COMMANDS)[number];

const REQUIRED: Readonly<Record<Command, readonly string[]>> = {
  ADD: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
  DEL: ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"],
  CHECK: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
  GC: ["CNI_PATH"],
  STATUS: ["CNI_PATH"],
  VERSION: [],
};

/** The variables that the executable hands to the agent. */
export const VARIABLES = [
  "CNI_COMMAND",
  "CNI_CONTAINERID",
  "CNI_NETNS",
  "CNI_IFNAME",
  "CNI_ARGS",
  "CNI_PATH",
  "FELIX_INTERFACEPREFIX",
] as const;
export type Environment = Readonly<Partial<Record<(typeof VARIABLES)[number], string>>>;

export type CniCall = {
  readonly command: Command;
  readonly containerId: string;
  /** Path of the pod's network namespace; empty when it is gone already. */
  readonly netns: string;
  readonly ifName: string;
  readonly args: ReadonlyMap<string, string>;
  readonly argsText: string;
  readonly path: readonly string[];
  /** First of FELIX_INTERFACEPREFIX, else `cali`. */
  readonly vethPrefix: string;
};

/** The call from its environment; a fault names the variable. */
export function parseCall(env: Environment): CniCall {
  const command = commandOf(env.CNI_COMMAND);
  const missing = REQUIRED[command].filter((name) => !env[name as keyof Environment]);
  if (missing.length > 0) {
    throw new CniFault(
      "invalidEnvironment",
      `required environment variable ${missing.join(", ")} is missing`,
      `CNI_COMMAND ${command} needs ${REQUIRED[command].join(", ")}`,
    );
  }
  const argsText = env.CNI_ARGS ?? "";
  return {
    command,
    containerId: checked("CNI_CONTAINERID", env.CNI_CONTAINERID, (v) => /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(v)),
    netns: env.CNI_NETNS ?? "",
    ifName: checked("CNI_IFNAME", env.CNI_IFNAME, isInterfaceName),
    args: parseArgs(argsText),
    argsText,
    path: (env.CNI_PATH ?? "").split(":").filter((p) => p !== ""),
    vethPrefix: env.FELIX_INTERFACEPREFIX?.split(",")[0] || "cali",
  };
}

function commandOf(text: string | undefined): Command {
  if (!text)
    throw new CniFault(
      "invalidEnvironment",
      "required environment variable CNI_COMMAND is missing",
      `expected one of ${COMMANDS.join(", ")}`,
    );
  const command = COMMANDS.find((c) => c === text);
  if (command === undefined)
    throw new CniFault("invalidEnvironment", `unknown CNI_COMMAND: ${text}`, `expected one of ${COMMANDS.join(", ")}`);
  return command;
}

function checked(name: string, value: string | undefined, isValid: (value: string) => boolean): string {
  if (!value) return "";
  if (!isValid(value))
    throw new CniFault("invalidEnvironment", `invalid characters or length in environment variable ${name}`, `${name}=${value}`);
  return value;
}

/** Source: Linux dev_valid_name; CNI SPEC "CNI_IFNAME". */
function isInterfaceName(name: string): boolean {
  return name.length <= 15 && name !== "." && name !== ".." && !/[/:\s]/.test(name);
}

/** `A=b;C=d`. What we do not know is for others. */
function parseArgs(text: string): ReadonlyMap<string, string> {
  const out = new Map<string, string>();
  for (const pair of text.split(";").filter((p) => p !== "")) {
    const at = pair.indexOf("=");
    if (at < 1)
      throw new CniFault(
        "invalidEnvironment",
        `invalid pair in environment variable CNI_ARGS: ${pair}`,
        "expected KEY=VALUE separated by ;",
      );
    out.set(pair.slice(0, at), pair.slice(at + 1));
  }
  return out;
}
