/** Keeps the file that tells CNI the MTU of new pods. Source: facts 5.1.7. */
import type { Kernel, MtuFile } from "../ports.ts";
import { podMtu } from "../domain/mtu.ts";
import type { Program } from "../domain/program.ts";
import { messageOf } from "./outcome.ts";
import type { Outcome } from "./outcome.ts";

export class PodMtu {
  readonly #kernel: Kernel;
  readonly #file: MtuFile;
  readonly #program: Program;
  #writtenFor: string | undefined;

  constructor(kernel: Kernel, file: MtuFile, program: Program) {
    this.#kernel = kernel;
    this.#file = file;
    this.#program = program;
  }

  /** Looks at the interfaces at the first apply and when the tunnels in use change. */
  async apply(outcome: Outcome): Promise<void> {
    const { vxlanWanted: vxlan, ipipWanted: ipip } = this.#program;
    const key = `${vxlan} ${ipip}`;
    if (key === this.#writtenFor) return;
    try {
      const mtu = podMtu(await this.#kernel.netlink.links(), { vxlan, ipip });
      if (mtu !== undefined) await this.#file.write(mtu);
      this.#writtenFor = key;
    } catch (error) {
      outcome.failures.push(`Cannot write the MTU file: ${messageOf(error)}`);
    }
  }
}
