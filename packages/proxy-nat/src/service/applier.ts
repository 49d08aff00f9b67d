import type { Changes } from "../domain/core.ts";
import type { Chain } from "../domain/chain.ts";
import { printRestore, type Writes } from "../domain/restore.ts";
import type { UdpPort } from "../domain/program.ts";
import { parseSave } from "../domain/readback.ts";
import { parseSavedUdp } from "../domain/readback-udp.ts";
import { reconcile } from "../domain/reconcile.ts";
import type { Tables } from "../ports.ts";

/** The kernel refused a write. Nothing of that table was applied. */
export class WriteRefused extends Error {
  override readonly name = "WriteRefused";
}

export interface Applier {
  /** Write what changed, knowing what is there. Throws WriteRefused. */
  apply(changes: Pick<Changes, "set" | "remove">): Promise<void>;
  /** Read back, compare, write what differs. */
  resync(chains: Iterable<Chain>): Promise<Resync>;
}

export interface Resync {
  /** `table/chain` of all that differed. */
  readonly differed: readonly string[];
  /** The UDP ports as the kernel had them before. */
  readonly udpBefore: readonly UdpPort[];
}

export function makeApplier(tables: readonly Tables[]): Applier {
  async function write(t: Tables, writes: Writes): Promise<void> {
    const text = printRestore(t.family, writes);
    if (text === "") return;
    const done = await t.restore(text, { noflush: true });
    if (!done.ok) throw new WriteRefused(`Cannot write IPv${t.family} service rules: ${done.error.message}`);
  }

  return {
    async apply(changes) {
      for (const t of tables) await write(t, changes);
    },
    async resync(chains) {
      const all = [...chains];
      const differed: string[] = [];
      const udpBefore: UdpPort[] = [];
      for (const t of tables)
        for (const table of ["nat", "filter"] as const) {
          const at = { family: t.family, table };
          const desired = all.filter((c) => c.family === t.family && c.table === table);
          const text = await t.save(table);
          if (table === "nat") udpBefore.push(...parseSavedUdp(text));
          const repair = reconcile(at, desired, parseSave(text));
          await write(t, repair.writes);
          differed.push(...repair.differed);
        }
      return { differed, udpBefore };
    },
  };
}
