/**
 * One file per workload whose policy and routes are in the kernel; CNI waits for it.
 *
 * Source: Calico felix/statusrep (endpoint status files); facts 2.5.10.
 */
import type { StatusFiles } from "../ports.ts";
import type { Program, ProgramDelta } from "../domain/program.ts";
import { messageOf } from "./outcome.ts";
import type { Outcome } from "./outcome.ts";

export class ReadyFiles {
  readonly #files: StatusFiles;
  readonly #program: Program;
  readonly #dirty = new Set<string>();
  readonly #remove = new Set<string>();
  #cleaned = false;

  constructor(files: StatusFiles, program: Program) {
    this.#files = files;
    this.#program = program;
  }

  /** Call before the delta is added to the program. */
  stage({ workloads }: ProgramDelta): void {
    for (const { key: iface, workload } of workloads) {
      const before = this.#program.workloads.get(iface)?.status.file;
      if (before !== undefined && before !== workload?.status.file) this.#remove.add(before);
      if (workload === undefined) continue;
      this.#remove.delete(workload.status.file);
      this.#dirty.add(iface);
    }
  }

  async apply(isReady: (iface: string) => boolean, outcome: Outcome): Promise<void> {
    try {
      if (!this.#cleaned) await this.#removeStale();
      for (const file of this.#remove) {
        await this.#files.remove(file);
        this.#remove.delete(file);
      }
      for (const iface of this.#dirty) {
        const status = this.#program.workloads.get(iface)?.status;
        if (status !== undefined && !isReady(iface)) continue;
        if (status !== undefined) await this.#files.write(status.file, status.body);
        this.#dirty.delete(iface);
      }
    } catch (error) {
      outcome.failures.push(`Cannot write endpoint status: ${messageOf(error)}`);
    }
  }

  /** Files of workloads that went while nobody looked. */
  async #removeStale(): Promise<void> {
    const wanted = new Set([...this.#program.workloads.values()].map((w) => w.status.file));
    for (const file of await this.#files.list()) if (!wanted.has(file)) await this.#files.remove(file);
    this.#cleaned = true;
  }
}
