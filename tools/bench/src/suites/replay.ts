import { execFile } from "node:child_process";
import process from "node:process";
import { promisify } from "node:util";
import type { Row, Suite } from "../row.ts";
import type { Measured } from "./replay/measure.ts";

const GOAL_EVENTS_S = 100_000;
/** A short log is read before the runtime is warm: it is shown beside, and not held to the goal. */
const HELD_FROM_EVENTS = 100_000;
const root = new URL("../../../..", import.meta.url).pathname;
const run = promisify(execFile);

/** How fast the past is read, folded to a state, and made into programs; each figure beside that of a tenth of the events. */
export const replay: Suite = {
  description: "replay: events a second through reading, folding and the agents' cores, at 10k and 100k events",
  async run({ quick, progress, signal }) {
    const sizes = quick ? [1_000, 10_000] : [10_000, 100_000];
    const measured: Measured[] = [];
    for (const size of sizes) {
      signal.throwIfAborted();
      progress(`${size} events`);
      measured.push(await measure(size, quick ? 1 : 3, signal));
    }
    return rows(measured, sizes);
  },
};

/** With the heap that `npm run replay` gives: a program that runs once may use more than a daemon. */
async function measure(size: number, rounds: number, signal: AbortSignal): Promise<Measured> {
  const env = { ...process.env, CALICO_V8_FLAGS: "--max-semi-space-size=64" };
  const args = ["tools/bench/src/suites/replay/measure.ts", String(size), String(rounds)];
  const { stdout } = await run(`${root}/setup/run.sh`, args, { env, signal, maxBuffer: 2 ** 20 });
  return JSON.parse(stdout) as Measured;
}

const FIGURES: readonly { readonly id: keyof Measured; readonly name: string; readonly goal?: number }[] = [
  { id: "fold", name: "messages → history → state", goal: GOAL_EVENTS_S },
  { id: "parsed", name: "messages → history → state, every value parsed", goal: GOAL_EVENTS_S },
  { id: "archive", name: "archive file → state, checked", goal: GOAL_EVENTS_S },
  { id: "render", name: "archive file → programs of felix, bgp, proxy-nat", goal: GOAL_EVENTS_S },
  { id: "once", name: "history in which each object is written once → programs" },
  { id: "export", name: "history → archive file, secrets taken out" },
  { id: "log", name: "live log → state" },
];

function rows(measured: readonly Measured[], sizes: readonly number[]): readonly Row[] {
  return FIGURES.flatMap(({ id, name, goal }) =>
    measured.map((m, i): Row => {
      const value = Math.round(m[id]);
      const size = sizes[i] ?? 0;
      const isHeld = goal !== undefined && size >= HELD_FROM_EVENTS;
      const before = i === 0 ? null : Math.round(measured[i - 1]?.[id] ?? 0);
      return {
        name: `${name}, ${size / 1000}k events`,
        value,
        unit: "events/s",
        peer: before,
        ratio: before === null ? null : Number((value / before).toPrecision(3)),
        goal: isHeld ? `≥ ${goal}` : null,
        ok: isHeld ? value >= goal : null,
      };
    }),
  );
}
