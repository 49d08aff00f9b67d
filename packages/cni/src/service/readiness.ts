/** Waits for what the configuration says must be up first. Source: facts §3.2.8. */
import { CniFault } from "../domain/fault.ts";
import type { Ports } from "../ports.ts";

const EVERY_MS = 5000;
const AT_MOST_MS = 30_000;

export async function passGates(ports: Pick<Ports, "isReady" | "clock">, urls: readonly string[]): Promise<void> {
  const start = ports.clock.now();
  let closed = urls;
  for (;;) {
    const open = await Promise.all(closed.map((url) => ports.isReady(url)));
    closed = closed.filter((_, i) => open[i] !== true);
    if (closed.length === 0) return;
    if (ports.clock.now() - start + EVERY_MS > AT_MOST_MS)
      throw new CniFault("tryAgain", `readiness gate ${closed[0]} did not pass within ${AT_MOST_MS / 1000} s`, closed.join(", "));
    await ports.clock.pause(EVERY_MS);
  }
}
