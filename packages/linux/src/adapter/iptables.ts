/** iptables by its own programs, iptables-save and iptables-restore, of either back end and family. */
import { err, ok } from "@calico/model";
import type { Result } from "@calico/model";
import { readRefusedLine } from "../domain/restore-error.ts";
import type { Iptables, IptablesBackend, IptablesError, IptablesTable } from "../ports.ts";
import { explainFailure, run, runOrThrow } from "./run.ts";
import type { RunResult } from "./run.ts";

export type IptablesOptions = {
  /** Default "auto": the back end that holds Kubernetes' or Calico's chains, else the one that `iptables` is. */
  readonly backend?: IptablesBackend | "auto";
  /** Default 4. */
  readonly family?: 4 | 6;
  readonly netnsPath?: string;
  /** How long legacy waits for its lock, in seconds. Default 10. */
  readonly lockTimeoutSec?: number;
};

const OWN_CHAINS = /^:(KUBE-(IPTABLES-HINT|KUBELET-CANARY|SERVICES)|cali-|calinat-)/m;

export function openIptables(options: IptablesOptions = {}): Iptables {
  const family = options.family ?? 4;
  let detected: Promise<IptablesBackend> | undefined;
  const backend = () => {
    const wanted = options.backend ?? "auto";
    if (wanted !== "auto") return Promise.resolve(wanted);
    detected ??= detectBackend(family, options.netnsPath).catch((error: unknown) => {
      detected = undefined; // the next call tries again
      throw error;
    });
    return detected;
  };
  const at = { netnsPath: options.netnsPath };

  return {
    family,
    backend,
    save: async (table: IptablesTable) => runOrThrow([program(family, await backend(), "save"), "-t", table], at),
    async restore(text: string): Promise<Result<void, IptablesError>> {
      const chosen = await backend();
      const words = [program(family, chosen, "restore"), "--noflush"];
      // Only legacy has a lock; the nft back end ignores the option.
      if (chosen === "legacy") words.push("--wait", String(options.lockTimeoutSec ?? 10));
      const done = await run(words, { ...at, stdin: text });
      return done.code === 0 ? ok(undefined) : err(restoreError(words[0] ?? "", text, done));
    },
  };
}

function program(family: 4 | 6, backend: IptablesBackend, what: "save" | "restore"): string {
  return `${family === 4 ? "iptables" : "ip6tables"}-${backend}-${what}`;
}

/** Source: calico felix/environment/feature_detect.go (backend by the chains found); Kubernetes iptables-wrappers. */
async function detectBackend(family: 4 | 6, netnsPath: string | undefined): Promise<IptablesBackend> {
  for (const backend of ["nft", "legacy"] as const) {
    // All tables; fails where the back end is not there, which is an answer.
    const saved = await run([program(family, backend, "save")], { netnsPath });
    if (saved.code === 0 && OWN_CHAINS.test(saved.stdout)) return backend;
  }
  const version = await runOrThrow([family === 4 ? "iptables" : "ip6tables", "--version"], {});
  return version.includes("nf_tables") ? "nft" : "legacy";
}

function restoreError(name: string, text: string, done: RunResult): IptablesError {
  if (done.failure === "timedOut") return { kind: "timedOut", message: `Cannot apply rules with ${name}: ${explainFailure(done)}` };
  if (done.failure === "notInstalled") return { kind: "notInstalled", message: `Cannot apply rules with ${name}: ${explainFailure(done)}` };
  const refused = readRefusedLine(`${done.stderr}\n${done.stdout}`, text);
  const where = refused ? ` at line ${refused.line} (${refused.text})` : "";
  return { kind: "refused", ...refused, message: `Cannot apply rules with ${name}${where}: ${explainFailure(done)}` };
}
