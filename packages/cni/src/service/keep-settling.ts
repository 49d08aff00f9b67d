/** While the agent runs, deletes that wait are tried again: soon while there are some, else now and then, for what the executable left by itself. */
import { pause } from "@calico/daemon";
import type { Agent } from "./agent.ts";
import type { Settled } from "./settle-deletes.ts";

const WAITING_MS = 3000;
const IDLE_MS = 15_000;

export async function keepSettling(
  agent: Pick<Agent, "settle">,
  o: { readonly signal: AbortSignal; readonly onRound: (round: Settled) => void },
): Promise<void> {
  while (!o.signal.aborted) {
    const round = await agent.settle();
    o.onRound(round);
    await pause(round.left > 0 ? WAITING_MS : IDLE_MS, o.signal);
  }
}
