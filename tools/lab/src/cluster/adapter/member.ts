import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { inNetns } from "../../adapter/exec.ts";

/** One server process that can be killed and started again on its files. */
export interface Member {
  readonly pid: number | undefined;
  start(): void;
  kill(): Promise<void>;
  /** The last that it said, for error texts. */
  said(): string;
}

export function makeMember(argv: readonly string[], netns: string | undefined): Member {
  let child: ChildProcess | undefined;
  let said = "";
  return {
    get pid() {
      return child?.pid;
    },
    start() {
      const [command = "", ...args] = inNetns(netns, argv);
      child = spawn(command, args, { stdio: ["ignore", "ignore", "pipe"] });
      child.on("error", (error) => (said += error.message));
      child.stderr?.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4000)));
    },
    async kill() {
      if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
    said: () => said,
  };
}
