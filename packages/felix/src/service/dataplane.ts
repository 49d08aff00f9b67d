/**
 * Desired state into the kernel, in the order that keeps traffic safe: sets that rules will need, rules, sets that no rule needs
 * any more, tunnels, workload routes; last the flows of addresses that are gone, and the files that tell CNI a workload is ready.
 *
 * `stage` is cheap and takes desired state; `apply` alone waits for the kernel. What fails stays to be done, what is independent goes on.
 *
 * Source: Calico felix/dataplane/linux/int_dataplane.go (apply).
 */
import type { Kernel, MtuFile, StatusFiles } from "../ports.ts";
import { applyDelta, emptyProgram } from "../domain/program.ts";
import type { Program, ProgramDelta } from "../domain/program.ts";
import { addOutcome, messageOf, newOutcome } from "./outcome.ts";
import type { Outcome } from "./outcome.ts";
import { PodMtu } from "./pod-mtu.ts";
import { ReadyFiles } from "./ready-files.ts";
import { Sets } from "./sets.ts";
import { Tables } from "./tables.ts";
import { TunnelDevices } from "./tunnel-devices.ts";
import { WorkloadRoutes } from "./workload-routes.ts";

/** What a periodic look covers. Rules are dearer to read than the rest. */
export type RefreshKind = "rules" | "rest";

export class Dataplane {
  readonly #kernel: Kernel;
  readonly #program: Program = emptyProgram();
  readonly #sets: Sets;
  readonly #tables: readonly Tables[];
  readonly #tunnels: TunnelDevices;
  readonly #routes: WorkloadRoutes;
  readonly #files: ReadyFiles;
  readonly #mtu: PodMtu;
  readonly #forget = new Set<string>();

  constructor(kernel: Kernel, files: StatusFiles, mtuFile: MtuFile) {
    this.#kernel = kernel;
    this.#sets = new Sets(kernel.ipset, this.#program);
    this.#tables = kernel.iptables.map((iptables) => new Tables(iptables, this.#program));
    this.#tunnels = new TunnelDevices(kernel, this.#program);
    this.#routes = new WorkloadRoutes(kernel, this.#program);
    this.#files = new ReadyFiles(files, this.#program);
    this.#mtu = new PodMtu(kernel, mtuFile, this.#program);
  }

  stage(delta: ProgramDelta): void {
    this.#sets.stage(delta);
    this.#routes.stage(delta);
    this.#files.stage(delta);
    for (const tables of this.#tables) tables.stage(delta);
    applyDelta(this.#program, delta);
    this.#tunnels.stage(delta);
  }

  linkChanged(name: string, up: boolean): void {
    this.#routes.linkChanged(name, up);
    this.#tunnels.linkChanged(name);
  }

  refresh(kind: RefreshKind): void {
    if (kind === "rules") return this.#tables.forEach((tables) => tables.refresh());
    this.#sets.refresh();
    this.#routes.refresh();
    this.#tunnels.refresh();
  }

  async apply(): Promise<Outcome> {
    const outcome = newOutcome();
    const policyIn = await this.#applyPolicy(outcome);
    await this.#tunnels.apply(outcome);
    await this.#mtu.apply(outcome);
    for (const address of await this.#routes.apply(outcome)) this.#forget.add(address.split("/")[0]!);
    await this.#forgetFlows(outcome);
    if (policyIn) await this.#files.apply((iface) => this.#routes.isReady(iface), outcome);
    return outcome;
  }

  /** Rules wait for their sets, and sets are not emptied before the rules are in. */
  async #applyPolicy(outcome: Outcome): Promise<boolean> {
    if (!(await this.#sets.applyAdditions(outcome))) return false;
    const results = await Promise.all(
      this.#tables.map((tables) => tables.apply().catch((error: unknown) => ({ ...newOutcome(), failures: [messageOf(error)] }))),
    );
    for (const result of results) addOutcome(outcome, result);
    if (results.some((result) => result.failures.length > 0)) return false;
    await this.#sets.applyRemovals(outcome);
    return true;
  }

  /** A flow that outlives its address would be let through to whoever has it next. */
  async #forgetFlows(outcome: Outcome): Promise<void> {
    for (const ip of this.#forget) {
      try {
        await this.#kernel.conntrack.forget(ip);
        this.#forget.delete(ip);
      } catch (error) {
        outcome.failures.push(messageOf(error));
      }
    }
  }

  /** Why a tunnel that a pool asks for cannot be had, by its kind. */
  get tunnelFaults(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.#tunnels.faults);
  }

  /** For health and status: what is in force, what is missing. */
  describe(): Readonly<Record<string, unknown>> {
    return {
      workloads: this.#program.workloads.size,
      waitingForInterface: this.#routes.waiting,
      chains: this.#tables.reduce((sum, tables) => sum + tables.chainCount, 0),
      refusedChains: this.#tables.reduce((sum, tables) => sum + tables.refusedCount, 0),
      sets: this.#program.sets.size,
      tunnelFaults: this.tunnelFaults,
    };
  }
}
