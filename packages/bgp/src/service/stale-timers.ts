/** Per peer, the time until its stale routes go. */
import type { StaleTimer } from "../domain/rib/routing.ts";
import type { Cancel, Clock } from "../ports.ts";

export class StaleTimers {
  readonly #clock: Clock;
  readonly #expired: (peer: string) => void;
  readonly #running = new Map<string, Cancel>();

  constructor(clock: Clock, expired: (peer: string) => void) {
    this.#clock = clock;
    this.#expired = expired;
  }

  apply(peer: string, timer: StaleTimer): void {
    if (timer.do === "keep") return;
    this.stop(peer);
    if (timer.do === "clear") return;
    const expire = () => {
      this.#running.delete(peer);
      this.#expired(peer);
    };
    this.#running.set(peer, this.#clock.after(timer.sec * 1000, expire));
  }

  stop(peer: string): void {
    this.#running.get(peer)?.();
    this.#running.delete(peer);
  }

  /** The peer's routes are kept though its session is, or was, lost. */
  runs(peer: string): boolean {
    return this.#running.has(peer);
  }

  stopAll(): void {
    for (const peer of [...this.#running.keys()]) this.stop(peer);
  }
}
